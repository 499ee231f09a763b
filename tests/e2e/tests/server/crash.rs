//! `kill -9` in the middle of concurrent writes: everything acknowledged is there, byte for byte.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, Server, World, digest, files};

const WRITERS: u64 = 8;
const ROUNDS: u64 = 3;
/// Acknowledgements before the server is killed, in each round.
const ACKNOWLEDGED: usize = 120;

/// What one key must hold.
#[derive(Debug, Clone, Default)]
struct Expected {
    /// The last acknowledged content; `None` is deleted or never written.
    acknowledged: Option<Vec<u8>>,
    /// What was being written when the server died: it may have happened, wholly.
    in_doubt: Vec<Option<Vec<u8>>>,
}

type Journal = Mutex<BTreeMap<String, Expected>>;

#[test]
fn everything_acknowledged_survives_kill_9_under_concurrent_writes() {
    let mut world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let doors = [world.direct(&host.cli), proxy.door()];
    let journal = Journal::default();
    for round in 0..ROUNDS {
        write_until_killed(&mut world.server, &doors, &host, &journal, round);
        world.server.restart();
        check(&doors[0], &host, &journal);
        let fsck = world.server.operator_json(&["fsck", "--read-data"]);
        assert_usage_is_what_fsck_counts(&world, &fsck);
        assert_usage_is_what_is_listed(&world, &doors[0]);
    }
    let _ = proxy;
}

fn write_until_killed(server: &mut Server, doors: &[Door; 2], host: &Host, journal: &Journal, round: u64) {
    let dead = AtomicBool::new(false);
    let acknowledged = Mutex::new(0_usize);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (dead, acknowledged) = (&dead, &acknowledged);
            let door = &doors[(writer % 2) as usize];
            scope.spawn(move || {
                for step in 0.. {
                    if dead.load(Ordering::Relaxed) {
                        break;
                    }
                    if write_one(door, host, journal, writer, round * 100_000 + step) {
                        *acknowledged.lock().expect("no panic") += 1;
                    }
                }
            });
        }
        wait::until("enough acknowledged writes", secs(120), || {
            (*acknowledged.lock().expect("no panic") >= ACKNOWLEDGED).then_some(())
        });
        server.kill9();
        dead.store(true, Ordering::Relaxed);
    });
}

/// One write of a writer that has ten keys of its own: mostly PUTs of all sizes, some deletions, some uploads in parts.
fn write_one(door: &Door, host: &Host, journal: &Journal, writer: u64, step: u64) -> bool {
    let key = host.path(&format!("w{writer}/k{}", step % 10));
    let length = [10, 3000, 5000, 70_000, 300_000][(step % 5) as usize];
    let bytes = files::random_bytes(writer << 32 | step, length);
    let delete = step % 7 == 6;
    let new = (!delete).then(|| bytes.clone());
    journal.lock().expect("no panic").entry(key.clone()).or_default().in_doubt.push(new.clone());
    let succeeded = if delete {
        door.request("DELETE", &key).try_send(door.address).is_ok_and(|answer| answer.status == 204)
    } else if step % 11 == 10 {
        upload(door, &key, &bytes).is_some()
    } else {
        door.put_request(&key, &bytes).try_send(door.address).is_ok_and(|answer| answer.status == 200)
    };
    if succeeded {
        *journal.lock().expect("no panic").get_mut(&key).expect("just entered") =
            Expected { acknowledged: new, in_doubt: Vec::new() };
    }
    succeeded
}

fn upload(door: &Door, path: &str, bytes: &[u8]) -> Option<()> {
    let ok = |answer: std::io::Result<kheeper_e2e::Response>| answer.ok().filter(|answer| answer.status == 200);
    let created = ok(door.request("POST", &format!("{path}?uploads")).body("").try_send(door.address))?;
    let id = kheeper_e2e::s3::xml_values(&created.text(), "UploadId").pop()?;
    let target = format!("{path}?partNumber=1&uploadId={id}");
    let etag = ok(door.put_request(&target, bytes).try_send(door.address))?.header("etag")?.to_owned();
    let body = kheeper_e2e::s3::complete_body(&[(1, &etag)]);
    ok(door.request("POST", &format!("{path}?uploadId={id}")).body(body).try_send(door.address)).map(drop)
}

/// Every key holds what was acknowledged last, or, wholly, what was being written when the server died.
fn check(door: &Door, host: &Host, journal: &Journal) {
    let mut journal = journal.lock().expect("no panic");
    let listed = door.keys("myorg", &format!("{}/", host.name), 100);
    for (path, expected) in journal.iter_mut() {
        let answer = door.get(path);
        let found = match answer.status {
            200 => Some(answer.body.clone()),
            404 => None,
            _ => panic!("{path}: {answer}"),
        };
        let key = path.strip_prefix("/myorg/").expect("our own paths").to_owned();
        assert_eq!(found.is_some(), listed.contains(&key), "{key} is listed if and only if it is there");
        let known = found == expected.acknowledged || expected.in_doubt.contains(&found);
        assert!(known, "{path} holds {:?} bytes of nobody's", found.map(|bytes| bytes.len()));
        if let Some(bytes) = &found {
            let etag = answer.header("etag").unwrap_or_default().trim_matches('"').to_owned();
            let whole = etag == digest::md5_hex(bytes) || etag == digest::multipart_etag(&[bytes]);
            assert!(whole, "{path}: {etag}");
        }
        *expected = Expected { acknowledged: found, in_doubt: Vec::new() };
    }
}

fn assert_usage_is_what_fsck_counts(world: &World, fsck: &serde_json::Value) {
    let usage = usage_of_the_host(world);
    let recomputed = &fsck["namespaces"][0];
    for bytes in ["current_bytes", "hidden_bytes", "uploading_bytes"] {
        assert!(usage[bytes].is_u64(), "{usage}");
        assert_eq!(usage[bytes], recomputed[bytes], "{bytes}: {usage} {fsck}");
    }
}

fn usage_of_the_host(world: &World) -> serde_json::Value {
    let usage = world.alice.json(&["usage", "--org", "myorg"]);
    usage.as_array().and_then(|records| records.last()).cloned().expect("the host has a record")
}

fn assert_usage_is_what_is_listed(world: &World, door: &Door) {
    let text = door.get("/myorg?list-type=2&prefix=web-01/").expect(200).text();
    let listed: u64 =
        kheeper_e2e::s3::xml_values(&text, "Size").iter().map(|size| size.parse::<u64>().expect("a size")).sum();
    let usage = usage_of_the_host(world);
    assert_eq!(usage["current_bytes"].as_u64(), Some(listed), "{usage}");
}

#[test]
fn sigterm_lets_what_is_running_finish() {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let bytes = files::random_bytes(1, 8 << 20);
    let paths: Vec<String> = (0..6).map(|n| host.path(&format!("term/{n}"))).collect();
    let answers: Vec<(String, Option<u16>)> = thread::scope(|scope| {
        let writers: Vec<_> = paths
            .iter()
            .map(|path| {
                let (door, bytes) = (&door, &bytes);
                scope.spawn(move || {
                    let answer = door.put_request(path, bytes).try_send(door.address);
                    (path.clone(), answer.ok().map(|answer| answer.status))
                })
            })
            .collect();
        assert!(world.server.terminate().success(), "a drained server ends well");
        writers.into_iter().map(|writer| writer.join().expect("no panic")).collect()
    });
    world.server.restart();
    for (path, status) in answers {
        assert!(matches!(status, None | Some(200 | 503)), "{path}: {status:?}");
        if status == Some(200) {
            assert!(door.get(&path).expect(200).body == bytes);
        }
    }
}
