//! A disk that answers with errors, is slow, or is out of descriptors: the exact answers, and how it goes on afterwards.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, World, command, files, unix, wait};

use crate::filesystem::FileSystem;

/// Writes at once whose syncs are slow.
const SLOW_WRITES: usize = 64;

/// A world whose server has failpoints that are armed while a file is there.
struct Hurt {
    world: World,
    host: Host,
    door: Door,
    armed: PathBuf,
}

fn hurt(failpoints: &str) -> Hurt {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let armed = world.path("armed");
    world.server.terminate();
    world.server.set_environment(&[
        ("KHEEPER_FAILPOINTS", failpoints),
        ("KHEEPER_FAILPOINTS_WHILE", &armed.display().to_string()),
    ]);
    world.server.restart();
    Hurt { world, host, door, armed }
}

impl Hurt {
    fn arm(&self) {
        fs::write(&self.armed, "").expect("our own directory");
    }

    fn disarm(&self) {
        fs::remove_file(&self.armed).expect("it was there");
    }
}

#[test]
fn an_error_of_the_disk_in_a_write_is_500_nothing_is_seen_and_nothing_is_left() {
    for place in ["blob.create", "blob.write", "blob.sync", "directory.sync"] {
        let hurt = hurt(&format!("{place}=io"));
        let (door, old, new) = (&hurt.door, hurt.host.path("old"), hurt.host.path("new"));
        let bytes = files::random_bytes(1, 100_000);
        door.put(&old, &bytes).expect(200);
        hurt.arm();
        for path in [&old, &new] {
            door.put(path, &files::random_bytes(2, 90_000)).expect_error(500, "InternalError");
        }
        assert!(door.get(&old).expect(200).body == bytes, "{place}: the old version is intact");
        door.get(&new).expect_error(404, "NoSuchKey");
        assert_eq!(door.keys("myorg", "web-01/", 5), ["web-01/old"]);
        // What needs no blob goes on.
        door.put(&hurt.host.path("small"), b"tiny").expect(200);
        let fsck = hurt.world.server.operator_json(&["fsck", "--read-data"]);
        assert_eq!(fsck["orphan_blobs"], 0, "{place}: {fsck}");
        hurt.disarm();
        door.put(&new, &bytes).expect(200);
        assert!(door.get(&new).expect(200).body == bytes, "{place}");
    }
}

#[test]
fn an_error_of_the_disk_in_a_read_is_500_at_first_and_a_broken_connection_later_and_never_404() {
    let hurt = hurt("blob.read=io");
    let path = hurt.host.path("a");
    let bytes = files::random_bytes(1, 100_000);
    hurt.door.put(&path, &bytes).expect(200);
    hurt.arm();
    hurt.door.get(&path).expect_error(500, "InternalError");
    hurt.door.head(&path).expect(200);
    hurt.disarm();
    assert!(hurt.door.get(&path).expect(200).body == bytes);

    // The header and the first hop are read; the third read of an armed server fails, long after the 200 has gone out.
    let hurt = self::hurt("blob.read=io@3");
    let path = hurt.host.path("a");
    hurt.door.put(&path, &files::random_bytes(1, 12 << 20)).expect(200);
    hurt.arm();
    let answer = hurt.door.request("GET", &path).try_send(hurt.door.address);
    assert!(answer.is_err(), "a body that ends too early is not an answer: {}", answer.expect("an answer").status);
}

#[test]
fn a_slow_sync_holds_up_nobody_else() {
    let hurt = hurt("blob.sync=wait");
    let path = hurt.host.path("a");
    let bytes = files::random_bytes(1, 100_000);
    hurt.door.put(&path, &bytes).expect(200);
    let proxy = hurt.world.host_proxy(&hurt.host);
    let doors = [hurt.door.clone(), proxy.door()];
    hurt.arm();
    // More of them at once than there are workers of the runtime, and through both doors.
    let slow = |n: usize| hurt.host.path(&format!("slow/{n}"));
    let mut reads = thread::scope(|scope| {
        let puts: Vec<_> = (0..SLOW_WRITES)
            .map(|n| {
                let (door, path, bytes) = (&doors[n % 2], slow(n), &bytes);
                scope.spawn(move || door.put(&path, bytes).expect(200))
            })
            .collect();
        let mut reads = Vec::new();
        while !puts.iter().all(|put| put.is_finished()) {
            let began = Instant::now();
            doors[reads.len() % 2].get(&path).expect(200);
            reads.push(began.elapsed());
        }
        puts.into_iter().for_each(|put| drop(put.join().expect("slow, and successful")));
        reads
    });
    reads.sort();
    let (count, p99) = (reads.len(), reads[reads.len() * 99 / 100]);
    println!("{count} reads beside {SLOW_WRITES} writes whose syncs take two seconds: p99 {p99:?}");
    assert!(count >= 10, "only {count} reads in the two seconds of a sync");
    for n in 0..SLOW_WRITES {
        assert!(doors[n % 2].get(&slow(n)).expect(200).body == bytes, "slow/{n}");
    }
}

#[test]
fn blobs_on_a_file_system_that_was_made_read_only_are_read_and_not_written() {
    if !unix::is_root_for("blobs_on_a_file_system_that_was_made_read_only_are_read_and_not_written") {
        return;
    }
    let dir = World::directory();
    let data = dir.path().join("data");
    let blobs = FileSystem::in_memory(&data.join("blobs"), "size=64m,mode=700");
    let world = World::start_in(dir, &data, &[]);
    let blobs = blobs;
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let (path, bytes) = (host.path("a"), files::random_bytes(1, 100_000));
    door.put(&path, &bytes).expect(200);
    blobs.remount("ro");
    door.put(&path, &files::random_bytes(2, 100_000)).expect_error(503, "ServiceUnavailable");
    assert!(door.get(&path).expect(200).body == bytes);
    assert_eq!(door.keys("myorg", "web-01/", 5).len(), 1);
    blobs.remount("rw");
    door.put(&path, &bytes).expect(200);
    world.server.operator(&["fsck", "--read-data"]).ok();
}

#[test]
fn a_file_system_that_goes_read_only_under_the_index_too_stops_writes_and_loses_nothing() {
    if !unix::is_root() {
        return;
    }
    let dir = World::directory();
    let at = dir.path().join("disk");
    let disk = FileSystem::in_image("ext4", &dir.path().join("image"), &at);
    let mut world = World::start_in(dir, &at.join("data"), &[]);
    let disk = disk;
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let (small, large, bytes) = (host.path("small"), host.path("large"), files::random_bytes(1, 100_000));
    door.put(&small, b"small").expect(200);
    door.put(&large, &bytes).expect(200);
    let ready = Door::anonymous(door.address);
    ready.get("/-/readyz").expect(200);
    disk.abort();
    door.put(&large, &files::random_bytes(2, 100_000)).expect_error(503, "ServiceUnavailable");
    door.put(&small, b"other").expect_error(503, "ServiceUnavailable");
    door.delete(&small).expect_error(503, "ServiceUnavailable");
    ready.get("/-/readyz").expect(503);
    assert_eq!(door.get(&small).expect(200).body, b"small");
    assert!(door.get(&large).expect(200).body == bytes);
    assert_eq!(door.keys("myorg", "web-01/", 5), ["web-01/large", "web-01/small"]);

    world.server.kill9();
    disk.restore_power();
    world.server.restart();
    assert_eq!(door.get(&small).expect(200).body, b"small");
    assert!(door.get(&large).expect(200).body == bytes);
    door.put(&small, b"other").expect(200);
    ready.get("/-/readyz").expect(200);
    world.server.operator(&["fsck", "--read-data"]).ok();
}

#[test]
fn a_server_out_of_descriptors_says_slow_down_and_recovers() {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let proxy = world.host_proxy(&host);
    let proxied = proxy.door();
    let (path, bytes) = (host.path("a"), files::random_bytes(1, 100_000));
    door.put(&path, &bytes).expect(200);
    let pid = world.server.running().pid().to_string();
    let limit = |descriptors: &str| {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &pid, &format!("--nofile={descriptors}")]);
        command::run(prlimit, wait::secs(10)).ok();
    };
    limit("64:4096");
    // The proxy has a connection to the server, which it keeps.
    proxied.put(&path, &bytes).expect(200);
    // This one is in already; its body comes when nobody else gets in.
    let request = door.put_request(&path, &bytes).header("Expect", "100-continue");
    let mut inside = request.open(door.address).expect("it listens");
    let mut continued = [0; 25];
    inside.read_exact(&mut continued).expect("100 Continue");
    let crowd: Vec<TcpStream> = (0..80).filter_map(|_| TcpStream::connect(door.address).ok()).collect();
    let descriptors = format!("/proc/{pid}/fd");
    wait::until("no descriptor to be free", wait::secs(20), || {
        fs::read_dir(&descriptors).is_ok_and(|open| open.count() >= 64).then_some(())
    });
    accepts_without_spinning(&mut world);
    proxied.put(&path, &bytes).expect_error(503, "SlowDown");
    inside.write_all(&bytes).expect("it reads");
    let mut answer = String::new();
    inside.read_to_string(&mut answer).expect("it answers and closes");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("SlowDown"), "{answer}");
    drop((crowd, inside));
    // By itself, once descriptors are free.
    wait::until("a write to succeed", wait::secs(60), || {
        door.put_request(&path, &bytes).try_send(door.address).ok().filter(|answer| answer.status == 200)
    });
    wait::until("a write through the proxy to succeed", wait::secs(60), || {
        proxied.put_request(&path, &bytes).try_send(proxied.address).ok().filter(|answer| answer.status == 200)
    });
    assert!(door.get(&path).expect(200).body == bytes);
}

/// While connections wait that cannot be taken, each try is followed by a pause of 50 ms.
fn accepts_without_spinning(world: &mut World) {
    const TRIES: usize = 30;
    let server = world.server.running();
    let tries = |log: String| log.matches("failed to accept a connection").count();
    let (before, began, cpu) = (tries(server.log()), Instant::now(), server.cpu_time());
    wait::until("it to go on trying", wait::secs(60), || (tries(server.log()) >= before + TRIES).then_some(()));
    let (elapsed, cpu) = (began.elapsed(), server.cpu_time() - cpu);
    println!("{TRIES} tries in {elapsed:?}, and {cpu:?} of a processor");
    assert!(elapsed >= Duration::from_millis(40) * TRIES as u32, "{TRIES} tries within {elapsed:?}");
    assert!(cpu < elapsed / 2, "{cpu:?} of a processor in {elapsed:?}");
}
