//! A snapshot of a server that serves, and a server that is restored from it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kheeper_e2e::command::{self, Done};
use kheeper_e2e::http::Request;
use kheeper_e2e::wait::secs;
use kheeper_e2e::world::{Host, text};
use kheeper_e2e::{World, files};

fn snapshot(world: &World, to: &Path) -> Done {
    let mut command = Command::new(world.bin().join("kheeper-server"));
    command.arg("snapshot").arg(to).arg("--data").arg(&world.server.data).arg("--json").current_dir("/");
    command::run(command, secs(60))
}

fn get(world: &World, path: &str) -> kheeper_e2e::http::Response {
    Request::new("GET", path).send(world.server.address())
}

/// What was stored under a number before the snapshot was taken.
fn bytes_of(number: usize) -> Vec<u8> {
    files::random_bytes(number as u64, [900, 50_000, 2_500_000][number % 3] + number)
}

fn assert_stored(world: &World, host: &Host, count: usize) {
    let door = world.direct(&host.cli);
    for number in 0..count {
        let read = door.get(&host.path(&format!("before/{number}"))).expect(200);
        assert!(read.body == bytes_of(number), "before/{number}");
    }
}

#[test]
fn a_server_restored_from_a_snapshot_has_all_of_it_and_lets_nobody_in_before_it_is_confirmed() {
    let mut world = World::start();
    let (host, lost, lent) = (world.host("web-01"), world.host("web-02"), world.host("web-03"));
    let invitation = world.invite("web-04");
    world.alice.ok(&["grants", "create", "myorg/web-01", "--to", "web-03", "--read", "--for", "1h"]);
    world.direct(&lent.cli).get(&host.path("before/0")).expect(404);
    let door = world.direct(&host.cli);
    for number in 0..30 {
        door.put(&host.path(&format!("before/{number}")), &bytes_of(number)).expect(200);
    }
    door.put(&host.path("deleted"), &bytes_of(1)).expect(200);
    door.delete(&host.path("deleted")).expect(204);

    // Taken while others write.
    let (first, second) = (world.path("snapshot"), world.path("another"));
    let stop = AtomicBool::new(false);
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let path = host.path(&format!("meanwhile/{}", number % 7));
                world.direct(&host.cli).put(&path, &bytes_of(number)).expect(200);
            }
        });
        let taken = snapshot(&world, &first);
        stop.store(true, Ordering::Relaxed);
        taken.json()
    });
    assert_eq!((&report["damaged_count"], &report["removed_blobs"]), (&0.into(), &0.into()), "{report}");
    assert!(report["copied_blobs"].as_u64() >= Some(21) && report["copied_blobs"] == report["blobs"], "{report}");
    let names: Vec<_> =
        fs::read_dir(&world.server.data).expect("ours").map(|entry| entry.expect("ours").file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("snapshot-")), "{names:?}");
    assert_eq!(fs::metadata(&first).expect("it is there").mode() & 0o777, 0o700);

    let again = snapshot(&world, &first).json();
    assert!(again["copied_blobs"].as_u64() < Some(10), "what is there already is not copied again: {again}");
    // Revoked and written after it.
    world.alice.ok(&["hosts", "revoke", "myorg/web-02"]);
    door.put(&host.path("after"), b"too late").expect(200);
    snapshot(&world, &second).ok();
    world.server.kill9();

    // The worst day: the machine is gone, and the snapshot before the last is what there is.
    world.server.data = first;
    world.server.restart();
    let answer = world.direct(&host.cli).get(&host.path("before/0")).expect(503);
    assert!(answer.text().contains("kheeper-server quarantine end"), "{answer}");
    world.direct(&host.cli).put(&host.path("x"), b"x").expect(503);
    assert_eq!(get(&world, "/-/readyz").status, 503);
    assert!(get(&world, "/-/metrics").expect(200).text().contains("kheeper_quarantined 1"));
    let status = host.cli.run(&["status"]).failed();
    assert!(status.text().contains("quarantine"), "{status}");
    let join = world.cli("web-04").run(&["hosts", "join", &invitation]).failed();
    assert!(join.text().contains("quarantine"), "{join}");

    let shown = world.server.operator_json(&["quarantine", "show"]);
    let keys = shown["keys"].as_array().expect("a list");
    let key_of = |name: &str| text(&keys.iter().find(|key| key["name"] == name).expect("its key is there")["key_id"]);
    let revoked = key_of("myorg/web-02");
    let unsaid = world.server.operator(&["quarantine", "end"]).failed();
    assert!(unsaid.text().contains("--nothing-revoked"), "{unsaid}");
    let swept = world.server.operator(&["sweep"]).failed();
    assert!(swept.text().contains("quarantine"), "{swept}");
    world.server.operator(&["quarantine", "end", "--revoke", &revoked]).ok();

    assert_eq!(get(&world, "/-/readyz").status, 200);
    assert_stored(&world, &host, 30);
    let door = world.direct(&host.cli);
    door.get(&host.path("deleted")).expect(404);
    door.put(&host.path("new"), &bytes_of(2)).expect(200);
    world.direct(&lost.cli).get(&lost.path("x")).expect(403);
    world.direct(&lent.cli).get(&host.path("before/0")).expect(403);
    let join = world.cli("web-04").run(&["hosts", "join", &invitation]).failed();
    assert!(!join.text().contains("quarantine"), "the token is void: {join}");
    world.server.operator(&["fsck", "--read-data"]).ok();
    world.server.operator(&["audit", "verify"]).ok();

    // The restored store goes on as the same one: its next snapshot fits where the last one was.
    assert_eq!(snapshot(&world, &second).json()["damaged_count"], 0);
    let live = world.server.data.clone();
    let refused = snapshot(&world, &live).failed();
    assert!(refused.text().contains("data directory itself"), "{refused}");
}
