//! What it costs that every chunk is verified before it is sent: the same program with and without, taking turns.
//!
//! The program must be one with failpoints (see `bench/run verify`); a shipped one has no way to leave it out.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kheeper_e2e::World;
use tokio::runtime::Runtime;

use crate::case::{Case, MIB};
use crate::client::{Client, Credential, Target};
use crate::load::{self, Budget};

/// What the server is told to leave out.
const LEFT_OUT: [(&str, &str); 1] = [("KHEEPER_FAILPOINTS", "blob.verify=skip")];
/// What is read.
const READS: [Case; 4] = [
    Case { bytes: MIB, parallel: 1 },
    Case { bytes: MIB, parallel: 16 },
    Case { bytes: 64 * MIB, parallel: 1 },
    Case { bytes: 64 * MIB, parallel: 16 },
];
/// Bytes of each case's objects together, so that they stay in the page cache.
const STORED_BYTES: u64 = 512 * MIB;

/// MiB a second of one case, a figure a round.
#[derive(Debug)]
pub(crate) struct Cost {
    /// What was read.
    pub(crate) case: Case,
    /// As it is shipped.
    pub(crate) verified: Vec<f64>,
    /// Without verifying.
    pub(crate) unverified: Vec<f64>,
}

/// Measures on a server of its own.
pub(crate) fn measure(runtime: &Runtime, rounds: usize, budget: Duration) -> anyhow::Result<Vec<Cost>> {
    let mut world = World::start();
    let host = world.host("web-01");
    let target = |world: &World| Target {
        address: world.server.address(),
        prefix: host.path(""),
        credential: Credential::Bearer(host.cli.token()),
    };
    let mut stored = Vec::new();
    for case in READS {
        let each = (STORED_BYTES / case.bytes) as usize / case.parallel;
        let name = format!("{}x{}", case.bytes, case.parallel);
        stored.push(runtime.block_on(load::put(&target(&world), case, &name, Budget::Each(each.max(1))))?.keys);
    }
    let probe = "probe/0";
    runtime.block_on(put(&target(&world), probe))?;
    damage(&world.server.data.join("blobs"))?;

    let new = |case| Cost { case, verified: Vec::new(), unverified: Vec::new() };
    let mut costs: Vec<Cost> = READS.into_iter().map(new).collect();
    for round in 0..rounds {
        for verifies in if round % 2 == 0 { [true, false] } else { [false, true] } {
            eprintln!(
                "verify: round {} of {rounds}, {}",
                round + 1,
                if verifies { "verified" } else { "not verified" }
            );
            world.server.set_environment(if verifies { &[] } else { &LEFT_OUT });
            world.server.terminate();
            world.server.restart();
            let target = target(&world);
            let sent = runtime.block_on(get(&target, probe)).is_ok();
            ensure!(sent != verifies, "the program verifies whatever it is told: build it with bench/run verify");
            for (cost, keys) in costs.iter_mut().zip(&stored) {
                let done = runtime.block_on(load::get(&target, cost.case, keys.clone(), Budget::Time(budget)))?;
                let moved = done.latencies.len() as f64 * cost.case.bytes as f64 / MIB as f64;
                let figures = if verifies { &mut cost.verified } else { &mut cost.unverified };
                figures.push(moved / done.wall.as_secs_f64());
            }
        }
    }
    Ok(costs)
}

/// Bytes of the object that is damaged: no other has as few.
const PROBE_BYTES: u64 = MIB / 2;

async fn put(target: &Target, key: &str) -> anyhow::Result<()> {
    Client::connect(target).await?.run(crate::case::Verb::Put, key, PROBE_BYTES).await.map(drop)
}

async fn get(target: &Target, key: &str) -> anyhow::Result<()> {
    Client::connect(target).await?.run(crate::case::Verb::Get, key, PROBE_BYTES).await.map(drop)
}

/// Flips a bit of the probe.
fn damage(blobs: &Path) -> anyhow::Result<()> {
    let mut directories: Vec<PathBuf> = vec![blobs.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let found = fs::metadata(&path)?;
            if found.is_dir() {
                directories.push(path);
            } else if (PROBE_BYTES..PROBE_BYTES + MIB / 4).contains(&found.len()) {
                let mut bytes = fs::read(&path)?;
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                return fs::write(&path, bytes).context("failed to damage the probe");
            }
        }
    }
    anyhow::bail!("the probe's blob was not found")
}
