//! What it costs that every chunk is verified before it is sent: two servers of the same program, one of which leaves it
//! out, taking short turns.
//!
//! The program must be one with failpoints (see `bench/run verify`); a shipped one has no way to leave it out.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kheeper_e2e::{Proxy, World};
use tokio::runtime::Runtime;

use crate::case::{Case, MIB};
use crate::client::{Client, Credential, Target};
use crate::load::{self, Budget};
use crate::peer::PEER_KEY;
use crate::process_stat;

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
/// Turns that each server takes in each round: many short ones, so that what else the machine does falls on both alike.
const TURNS: usize = 10;

/// Who is asked.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The server, as nobody but its proxies does.
    Direct,
    /// The proxy, as clients do.
    Proxy,
}

const WAYS: [Way; 2] = [Way::Direct, Way::Proxy];

/// What one case took, a figure a turn.
#[derive(Debug)]
pub(crate) struct Cost {
    /// What was read, and whom it was asked of.
    pub(crate) name: String,
    /// As it is shipped.
    pub(crate) verified: Vec<Turn>,
    /// Without verifying.
    pub(crate) unverified: Vec<Turn>,
}

/// What one server did in one turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// MiB given out.
    pub(crate) mib: f64,
    /// Seconds that passed.
    pub(crate) wall: f64,
    /// Seconds of the server's processor time.
    pub(crate) cpu: f64,
}

/// A server with the objects of every case.
struct Side {
    world: World,
    _proxy: Proxy,
    /// One for each of [`WAYS`].
    targets: [Target; 2],
    /// The keys of each of [`READS`].
    stored: Vec<Vec<String>>,
}

impl Side {
    fn start(runtime: &Runtime, verifies: bool) -> anyhow::Result<Self> {
        let mut world = World::start();
        let host = world.host("web-01");
        if !verifies {
            world.server.set_environment(&LEFT_OUT);
            world.server.terminate();
            world.server.restart();
        }
        let proxy = Proxy::start(&host.cli, &[]);
        let direct = Target {
            address: world.server.address(),
            prefix: host.path(""),
            credential: Credential::Bearer(host.cli.token()),
        };
        let credential = Credential::Signature(PEER_KEY);
        let through = Target { address: proxy.address(), prefix: host.path(""), credential };
        let mut stored = Vec::new();
        for case in READS {
            let each = (STORED_BYTES / case.bytes) as usize / case.parallel;
            let name = format!("{}x{}", case.bytes, case.parallel);
            stored.push(runtime.block_on(load::put(&direct, case, &name, Budget::Each(each.max(1))))?.keys);
        }
        let probe = "probe/0";
        runtime.block_on(put(&direct, probe))?;
        damage(&world.server.data.join("blobs"))?;
        let sent = runtime.block_on(get(&direct, probe)).is_ok();
        ensure!(sent != verifies, "the program verifies whatever it is told: build it with bench/run verify");
        Ok(Self { world, _proxy: proxy, targets: [direct, through], stored })
    }

    fn take_turn(&mut self, runtime: &Runtime, way: Way, read: usize, budget: Duration) -> anyhow::Result<Turn> {
        let (case, keys) = (READS[read], self.stored[read].clone());
        let pid = self.world.server.running().pid();
        let before = process_stat::cpu_secs(pid)?;
        let done = runtime.block_on(load::get(&self.targets[way as usize], case, keys, Budget::Time(budget)))?;
        let cpu = process_stat::cpu_secs(pid)? - before;
        let mib = done.latencies.len() as f64 * case.bytes as f64 / MIB as f64;
        Ok(Turn { mib, wall: done.wall.as_secs_f64(), cpu })
    }
}

/// Measures on two servers of its own, one of which leaves it out.
pub(crate) fn measure(runtime: &Runtime, rounds: usize, budget: Duration) -> anyhow::Result<Vec<Cost>> {
    let mut sides = [Side::start(runtime, true)?, Side::start(runtime, false)?];
    let turn_budget = budget / TURNS as u32;
    let mut costs = Vec::new();
    for way in WAYS {
        for (read, case) in READS.into_iter().enumerate() {
            let name = match way {
                Way::Direct => format!("{case}, direct"),
                Way::Proxy => format!("{case}, proxy"),
            };
            eprintln!("verify: {name}");
            let mut cost = Cost { name, verified: Vec::new(), unverified: Vec::new() };
            for turn in 0..rounds * TURNS {
                // Who goes first changes every time.
                for verifies in if turn % 2 == 0 { [true, false] } else { [false, true] } {
                    let took = sides[usize::from(!verifies)].take_turn(runtime, way, read, turn_budget)?;
                    if verifies { &mut cost.verified } else { &mut cost.unverified }.push(took);
                }
            }
            costs.push(cost);
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
