//! What the programs hold in memory while many large objects stream through at once.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::case::{Case, MIB, Verb};
use crate::load::{self, Budget};
use crate::peer::PeerKind;
use crate::process_stat::{forget_peak, peak_bytes, resident_bytes};
use crate::sides::{Side, SideName, Sides};

/// Objects that stream at the same time.
pub(crate) const STREAMS: usize = 16;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How much more the second half of a run may need than the first and still count as flat.
const FLAT_RATIO: f64 = 1.1;
/// Or this much, since a small program's allocator breathes.
const FLAT_BYTES: u64 = 4 * MIB;

/// One program during one pass.
#[derive(Debug)]
pub(crate) struct Held {
    /// What the client did.
    pub(crate) verb: Verb,
    /// Bytes of each of the streams.
    pub(crate) bytes: u64,
    /// Which program.
    pub(crate) program: &'static str,
    /// VmHWM of this pass.
    pub(crate) peak: u64,
    /// VmRSS, evenly spread over the pass.
    pub(crate) samples: Vec<u64>,
    /// How long the pass took.
    pub(crate) wall: Duration,
}

impl Held {
    /// VmRSS at a fraction of the pass.
    pub(crate) fn at(&self, fraction: f64) -> u64 {
        let last = self.samples.len().saturating_sub(1);
        self.samples.get((last as f64 * fraction) as usize).copied().unwrap_or(0)
    }

    /// Whether the second half held no more than the first.
    pub(crate) fn is_flat(&self) -> bool {
        let (first, second) = self.samples.split_at(self.samples.len() / 2);
        let highest = |half: &[u64]| half.iter().copied().max().unwrap_or(0);
        let (first, second) = (highest(first), highest(second));
        second <= first + FLAT_BYTES || second as f64 <= first as f64 * FLAT_RATIO
    }
}

/// Streams [`STREAMS`] objects of `bytes` each in and out through the proxy, deletes them, and does the same to the
/// peer.
pub(crate) fn stream(runtime: &Runtime, bytes: u64, peer: Option<&(PeerKind, PathBuf)>) -> anyhow::Result<Vec<Held>> {
    let mut held = Vec::new();
    for name in [SideName::Proxy, SideName::Peer] {
        // Programs of their own, so that what one side stored is off the disk before the other begins.
        let mut programs = Sides::start(runtime, peer)?;
        let Some(side) = programs.all().into_iter().find(|side| side.name == name) else { continue };
        let case = Case { bytes, parallel: STREAMS };
        let mut keys = Vec::new();
        for verb in [Verb::Put, Verb::Get] {
            eprintln!("memory: {verb} {case}, {name}");
            let load = async {
                match verb {
                    Verb::Put => load::put(&side.target, case, "memory", Budget::Each(1)).await,
                    _ => load::get(&side.target, case, keys.clone(), Budget::Each(1)).await,
                }
            };
            let (rows, done) = watched(runtime, &side, verb, bytes, load)?;
            held.extend(rows);
            keys = done.keys;
        }
        runtime.block_on(load::delete(&side.target, case, keys))?;
    }
    Ok(held)
}

fn watched(
    runtime: &Runtime,
    side: &Side,
    verb: Verb,
    bytes: u64,
    load: impl Future<Output = anyhow::Result<load::Done>>,
) -> anyhow::Result<(Vec<Held>, load::Done)> {
    for (_, pid) in &side.processes {
        forget_peak(*pid)?;
    }
    let ended = AtomicBool::new(false);
    let (samples, done) = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut samples = vec![Vec::new(); side.processes.len()];
            while !ended.load(Ordering::Relaxed) {
                for ((_, pid), samples) in side.processes.iter().zip(&mut samples) {
                    samples.extend(resident_bytes(*pid));
                }
                thread::sleep(PAUSE);
            }
            samples
        });
        let done = runtime.block_on(load);
        ended.store(true, Ordering::Relaxed);
        (sampler.join().expect("the sampler does not panic"), done)
    });
    let done = done?;
    let mut rows = Vec::new();
    for ((program, pid), samples) in side.processes.iter().zip(samples) {
        rows.push(Held { verb, bytes, program, peak: peak_bytes(*pid)?, samples, wall: done.wall });
    }
    Ok((rows, done))
}
