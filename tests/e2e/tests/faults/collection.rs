//! Sweep removes what nothing refers to, while a running server goes on taking writes of every kind.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use kheeper_e2e::clock::MovedClock;
use kheeper_e2e::wait::{self, OnDrop, secs};
use kheeper_e2e::{Door, Proxy, World, command, files};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::crash::write_one;
use crate::journal::{self, Journal};

const DAY_MINUTES: u64 = 24 * 60;
/// The window of a host of which nothing else was said.
const WINDOW_MINUTES: u64 = 7 * DAY_MINUTES;
/// Days of writing, with a sweep at every step of the clock. What is condemned on one day goes on the next.
const DAYS: u64 = 5;
const WRITERS: u64 = 4;
/// Keys that one source is copied to. They stay: what a copy has lost to a sweep goes a day later.
const COPIES: u64 = 3000;

/// With no window at all, whatever is overwritten is condemned by the next sweep: while it is still read, copied or completed.
#[test]
fn a_sweep_beside_overwrites_copies_completes_and_deletes_takes_nothing_that_was_acknowledged() {
    let mut world = World::start();
    let (host, copier) = (world.host("web-01"), world.host("web-02"));
    let mut clock = MovedClock::new(&world.path("clock"));
    clock.restart(&mut world.server);
    let proxies = [&host, &copier].map(|host| Proxy::start_in(&host.cli, &[], &clock.variables()));
    let [door, copier_door] = &proxies.each_ref().map(Proxy::door);
    for host in [&host, &copier] {
        let mut set = world.alice.command(&["hosts", "set", &host.namespace(), "--retention", "0"]);
        set.envs(clock.variables());
        command::run(set, secs(30)).ok();
    }
    let journal = Journal::default();
    let commit = || {
        // A token may be from before the step.
        let tick = host.path("tick");
        wait::until("a commit", secs(30), || {
            journal.write(&tick, Some(b"tick".to_vec()), || journal::put(door, &tick, b"tick")).then_some(())
        });
    };
    // A shorter window holds once the one before it has passed.
    clock.pass_until(WINDOW_MINUTES + 60, commit);

    let (over, acknowledged, copied) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut removed = 0;
    let mut sweep = || {
        let report = world.server.operator_json(&["sweep"]);
        assert_eq!(report["refused"], serde_json::Value::Null, "{report}");
        removed += report["deleted_contents"].as_u64().expect("a number");
    };
    let mut commit_and_sweep = || {
        commit();
        sweep();
    };
    thread::scope(|scope| {
        // A panic ends the others too.
        let _over = OnDrop(|| over.store(true, Ordering::Relaxed));
        let (over, acknowledged, copied, journal, host) = (&over, &acknowledged, &copied, &journal, &host);
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(writer);
                while !over.load(Ordering::Relaxed) {
                    let written = write_one(door, host, journal, writer, &mut random);
                    acknowledged.fetch_add(u64::from(written), Ordering::Relaxed);
                }
            });
        }
        // One overwrites what the other copies.
        scope.spawn(|| {
            for turn in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                journal::put(copier_door, &copier.path("source"), &whole(turn));
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let number = copied.load(Ordering::Relaxed);
                let to = copier.path(&format!("copy/{}", number % COPIES));
                if journal::copy(copier_door, &copier.path("source"), &to) {
                    copied.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let end = clock.minutes() + DAYS * DAY_MINUTES;
        clock.pass_until(end, &mut commit_and_sweep);
    });
    // What was condemned last goes too.
    let end = clock.minutes() + 2 * DAY_MINUTES;
    clock.pass_until(end, &mut commit_and_sweep);
    let copied = copied.into_inner();
    println!("{acknowledged:?} writes and {copied} copies beside the sweeps, which removed {removed} contents");
    assert!(removed > 0 && copied > 0, "there was nothing to remove, or nothing to take it from");
    for copy in 0..copied.min(COPIES) {
        assert_whole(copier_door, &copier.path(&format!("copy/{copy}")));
    }
    journal.check(door, &host, &world.server);
}

/// Bytes that say themselves what they must be.
fn whole(turn: u64) -> Vec<u8> {
    [&turn.to_le_bytes()[..], &files::random_bytes(turn, 20_000)].concat()
}

#[track_caller]
fn assert_whole(door: &Door, path: &str) {
    // A token from before a step of the clock may be refused.
    let found = wait::until("the copy to be read", secs(30), || {
        let answer = door.get(path);
        assert!(matches!(answer.status, 200 | 403 | 503), "{answer}");
        (answer.status == 200).then_some(answer.body)
    });
    let turn = found.first_chunk().map(|turn| u64::from_le_bytes(*turn)).expect("eight bytes at least");
    assert!(found == whole(turn), "{path} is not what somebody wrote");
}
