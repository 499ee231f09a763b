//! `kill -9` at random in the middle of mixed writes: everything acknowledged is there, byte for byte.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, World, files};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::journal::{self, Journal};

/// Kills in a run of `./test`, which takes about a minute; `KHEEPER_KILLS=200` is the long form.
const KILLS: u64 = 40;
/// Minutes in which all of them must be over.
const MINUTES: u64 = 10;
const WRITERS: u64 = 8;
const KEYS_PER_WRITER: u64 = 8;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn everything_acknowledged_survives_kill_9_at_random_under_mixed_writes() {
    let (seed, kills) = (number("KHEEPER_SEED").unwrap_or_else(rand::random), number("KHEEPER_KILLS").unwrap_or(KILLS));
    println!("KHEEPER_SEED={seed} KHEEPER_KILLS={kills}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let journal = Journal::in_file(&world.path("journal"));
    let began = Instant::now();
    let mut written = 0;
    for kill in 0..kills {
        // Tokens end: the direct door gets a new one now and then.
        let doors = [world.direct(&host.cli), proxy.door()];
        let (enough, seed) = (random.random_range(0..60), random.random());
        let server = &mut world.server;
        written += write_until(&doors, &host, &journal, (seed, enough), || server.kill9());
        if random.random_bool(0.2) {
            world.server.start_and_kill9(Duration::from_millis(random.random_range(0..400)));
        }
        world.server.restart_ready_within(secs(5));
        assert_eq!(journal.contradictions(&doors[0], &host), Vec::<String>::new(), "after kill {kill}");
        let last = kill + 1 == kills;
        let fsck: &[&str] = if last || kill % 10 == 0 { &["fsck", "--read-data"] } else { &["fsck"] };
        let fsck = world.server.operator_json(fsck);
        assert_eq!(fsck["finding_count"], 0, "{fsck}");
        if last || kill % 5 == 0 {
            assert_usage_is_what_fsck_counts(&world, &fsck);
            assert_usage_is_what_is_listed(&world, &doors[0]);
        }
        if last {
            let (took, orphans) = (began.elapsed(), &fsck["orphan_blobs"]);
            println!("{kills} kills in {took:?}, {written} writes acknowledged, {orphans} orphans for sweep");
        }
        assert!(began.elapsed() < secs(60 * MINUTES), "only {} of {kills} kills in {MINUTES} minutes", kill + 1);
    }
}

/// Writes with all writers until `enough` writes are acknowledged, and then lets `hurt` end it. How many were.
fn write_until(
    doors: &[Door],
    host: &Host,
    journal: &Journal,
    (seed, enough): (u64, usize),
    hurt: impl FnOnce(),
) -> usize {
    let (over, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (over, acknowledged) = (&over, &acknowledged);
            let door = &doors[writer as usize % doors.len()];
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(seed ^ writer);
                while !over.load(Ordering::Relaxed) {
                    if write_one(door, host, journal, writer, &mut random) {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let came = wait::poll(secs(60), || (acknowledged.load(Ordering::Relaxed) >= enough).then_some(()));
        hurt();
        over.store(true, Ordering::Relaxed);
        assert!(came.is_some(), "only {} writes were acknowledged", acknowledged.load(Ordering::Relaxed));
    });
    acknowledged.into_inner()
}

/// One write of a writer that has a few keys of its own: PUTs small and large, new and over what is there, uploads in parts,
/// copies, deletions.
pub(crate) fn write_one(door: &Door, host: &Host, journal: &Journal, writer: u64, random: &mut StdRng) -> bool {
    let path = |random: &mut StdRng| host.path(&format!("w{writer}/k{}", random.random_range(0..KEYS_PER_WRITER)));
    let (to, kind) = (path(random), random.random_range(0..20));
    let length = match kind {
        0..7 => random.random_range(0..4097),
        19 => random.random_range(5 << 20..6 << 20),
        _ => random.random_range(4097..300_000),
    };
    let bytes = files::random_bytes(random.random(), length);
    match kind {
        0..12 => journal.write(&to, Some(bytes.clone()), || journal::put(door, &to, &bytes)),
        12..15 => journal.write(&to, None, || journal::delete(door, &to)),
        15..17 => {
            let from = path(random);
            let Some(bytes) = journal.known(&from) else { return false };
            journal.write(&to, Some(bytes), || journal::copy(door, &from, &to))
        }
        _ => journal.write(&to, Some(bytes.clone()), || journal::upload(door, &to, &bytes)),
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
