//! Taking turns: every case on every side, again and again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::case::{Case, Verb};
use crate::load::{self, Budget, Done};
use crate::peer::PeerKind;
use crate::process_stat::{cpu_secs, machine_cpu_secs};
use crate::raw_disk::{self, DiskRates};
use crate::sides::{Side, SideName, Sides};

/// One measurement.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Requests that were made.
    pub(crate) count: usize,
    /// From the first one's begin to the last one's end.
    pub(crate) wall: Duration,
    /// The median request.
    pub(crate) median: Duration,
    /// The request that one of a hundred is slower than.
    pub(crate) p99: Duration,
    /// Processor seconds of each program of the side.
    pub(crate) cpu: Vec<(&'static str, f64)>,
    /// Processor seconds of the client.
    pub(crate) client_cpu: f64,
    /// Processor seconds that neither the side nor the client used: the rest of the machine, and its kernel threads.
    pub(crate) other_cpu: f64,
}

/// All samples, in the order of their rounds.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    samples: BTreeMap<(Case, Verb, SideName), Vec<Sample>>,
    /// What the disk itself could do, a figure a round.
    pub(crate) disk: Vec<DiskRates>,
}

impl Measured {
    /// The samples of one cell; empty where there was no such side.
    pub(crate) fn of(&self, case: Case, verb: Verb, side: SideName) -> &[Sample] {
        self.samples.get(&(case, verb, side)).map_or(&[], Vec::as_slice)
    }

    /// Every sample.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Sample> {
        self.samples.values().flatten()
    }
}

/// Measures. Each round has programs and directories of its own and begins with another side.
pub(crate) fn measure(
    runtime: &Runtime,
    cases: &[Case],
    rounds: usize,
    time: Duration,
    peer: Option<&(PeerKind, PathBuf)>,
) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    for round in 0..rounds {
        measured.disk.push(raw_disk::measure(time)?);
        let mut programs = Sides::start(runtime, peer)?;
        for &case in cases {
            eprintln!("round {} of {rounds}: {case}", round + 1);
            let mut sides = programs.all();
            let first = round % sides.len();
            sides.rotate_left(first);
            let mut stored = Vec::new();
            for side in &sides {
                let name = format!("{}/{}x{}", side.name, case.bytes, case.parallel);
                let put = load::put(&side.target, case, &name, Budget::Time(time));
                let (sample, done) = sampled(runtime, side, put)?;
                stored.push(done.keys);
                measured.samples.entry((case, Verb::Put, side.name)).or_default().push(sample);
            }
            for (side, keys) in sides.iter().zip(stored) {
                let get = load::get(&side.target, case, keys, Budget::Time(time));
                let (sample, _) = sampled(runtime, side, get)?;
                measured.samples.entry((case, Verb::Get, side.name)).or_default().push(sample);
            }
        }
    }
    Ok(measured)
}

fn sampled(
    runtime: &Runtime,
    side: &Side,
    load: impl Future<Output = anyhow::Result<Done>>,
) -> anyhow::Result<(Sample, Done)> {
    // Else a side that syncs nothing has its writing back done while the next one is measured.
    rustix::fs::sync();
    let own = std::process::id();
    let before: Vec<f64> = side.processes.iter().map(|(_, pid)| cpu_secs(*pid)).collect::<Result<_, _>>()?;
    let (client_before, machine_before) = (cpu_secs(own)?, machine_cpu_secs()?);
    let done = runtime.block_on(load)?;
    let machine = machine_cpu_secs()? - machine_before;
    let client_cpu = cpu_secs(own)? - client_before;
    let mut cpu = Vec::new();
    for ((name, pid), before) in side.processes.iter().zip(before) {
        cpu.push((*name, cpu_secs(*pid)? - before));
    }
    let used: f64 = cpu.iter().map(|(_, secs)| secs).sum();
    let count = done.latencies.len();
    let sample = Sample {
        count,
        wall: done.wall,
        median: done.latencies[count / 2],
        p99: done.latencies[count * 99 / 100],
        cpu,
        client_cpu,
        other_cpu: (machine - used - client_cpu).max(0.0),
    };
    Ok((sample, done))
}
