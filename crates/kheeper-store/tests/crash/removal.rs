//! Sweep as it removes: stopped at each step of its removal, and met by writes that come late.
//!
//! Only what was condemned for a day is removed, which a run of random operations seldom has. Here the clock that is passed
//! in makes it so, and the one sweep that then removes is hurt at each of its steps in turn.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use kheeper_model::{AttemptId, Clock as _, ObjectHeaders};
use kheeper_store::{NewObject, NewPart, NewUpload, Precondition, PutWriter, StoreError, SweepReport};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::model::Upload;
use crate::operation::{Kind, integrity};
use crate::sim_disk::{Errno, Fault, Loss, Step};
use crate::world::{World, key};

/// More than what is condemned waits for.
const DAY_AND_MORE_HOURS: u64 = 26;
/// More than a lease lasts.
const LEASE_SECS: u64 = 61;
/// Enough that the file is there before the commit.
const LATE_BYTES: usize = 1_200_000;

/// A world in which the next sweep removes something of every kind.
struct Condemned {
    world: World,
    chance: StdRng,
    /// The files that it removes.
    doomed: BTreeSet<PathBuf>,
    /// Writes that began before all that, and may be committed yet.
    late: Vec<Late>,
}

/// A write whose blob sweep took for an orphan.
struct Late {
    key: &'static str,
    bytes: Vec<u8>,
    writer: PutWriter,
}

impl Condemned {
    async fn new(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed).await;
        // Blobs of objects that are overwritten or deleted, of copies, of parts that are replaced, given up or listed.
        let kinds = [Kind::PutLarge, Kind::PutLarge, Kind::Copy, Kind::CreateUpload, Kind::PutPart, Kind::PutPart];
        for _ in 0..6 {
            for kind in kinds {
                world.operate(kind, &mut chance).await;
            }
        }
        // A blob that a crash left behind before its commit.
        world.disk.begin(Some((5, Fault::Stop)));
        let stopped = world.perform(Kind::PutLarge, &mut chance).await;
        world.disk.end();
        assert!(stopped.is_err());
        world.crash(Loss::Nothing, &mut chance, None).await;
        let late = late_writes(&mut world, &mut chance).await;

        world.pass_hours(DAY_AND_MORE_HOURS).await;
        let kinds = [Kind::PutPart, Kind::PutPart, Kind::PutPart, Kind::Complete, Kind::Abort, Kind::Delete];
        for kind in kinds {
            world.operate(kind, &mut chance).await;
        }
        let report = world.sweep().await;
        assert!(report.purged_versions > 2 && report.condemned_blobs > 2, "{report:?}");
        let needed = world.model.required(world.clock.now());
        let doomed = world.disk.files().difference(&needed).cloned().collect();
        world.pass_hours(DAY_AND_MORE_HOURS).await;
        world.model.forget_repeatable();
        world.require();
        Self { world, chance, doomed, late }
    }

    /// Which steps the sweep takes when nothing hurts it, from the first removal on: their numbers, and what they are.
    async fn steps_of_removal(seed: u64) -> Vec<(u64, Step)> {
        let Self { mut world, doomed, late: _late, .. } = Self::new(seed).await;
        world.disk.begin(None);
        let report = world.sweep().await;
        let (_, steps) = world.disk.end();
        assert!(report.deleted_contents > 2 && report.deleted_blobs > 2, "{report:?}");
        assert!(doomed.is_disjoint(&world.disk.files()));
        world.check().await;
        let steps = (1..).zip(steps).skip_while(|(_, step)| *step != Step::Remove);
        steps.collect()
    }
}

impl World {
    async fn operate(&mut self, kind: Kind, chance: &mut StdRng) {
        self.clock.advance_secs(1);
        self.disk.begin(None);
        self.perform(kind, chance).await.unwrap();
        self.disk.end();
        self.require();
    }

    async fn sweep(&mut self) -> SweepReport {
        // What was hidden long enough may go by now.
        self.require();
        let report = self.store.sweep().await.unwrap();
        assert_eq!(report.refused, None);
        report
    }
}

/// A PUT and a part that have sent most of their bytes, and no more for days.
async fn late_writes(world: &mut World, chance: &mut StdRng) -> Vec<Late> {
    let bytes: Vec<u8> = (0..LATE_BYTES).map(|_| chance.random()).collect();
    let name = "web-01/e";
    let put = NewObject {
        key: key(name),
        attempt: AttemptId([1; 16]),
        began: world.store.now(),
        length: None,
        headers: ObjectHeaders::new(),
        precondition: Precondition::NONE,
    };
    let upload =
        NewUpload { key: key(name), attempt: AttemptId([2; 16]), headers: ObjectHeaders::new(), checksum: None };
    let id = world.host.create_upload(upload).await.unwrap();
    let active_at = world.clock.now();
    world.model.uploads.push(Upload { id, key: name.to_owned(), active_at, parts: Default::default() });
    let part = NewPart { key: key(name), upload: id, number: 1, attempt: AttemptId([3; 16]), length: None };
    let mut late = Vec::new();
    for mut writer in [world.host.begin_put(put).await.unwrap(), world.host.begin_part(part).await.unwrap()] {
        let whole = world.disk.written_bytes() + LATE_BYTES;
        writer.write(Bytes::copy_from_slice(&bytes)).await.unwrap();
        // The file is made and written by a thread of its own; the clock must not go on before.
        while world.disk.written_bytes() < whole {
            tokio::task::yield_now().await;
        }
        late.push(Late { key: name, bytes: bytes.clone(), writer });
    }
    late
}

fn block_on(play: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(play);
}

/// The sweep is hurt at a step of its removal; nothing that lives went, and a repeat does what is left.
async fn hurt(seed: u64, (at, expected): (u64, Step), fault: Fault, loss: Loss) {
    let Condemned { mut world, mut chance, doomed, late: _late } = Condemned::new(seed).await;
    world.disk.begin(Some((at, fault)));
    let swept = world.store.sweep().await;
    let (faulted, _) = world.disk.end();
    assert_eq!(faulted, Some(expected), "the same seed takes the same steps");
    assert!(swept.is_err() || expected == Step::RemoveDirectory, "{swept:?}, stopped at step {at}");
    if fault == Fault::Stop {
        world.crash(loss, &mut chance, None).await;
    }
    assert_eq!(world.disk.take_broken(), Vec::<String>::new(), "step {at}, {expected:?}");
    world.check().await;

    world.clock.advance_secs(LEASE_SECS);
    world.sweep().await;
    if fault != Fault::Stop || loss == Loss::Nothing {
        assert!(
            doomed.is_disjoint(&world.disk.files()),
            "stopped at step {at}, {expected:?}: a repeat removes the rest"
        );
    }
    // A removal that the power loss undid is found as an orphan.
    for _ in 0..2 {
        world.pass_hours(DAY_AND_MORE_HOURS).await;
        world.sweep().await;
    }
    assert!(doomed.is_disjoint(&world.disk.files()), "stopped at step {at}, {expected:?}, {loss:?}");
    assert_eq!(world.disk.take_broken(), Vec::<String>::new());
    world.check().await;
}

#[test]
fn a_sweep_stopped_at_any_step_of_its_removal_takes_nothing_that_lives_and_a_repeat_finishes_it() {
    block_on(async {
        for seed in [1] {
            let steps = Condemned::steps_of_removal(seed).await;
            let removals = steps.iter().filter(|(_, step)| *step == Step::Remove).count();
            assert!(removals > 5, "{steps:?}");
            for step in steps.iter().copied() {
                for loss in [Loss::Nothing, Loss::Everything, Loss::ByChance] {
                    hurt(seed, step, Fault::Stop, loss).await;
                }
                hurt(seed, step, Fault::Fail(Errno::Io), Loss::Nothing).await;
            }
            println!("seed {seed}: {removals} removals among {} steps", steps.len());
        }
    });
}

impl Late {
    /// Commits it, which may succeed only if its bytes can be read.
    async fn commit(self) -> Result<(), StoreError> {
        self.writer.commit(integrity(&self.bytes)).await.map(drop)
    }
}

#[test]
fn a_write_that_is_late_by_days_is_refused_at_any_step_of_the_removal_of_its_blob_and_after_it() {
    block_on(async {
        let steps = Condemned::steps_of_removal(1).await;
        let last = steps.last().map(|(at, _)| at + 1);
        for at in steps.into_iter().map(|(at, _)| at).chain(last) {
            let Condemned { mut world, late, .. } = Condemned::new(1).await;
            world.disk.begin(Some((at, Fault::Hold)));
            let disk = world.disk.clone();
            let held = tokio::task::spawn_blocking(move || disk.wait_until_held());
            let disk = world.disk.clone();
            let commit = async {
                held.await.unwrap();
                let mut committed = Vec::new();
                for late in late {
                    committed.push((late.key, late.commit().await));
                }
                disk.release();
                committed
            };
            let sweep = async {
                world.sweep().await;
                world.disk.end();
            };
            let ((), committed) = tokio::join!(sweep, commit);
            for (name, committed) in committed {
                let refused = matches!(committed, Err(StoreError::Unavailable { .. }));
                assert!(refused, "step {at}: {name} is acknowledged, and its blob is removed: {committed:?}");
            }
            assert_eq!(world.disk.take_broken(), Vec::<String>::new());
            world.check().await;
        }
    });
}
