//! The index cannot be synced, its log or what the log is moved into: nothing more is acknowledged, writes stop until a
//! restart, and reads go on.

use std::fs;
use std::process::Command;

use kheeper_e2e::process::Running;
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::{Door, World, files};

#[test]
fn a_failed_sync_of_the_index_stops_writes_until_a_restart_and_reads_go_on() {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let (kept, lost) = (host.path("kept"), host.path("lost"));
    let bytes = files::random_bytes(1, 50_000);
    door.put(&kept, &bytes).expect(200);
    let ready = Door::anonymous(world.server.address());
    ready.get("/-/readyz").expect(200);

    let mut strace = attach(&mut world, "index.db-wal");
    door.put(&lost, b"small").expect_error(503, "ServiceUnavailable");
    strace.terminate(secs(10));
    // The disk is well again, and no write is taken all the same.
    door.put(&lost, b"small").expect_error(503, "ServiceUnavailable");
    door.put(&kept, &files::random_bytes(2, 60_000)).expect_error(503, "ServiceUnavailable");
    door.delete(&kept).expect_error(503, "ServiceUnavailable");
    ready.get("/-/readyz").expect(503);
    assert!(door.get(&kept).expect(200).body == bytes);
    assert_eq!(door.keys("myorg", "web-01/", 5), ["web-01/kept"]);

    world.server.kill9();
    world.server.restart();
    assert!(door.get(&kept).expect(200).body == bytes);
    let found = door.get(&lost);
    assert!(found.status == 404 || found.body == b"small", "{found}");
    door.put(&lost, b"again").expect(200);
    assert_eq!(door.get(&lost).expect(200).body, b"again");
    ready.get("/-/readyz").expect(200);
    world.server.operator(&["fsck", "--read-data"]).ok();
}

#[test]
fn a_failed_checkpoint_of_the_index_stops_writes_until_a_restart_and_reads_go_on() {
    /// Of log: a checkpoint begins at 16 MiB, and tracing slows down whatever comes before it.
    const ALMOST_DUE: u64 = 12 << 20;
    /// Objects of 4 KiB, each of which adds several pages to the log.
    const ENOUGH: u64 = 8000;

    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let large = host.path("large");
    let bytes = files::random_bytes(1, 50_000);
    door.put(&large, &bytes).expect(200);
    let ready = Door::anonymous(world.server.address());
    ready.get("/-/readyz").expect(200);
    let small = |number: u64| (host.path(&format!("small/{number:04}")), files::random_bytes(number, 4096));
    let put = |number: u64| {
        let (path, bytes) = small(number);
        door.put(&path, &bytes)
    };

    let log = world.server.data.join("index.db-wal");
    let mut acknowledged = 0;
    while fs::metadata(&log).expect("the log is there").len() < ALMOST_DUE {
        put(acknowledged).expect(200);
        acknowledged += 1;
    }
    let mut strace = attach(&mut world, "index.db");
    let refused = loop {
        assert!(acknowledged < ENOUGH, "no checkpoint has failed: {}", world.server.running().log());
        let answer = put(acknowledged);
        if answer.status != 200 {
            break answer;
        }
        acknowledged += 1;
    };
    println!("{acknowledged} objects were acknowledged before a checkpoint failed");
    refused.expect_error(503, "ServiceUnavailable");
    ready.get("/-/readyz").expect(503);
    strace.terminate(secs(10));
    // The disk is well again, and no write is taken all the same.
    put(acknowledged).expect_error(503, "ServiceUnavailable");
    door.put(&large, &files::random_bytes(2, 60_000)).expect_error(503, "ServiceUnavailable");
    door.delete(&large).expect_error(503, "ServiceUnavailable");
    ready.get("/-/readyz").expect(503);
    let all_are_there = || {
        for number in 0..acknowledged {
            let (path, bytes) = small(number);
            assert!(door.get(&path).expect(200).body == bytes, "{path}");
        }
        assert!(door.get(&large).expect(200).body == bytes);
        let listed = door.keys("myorg", "web-01/small/", 1000);
        assert!((acknowledged..=acknowledged + 1).contains(&(listed.len() as u64)), "{} are listed", listed.len());
    };
    all_are_there();

    world.server.kill9();
    world.server.restart();
    ready.get("/-/readyz").expect(200);
    all_are_there();
    put(acknowledged).expect(200);
    world.server.operator(&["fsck", "--read-data"]).ok();
}

/// Lets every sync of one of the index's files fail from now on.
fn attach(world: &mut World, file: &str) -> Running {
    let file = world.server.data.join(file);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-p", &world.server.running().pid().to_string(), "-P"]).arg(file);
    strace.args(["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]);
    let strace = Running::start("strace", strace);
    let pid = world.server.running().pid();
    wait::until("strace to be attached", secs(20), || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let traced = |task: std::fs::DirEntry| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
        };
        tasks.map_while(Result::ok).all(traced).then_some(())
    });
    strace
}
