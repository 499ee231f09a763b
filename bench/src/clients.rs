//! Real clients that store small objects one after the other, through the proxy and at the peer, to see that none of them
//! waits: for a `100 Continue`, for Nagle's algorithm, or for a connection.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use kheeper_e2e::command;
use kheeper_e2e::scene::forget_others;
use kheeper_e2e::wait::secs;
use tokio::runtime::Runtime;

use crate::case::{KIB, MIB};
use crate::peer::{PEER_KEY, PeerKind};
use crate::sides::{Side, SideName, Sides};

/// How many objects of which size: small ones, and some that every one of these clients asks for permission to send.
const LOADS: [Load; 2] = [Load { count: 200, bytes: 4 * KIB }, Load { count: 40, bytes: 2 * MIB }];

/// Where the clients are.
#[derive(Debug, Args)]
pub(crate) struct Programs {
    /// A Python that has boto3.
    #[arg(long, value_name = "FILE")]
    python: PathBuf,
    /// rclone.
    #[arg(long, value_name = "FILE")]
    rclone: PathBuf,
    /// What `bench/clients/aws-sdk-go-v1` builds.
    #[arg(long, value_name = "FILE")]
    aws_sdk_go_v1: PathBuf,
}

/// Objects of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// How many.
    pub(crate) count: usize,
    /// Bytes of each.
    pub(crate) bytes: u64,
}

/// The same client with the same load in the same round, through the proxy and at the peer.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Which client.
    pub(crate) client: &'static str,
    /// What it stored.
    pub(crate) load: Load,
    /// What each PUT took it through the proxy, in ascending order.
    pub(crate) proxy: Vec<Duration>,
    /// And at the peer.
    pub(crate) peer: Vec<Duration>,
}

/// Measures `rounds` times, each on fresh directories and beginning with the other side.
pub(crate) fn measure(
    runtime: &Runtime,
    programs: &Programs,
    rounds: usize,
    peer: &(PeerKind, PathBuf),
) -> anyhow::Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for round in 0..rounds {
        let mut world = Sides::start(runtime, Some(peer))?;
        let mut sides: Vec<Side> = world.all().into_iter().filter(|side| side.name != SideName::Direct).collect();
        if round % 2 == 1 {
            sides.reverse();
        }
        for client in programs.all() {
            for load in LOADS {
                eprintln!(
                    "round {} of {rounds}: {} PUTs of {} KiB by {}",
                    round + 1,
                    load.count,
                    load.bytes / KIB,
                    client.name
                );
                let mut pair = Pair { client: client.name, load, proxy: Vec::new(), peer: Vec::new() };
                for side in &sides {
                    // Else a side that syncs nothing has its writing back done while the next one is measured.
                    rustix::fs::sync();
                    let took = put(&client, side, load)?;
                    match side.name {
                        SideName::Peer => pair.peer = took,
                        _ => pair.proxy = took,
                    }
                }
                pairs.push(pair);
            }
        }
    }
    Ok(pairs)
}

/// A program that stores objects, given bucket, prefix, count and bytes, and prints what each took.
struct Client {
    name: &'static str,
    words: Vec<PathBuf>,
}

impl Programs {
    fn all(&self) -> [Client; 3] {
        let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name);
        [
            Client { name: "boto3", words: vec![self.python.clone(), script("boto3_puts.py")] },
            Client {
                name: "rclone (with its HEADs)",
                words: vec![self.python.clone(), script("rclone_puts.py"), self.rclone.clone()],
            },
            Client { name: "aws-sdk-go v1", words: vec![self.aws_sdk_go_v1.clone()] },
        ]
    }
}

fn put(client: &Client, side: &Side, load: Load) -> anyhow::Result<Vec<Duration>> {
    let (program, words) = client.words.split_first().context("a client is a program")?;
    let (bucket, prefix) = side.target.prefix.trim_matches('/').split_once('/').unwrap_or(("bench", "small"));
    let mut command = Command::new(program);
    command.args(words).args([bucket, &format!("{prefix}/{}", load.bytes)]);
    command.args([load.count.to_string(), load.bytes.to_string()]);
    // An `AWS_CA_BUNDLE` of the machine's own is enough for some rclone not to start.
    forget_others(&mut command);
    command.env("AWS_ENDPOINT_URL", format!("http://{}", side.target.address)).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", PEER_KEY.id).env("AWS_SECRET_ACCESS_KEY", PEER_KEY.secret);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    let done = command::run(command, secs(120));
    ensure!(done.status.success(), "{} failed: {done}", client.name);
    let micros: Result<Vec<u64>, _> = done.stdout.lines().map(str::parse).collect();
    let mut took: Vec<Duration> =
        micros.context("a client prints numbers")?.into_iter().map(Duration::from_micros).collect();
    ensure!(took.len() == load.count, "{} stored {} of {}", client.name, took.len(), load.count);
    took.sort_unstable();
    Ok(took)
}
