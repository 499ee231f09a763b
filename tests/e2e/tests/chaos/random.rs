//! PostgreSQL archives under load while PostgreSQL, proxy, server, network and disk are hurt at random.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kheeper_e2e::archiver::{Archiver, Barman, WalG};
use kheeper_e2e::binaries::walg_is_here;
use kheeper_e2e::unix;
use kheeper_e2e::wait::{self, OnDrop, secs};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::hurt::Hurt;
use crate::stage::{Committed, Stage, load};

/// How long it goes on unless `KHEEPER_CHAOS_SECONDS` says otherwise.
const SECONDS: u64 = 45;

#[test]
fn what_barman_cloud_archived_while_everything_was_hurt_is_there_and_restores() {
    archive_while_everything_is_hurt(&Barman::DISTRIBUTION);
}

#[test]
fn what_wal_g_archived_while_everything_was_hurt_is_there_and_restores() {
    if walg_is_here("chaos") {
        archive_while_everything_is_hurt(&WalG);
    }
}

fn archive_while_everything_is_hurt(archiver: &'static dyn Archiver) {
    if !unix::is_root_for("chaos random") {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("KHEEPER_SEED").unwrap_or_else(rand::random);
    let seconds = number("KHEEPER_CHAOS_SECONDS").unwrap_or(SECONDS);
    let name = archiver.name();
    say(&format!("{name}: KHEEPER_SEED={seed} KHEEPER_CHAOS_SECONDS={seconds}\n"));
    let mut stage = Stage::set(archiver);
    let (committed, stop) = (Mutex::new(Committed::default()), AtomicBool::new(false));
    let client = stage.cluster.client();
    let hurts = thread::scope(|scope| {
        // A panic ends the others too.
        let _stop = OnDrop(|| stop.store(true, Ordering::Relaxed));
        scope.spawn(|| Committed::go_on(&committed, &client, &stop));
        scope.spawn(|| load(&client, &stop));
        hurt_for(secs(seconds), seed, name, &mut stage)
    });

    // Everybody is well again and nobody helps: what there is to archive is archived.
    let healed = Instant::now();
    let count = stage.archived().digests.len();
    let contents = stage.contents();
    stage.cluster.sql("select pg_logical_emit_message(true, 'chaos', 'the end')");
    let last = stage.cluster.switch_segment();
    wait::until("archiving to go on", secs(60), || (stage.archived().digests.len() > count).then_some(()));
    let resumed = healed.elapsed();
    stage.cluster.wait_until_archived(&last);
    let drained = healed.elapsed();
    let archived = stage.archived();
    stage.check_store(&archived);
    let committed = committed.into_inner().expect("no holder panics");
    committed.check(&stage.cluster);

    stage.cluster.destroy();
    archiver.restore_latest(&stage.site, &stage.cluster.data);
    stage.cluster.begin_recovery();
    stage.cluster.start();
    committed.check(&stage.cluster);
    assert_eq!(stage.contents(), contents, "the restore ends where the archive does");
    say(&format!(
        "{name}: {hurts} hurts, {} segments archived and equal, {} archive commands failed, {} rows committed and restored; \
         archiving went on {resumed:?} after the last one, all was archived after {drained:?}; KHEEPER_SEED={seed}\n",
        archived.digests.len(),
        archived.failures,
        committed.count()
    ));
    stage.cluster.stop();
}

/// Hurts one or two at a time, heals them, and lets them breathe. How often.
fn hurt_for(time: Duration, seed: u64, name: &str, stage: &mut Stage) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < time {
        let mut hurts = vec![Hurt::draw(&mut random)];
        let second = Hurt::draw(&mut random);
        if random.random_ratio(1, 3) && second.whom() != hurts[0].whom() {
            hurts.push(second);
        }
        let long = random.random_ratio(1, 15);
        let hold = Duration::from_millis(if long {
            random.random_range(5000..25_000)
        } else {
            random.random_range(100..4000)
        });
        let breath = Duration::from_millis(random.random_range(100..3000));
        say(&format!("{name} {:7.1} s: {hurts:?} for {hold:?}\n", begun.elapsed().as_secs_f64()));
        count += hurts.len();
        hurts.iter().for_each(|hurt| hurt.inflict(stage));
        // Pauses that wait for nothing: they are how long it hurts.
        thread::sleep(hold);
        hurts.iter().rev().for_each(|hurt| hurt.heal(stage));
        thread::sleep(breath);
    }
    count
}

/// Past the capture of the test runner: the seed of a run that hangs must have been seen.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
