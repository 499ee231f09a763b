//! `kill -9` at every step of every kind of write, at every step of a start, and in a sweep.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, World, files};

use crate::journal::{self, Journal};

/// The steps of a write that brings a blob; the last two are those of every write.
const PLACES: [&str; 10] = [
    "blob.create",
    "blob.created",
    "blob.write",
    "blob.written",
    "blob.sync",
    "blob.synced",
    "directory.sync",
    "directory.synced",
    "index.commit",
    "index.committed",
];
/// How soon after any kill the server must be ready again.
const READY: Duration = secs(5);
/// The steps of a start that finds the log of a server that was killed.
const START_PLACES: [&str; 6] =
    ["open.locked", "log.copied", "log.renewed", "directory.sync", "open.index", "open.blobs"];

/// A file whose being there arms the failpoints of a server.
fn arm(world: &World) -> PathBuf {
    world.path("armed")
}

fn restart(world: &mut World, place: &str, action: &str) {
    let armed = arm(world);
    let _ = fs::remove_file(&armed);
    world.server.set_environment(&[
        ("KHEEPER_FAILPOINTS", &format!("{place}={action}")),
        ("KHEEPER_FAILPOINTS_WHILE", &armed.display().to_string()),
    ]);
    world.server.restart_ready_within(READY);
}

fn write(armed: &Path) {
    fs::write(armed, "").expect("our own directory");
}

/// The kinds of writes, each on a key of its own.
fn writes(door: &Door, host: &Host, journal: &Journal, kind: &str, seed: u64, armed: &Path) {
    let path = host.path(&format!("sweep/{kind}"));
    let large = files::random_bytes(seed, 150_000);
    let go = || write(armed);
    match kind {
        "small" => {
            go();
            journal.write(&path, Some(large[..100].to_vec()), || journal::put(door, &path, &large[..100]));
        }
        "large" | "overwrite" => {
            if kind == "overwrite" {
                assert!(journal.write(&path, Some(large[..9_000].to_vec()), || journal::put(
                    door,
                    &path,
                    &large[..9_000]
                )));
            }
            go();
            journal.write(&path, Some(large.clone()), || journal::put(door, &path, &large));
        }
        "upload" => {
            go();
            journal.write(&path, Some(large.clone()), || journal::upload(door, &path, &large));
        }
        "complete" => {
            let id = door.create_upload(&path);
            let etag = door.part(&path, &id, 1, &large);
            go();
            let body = kheeper_e2e::s3::complete_body(&[(1, &etag)]);
            journal.write(&path, Some(large.clone()), || {
                let complete = door.request("POST", &format!("{path}?uploadId={id}")).body(body);
                complete.try_send(door.address).is_ok_and(|answer| answer.status == 200)
            });
        }
        "copy" => {
            let source = host.path("sweep/source");
            assert!(journal.write(&source, Some(large.clone()), || journal::put(door, &source, &large)));
            go();
            journal.write(&path, Some(large.clone()), || journal::copy(door, &source, &path));
        }
        _ => {
            assert!(journal.write(&path, Some(large.clone()), || journal::put(door, &path, &large)));
            go();
            journal.write(&path, None, || journal::delete(door, &path));
        }
    }
}

#[test]
fn a_server_killed_at_any_step_of_any_write_has_what_it_acknowledged() {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let journal = Journal::default();
    let kinds = ["small", "large", "overwrite", "upload", "complete", "copy", "delete"];
    let mut seed = 0;
    let mut begun_blobs = 0;
    for kind in kinds {
        let brings_a_blob = matches!(kind, "large" | "overwrite" | "upload");
        let places = if brings_a_blob { &PLACES[..] } else { &PLACES[8..] };
        for place in places {
            seed += 1;
            restart(&mut world, place, "kill");
            writes(&door, &host, &journal, kind, seed, &arm(&world));
            let running = world.server.running();
            wait::until(&format!("the end of a {kind} at {place}"), secs(30), || running.try_wait());
            restart(&mut world, "none", "kill");
            journal.check(&door, &host, &world.server);
            // What a kill leaves behind is the one file that was being written, for sweep; what has its row is not left over.
            begun_blobs += u64::from(brings_a_blob && !matches!(*place, "blob.create" | "index.committed"));
            let orphans = world.server.operator_json(&["fsck"])["orphan_blobs"].as_u64().expect("a number");
            assert!(orphans <= begun_blobs, "{orphans} files after {begun_blobs} kills: {kind} at {place}");
        }
    }
    let temporary = fs::read_dir(&world.server.data).expect("it is there").flatten().map(|entry| entry.file_name());
    let temporary: Vec<_> = temporary.filter(|name| name.to_string_lossy().ends_with(".new")).collect();
    assert!(temporary.is_empty(), "{temporary:?}");
}

#[test]
fn a_server_killed_at_any_step_of_its_start_or_of_a_sweep_has_what_it_acknowledged() {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let journal = Journal::default();
    for (round, place) in START_PLACES.into_iter().enumerate() {
        let path = host.path(&format!("start/{round}"));
        let bytes = files::random_bytes(round as u64, 50_000);
        assert!(journal.write(&path, Some(bytes.clone()), || journal::put(&door, &path, &bytes)));
        world.server.kill9();
        world.server.set_environment(&[("KHEEPER_FAILPOINTS", &format!("{place}=kill"))]);
        world.server.start_and_die();
        world.server.set_environment(&[]);
        world.server.restart_ready_within(READY);
        journal.check(&door, &host, &world.server);
    }
    for visit in 1..=6 {
        let path = host.path(&format!("sweep/{visit}"));
        let bytes = files::random_bytes(visit, 50_000);
        assert!(journal.write(&path, Some(bytes.clone()), || journal::put(&door, &path, &bytes)));
        restart(&mut world, "index.commit", &format!("kill@{visit}"));
        write(&arm(&world));
        for _ in 0..visit {
            if world.server.running().try_wait().is_none() {
                let _ = world.server.operator(&["sweep"]);
            }
        }
        world.server.kill9();
        restart(&mut world, "none", "kill");
        journal.check(&door, &host, &world.server);
    }
}
