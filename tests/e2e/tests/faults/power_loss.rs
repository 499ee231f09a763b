//! The power fails under a loaded server, on real file systems; and the test of this test, with a sync left out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kheeper_e2e::{World, unix};

use crate::filesystem::FileSystem;
use crate::journal::{Journal, write_until};

/// Cycles on each file system; `KHEEPER_FAULT_CYCLES` makes it more.
fn cycles() -> u64 {
    std::env::var("KHEEPER_FAULT_CYCLES").ok().and_then(|cycles| cycles.parse().ok()).unwrap_or(8)
}

/// Cuts the power `cycles` times; what was lost in the first cycle that lost something. `left_out` is a variable that keeps the
/// server from syncing.
fn lose_power(kind: &str, cycles: u64, left_out: Option<(&str, &str)>) -> Option<(u64, Vec<String>)> {
    let dir = World::directory();
    let (image, at) = (dir.path().join("image"), dir.path().join("disk"));
    let filesystem = FileSystem::in_image(kind, &image, &at);
    let mut world = World::start_in(dir, &at.join("data"), &[]);
    // Declared after the world, so that it is unmounted before the world's directory is removed.
    let filesystem = filesystem;
    let host = world.host("web-01");
    let journal = Journal::default();
    if let Some(variable) = left_out {
        world.server.terminate();
        world.server.set_environment(&[variable]);
        world.server.restart();
    }
    let doors = [world.direct(&host.cli)];
    for cycle in 0..cycles {
        let enough = 20 + (cycle * 37 % 100) as usize;
        write_until(&doors, &host, &journal, (cycle, 6, enough), || {
            journal.go_dark();
            filesystem.cut_power();
        });
        world.server.kill9();
        filesystem.restore_power();
        let checked = catch_unwind(AssertUnwindSafe(|| {
            world.server.restart();
            let mut wrong = journal.contradictions(&doors[0], &host);
            let fsck = world.server.operator(&["fsck", "--read-data"]);
            if !fsck.status.success() {
                wrong.push(fsck.text());
            }
            wrong
        }));
        // A server that does not even start has lost everything.
        let wrong = checked.unwrap_or_else(|_| vec!["the server did not start, or did not answer".to_owned()]);
        if !wrong.is_empty() {
            return Some((cycle + 1, wrong));
        }
    }
    println!("{kind}: {cycles} cycles survived");
    None
}

fn survives(kind: &str) {
    if !unix::is_root_for(&format!("everything_acknowledged_survives_power_loss_on_{kind}")) {
        return;
    }
    assert_eq!(lose_power(kind, cycles(), None), None);
}

#[test]
fn everything_acknowledged_survives_power_loss_on_ext4() {
    survives("ext4");
}

#[test]
fn everything_acknowledged_survives_power_loss_on_xfs() {
    survives("xfs");
}

#[test]
fn the_harness_notices_when_blobs_or_the_index_are_not_synced() {
    if !unix::is_root_for("the_harness_notices_when_blobs_or_the_index_are_not_synced") {
        return;
    }
    let failpoints = ["blob.sync=skip", "index.sync=skip", "blob.sync=skip,directory.sync=skip,index.sync=skip"];
    let mut variables = failpoints.map(|points| ("KHEEPER_FAILPOINTS", points.to_owned())).to_vec();
    match libeatmydata() {
        Some(library) => variables.push(("LD_PRELOAD", library)),
        None => println!("no libeatmydata here: the failpoints stand for it"),
    }
    for (name, value) in &variables {
        let found = lose_power("ext4", 20, Some((name, value)));
        let (cycle, wrong) = found.unwrap_or_else(|| panic!("20 cycles with {name}={value}, and nothing was noticed"));
        println!("with {name}={value}: noticed in cycle {cycle}: {} things, such as {}", wrong.len(), wrong[0]);
    }
}

/// Debian's package libeatmydata1, which makes every sync of a program nothing at all.
fn libeatmydata() -> Option<String> {
    let libraries = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("libeatmydata.so"));
    libraries.map(|library| library.display().to_string()).find(|library| std::path::Path::new(library).exists())
}
