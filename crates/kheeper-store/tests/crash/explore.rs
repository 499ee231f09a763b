//! Runs: each kind of operation stopped at each of its steps, and then whatever chance brings.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use kheeper_model::{Clock as _, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::operation::Kind;
use crate::sim_disk::{Errno, Fault, Loss, Step};
use crate::world::World;

/// Steps of a disk that one run of `./test` makes; two runs of it go side by side.
const STEPS: u64 = 55_000;
const LOSSES: [Loss; 3] = [Loss::Nothing, Loss::Everything, Loss::ByChance];

/// What a run came to.
#[derive(Default)]
struct Tally {
    operations: u64,
    crashes: u64,
    failures: u64,
    /// How often each kind of operation was stopped at each kind of step.
    stopped: BTreeMap<(Kind, Step), u64>,
}

struct Run {
    world: World,
    chance: StdRng,
    tally: Tally,
    /// The most steps that an operation of each kind has taken so far.
    longest: BTreeMap<Kind, u64>,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let chance = StdRng::seed_from_u64(seed);
        Self { world: World::new(seed).await, chance, tally: Tally::default(), longest: BTreeMap::new() }
    }

    /// Does one operation with a fault at one of its steps, or none; the power fails if it was stopped. Returns the step.
    async fn operate(&mut self, kind: Kind, fault: Option<(u64, Fault)>, loss: Loss) -> Option<Step> {
        let world = &mut self.world;
        self.tally.operations += 1;
        world.clock.set(Timestamp(world.clock.now().as_millis() + self.chance.random_range(1..2_000)));
        if kind == Kind::Sweep {
            world.pass_hours(self.chance.random_range(1..6)).await;
            if self.chance.random_bool(0.3) {
                world.pass_hours(26).await;
            }
            world.model.forget_repeatable();
        }
        if kind == Kind::PutOnNewDay {
            world.pass_hours(49).await;
            world.model.forget_repeatable();
        }
        world.require();
        let stops = matches!(fault, Some((_, Fault::Stop)));
        let faulted = if kind == Kind::Start {
            self.tally.crashes += 1;
            world.crash(loss, &mut self.chance, fault).await
        } else {
            world.disk.begin(fault);
            let done = world.perform(kind, &mut self.chance).await;
            let (faulted, steps) = world.disk.end();
            let longest = self.longest.entry(kind).or_default();
            *longest = (*longest).max(steps.len() as u64);
            assert!(done.is_ok() || faulted.is_some(), "{kind:?}: {done:?} on a disk that is well");
            world.require();
            if stops {
                self.tally.crashes += 1;
                world.crash(loss, &mut self.chance, None).await;
            } else if faulted.is_some() {
                self.tally.failures += 1;
            }
            faulted
        };
        let broken = self.world.disk.take_broken();
        assert!(broken.is_empty(), "{kind:?}, hurt at {faulted:?}: {broken:#?}");
        if let (Some(step), true) = (faulted, stops) {
            *self.tally.stopped.entry((kind, step)).or_default() += 1;
        }
        if fault.is_some() {
            self.world.check().await;
        }
        faulted
    }

    /// Lets things be there to be read, copied, completed and swept.
    async fn populate(&mut self) {
        for _ in 0..4 {
            for kind in [Kind::PutSmall, Kind::PutLarge, Kind::CreateUpload, Kind::PutPart] {
                self.operate(kind, None, Loss::Nothing).await;
            }
        }
    }

    /// Stops a kind of operation at its first step, its second, and so on, until it ends before it is stopped.
    async fn stop_everywhere(&mut self, kind: Kind, loss: Loss) {
        let mut missed = 0;
        for at in 1.. {
            self.populate().await;
            // Chance decides what an operation is: the next one may be longer.
            match self.operate(kind, Some((at, Fault::Stop)), loss).await {
                Some(_) => missed = 0,
                None => missed += 1,
            }
            if missed == 3 || at > 400 {
                return;
            }
        }
    }

    async fn at_random(&mut self) {
        let all: u32 = Kind::ALL.iter().map(|(_, weight)| weight).sum();
        let mut pick = self.chance.random_range(0..all);
        let kind = Kind::ALL.iter().find(|(_, weight)| {
            let found = pick < *weight;
            pick = pick.saturating_sub(*weight);
            found
        });
        let Some((kind, _)) = kind.copied() else { unreachable!("the weights add up") };
        let at = self.chance.random_range(1..=self.longest.get(&kind).copied().unwrap_or(30) + 1);
        let fault = match self.chance.random_range(0..20) {
            0..2 => Some((at, Fault::Stop)),
            2 => Some((at, Fault::Fail(Errno::Io))),
            3 => Some((at, Fault::Fail(Errno::NoSpace))),
            _ => None,
        };
        let loss = LOSSES[self.chance.random_range(0..LOSSES.len())];
        self.operate(kind, fault, loss).await;
    }

    fn report(&self, seed: u64) {
        let Tally { operations, crashes, failures, stopped } = &self.tally;
        println!(
            "seed {seed}: {} disk steps, {operations} operations, {crashes} crashes, {failures} failed steps",
            self.world.disk.steps()
        );
        for ((kind, step), count) in stopped {
            println!("  {kind:?} stopped at {step:?}: {count}");
        }
    }
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Runs on a runtime of its own, and says how to repeat it if it fails.
fn run(seed: u64, steps: u64, play: impl AsyncFnOnce(&mut Run)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut run = Run::new(seed).await;
            play(&mut run).await;
            run.world.check().await;
            run.report(seed);
        });
    }));
    if let Err(panic) = played {
        eprintln!("to repeat: KHEEPER_SEED={seed} KHEEPER_STEPS={steps} cargo test -p kheeper-store --test crash");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn every_operation_stopped_at_every_step_leaves_what_was_acknowledged_and_nothing_else() {
    let seed = environment("KHEEPER_SEED").unwrap_or(1);
    run(seed, 0, async |run| {
        for loss in LOSSES {
            for (kind, _) in Kind::ALL {
                run.stop_everywhere(kind, loss).await;
            }
        }
        for (kind, step) in [
            (Kind::PutLarge, Step::Create),
            (Kind::PutLarge, Step::Write),
            (Kind::PutLarge, Step::Sync),
            (Kind::PutLarge, Step::SyncDirectory),
            (Kind::PutPart, Step::SyncDirectory),
            (Kind::PutOnNewDay, Step::CreateDirectory),
            (Kind::PutOnNewDay, Step::SyncDirectory),
            (Kind::Start, Step::CreateDirectory),
        ] {
            assert!(run.tally.stopped.contains_key(&(kind, step)), "{kind:?} was never stopped at a {step:?}");
        }
    });
}

fn at_random(seed: u64) {
    let steps = environment("KHEEPER_STEPS").unwrap_or(STEPS);
    run(seed, steps, async |run| {
        run.populate().await;
        while run.world.disk.steps() < steps {
            run.at_random().await;
        }
    });
}

/// The seed is printed; `KHEEPER_SEED` and `KHEEPER_STEPS` repeat a run, or make a long one.
#[test]
fn runs_of_random_operations_and_faults_never_lose_or_alter_what_was_acknowledged() {
    at_random(environment("KHEEPER_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>())));
}

#[test]
fn a_run_of_a_known_seed_never_loses_or_alters_what_was_acknowledged() {
    at_random(environment("KHEEPER_SEED").map_or(20_261_122, |seed| seed + 1));
}

#[test]
fn a_sync_that_is_left_out_is_noticed() {
    for lie in [Step::Sync, Step::SyncDirectory] {
        let noticed = std::panic::catch_unwind(|| {
            run(1, 0, async |run| {
                run.world.disk.lie_about(lie);
                for _ in 0..20 {
                    run.operate(Kind::PutLarge, Some((9, Fault::Stop)), Loss::Everything).await;
                }
            });
        });
        assert!(noticed.is_err(), "{lie:?} was left out, and nobody noticed");
    }
}
