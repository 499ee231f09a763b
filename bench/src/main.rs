//! Whole programs under load: `kheeper-server` asked directly, the same through `kheeper object-proxy`, and a peer, all
//! with one client, taking turns within one run.
//!
//! `bench/run` builds everything and starts this. Absolute figures do not carry to another machine; the ratios roughly
//! do, so those are what the tables end with. What each figure means is in `docs/benchmarks.md`.
//!
//! [`clients`] and [`walg`] measure real clients instead of our own one, [`auth`] what authorization costs, [`verify`] what it costs that
//! nothing is sent unverified.
//!
//! [`sides`] starts what is measured, [`load`] is the client, [`rounds`] takes turns and collects; [`syncs`] and
//! [`memory`] are passes of their own, since looking that closely would disturb the clock; [`report`] prints.

mod auth;
mod case;
mod client;
mod clients;
mod load;
mod machine;
mod memory;
mod payload;
mod peer;
mod process_stat;
mod raw_disk;
mod report;
mod rounds;
mod sides;
mod syncs;
mod verify;
mod walg;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::case::{CASES, Case, MIB};
use crate::peer::PeerKind;

/// Measures kheeper beside a peer on this machine.
#[derive(Debug, Parser)]
#[command(name = "kheeper-bench")]
struct Args {
    /// Instead of the load of our own client.
    #[command(subcommand)]
    real: Option<Real>,
    /// The peer's program; without it there is no peer.
    #[arg(long, value_name = "FILE", requires = "peer")]
    peer_program: Option<PathBuf>,
    /// Which peer that is.
    #[arg(long, value_enum)]
    peer: Option<PeerKind>,
    /// Shorter, and streams less: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// How many times everything is measured.
    #[arg(long)]
    rounds: Option<usize>,
    /// Milliseconds of each measurement; what has begun by then is finished and counted.
    #[arg(long, value_name = "MS")]
    millis: Option<u64>,
    /// Only the case of this name, for instance `1 MiB x16`, or those whose names contain it, for instance `4 KiB`; syncs
    /// and memory are then left out.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// MiB of each of the streams of the memory pass; 0 leaves it out.
    #[arg(long, value_name = "MIB")]
    stream_mib: Option<u64>,
    /// MiB of the database that wal-g pushes.
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    database_mib: u64,
}

/// Real clients.
#[derive(Debug, Subcommand)]
enum Real {
    /// Small PUTs by boto3, rclone and wal-g's SDK, one after the other, beside the peer.
    Clients(clients::Programs),
    /// What authorization adds to a request, holds in memory, and suffers from bad tokens.
    Auth,
    /// GETs with and without verifying what is read: of a program with failpoints.
    Verify,
    /// `wal-g backup-push` through the proxy, beside the same wal-g writing into a folder.
    Walg,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let rounds = args.rounds.unwrap_or(if args.quick { 3 } else { 5 });
    let budget = Duration::from_millis(args.millis.unwrap_or(if args.quick { 300 } else { 1500 }));
    let stream_bytes = args.stream_mib.unwrap_or(if args.quick { 128 } else { 1024 }) * MIB;
    let peer = args.peer.zip(args.peer_program);
    let named = |case: &Case, only: &str| case.to_string() == only;
    let wanted = |case: &Case| match args.only.as_deref() {
        None => true,
        Some(only) if CASES.iter().any(|case| named(case, only)) => named(case, only),
        Some(only) => case.to_string().contains(only),
    };
    let cases: Vec<Case> = CASES.into_iter().filter(wanted).collect();
    anyhow::ensure!(!cases.is_empty(), "no case is called like that; they are: {CASES:?}");

    machine::check_disk(if args.real.is_some() { 0 } else { stream_bytes })?;
    machine::describe(peer.as_ref().map(|(kind, _)| *kind));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the client's runtime")?;

    match args.real {
        Some(Real::Clients(programs)) => {
            let peer = peer.context("real clients are compared with a peer: --peer and --peer-program")?;
            report::clients(&clients::measure(&runtime, &programs, rounds, &peer)?);
            return Ok(());
        }
        Some(Real::Auth) => {
            return auth::report(&auth::measure(&runtime, rounds, budget)?);
        }
        Some(Real::Verify) => {
            report::verification(&verify::measure(&runtime, rounds, budget)?);
            return Ok(());
        }
        Some(Real::Walg) => {
            report::pushes(&walg::measure(args.database_mib, rounds)?);
            return Ok(());
        }
        None => {}
    }
    let measured = rounds::measure(&runtime, &cases, rounds, budget, peer.as_ref())?;
    report::throughput(&cases, &measured);
    report::latency(&cases, &measured);
    report::cpu(&cases, &measured);
    report::raw_disk(&measured.disk);
    report::noise(&measured);
    if args.only.is_some() {
        return Ok(());
    }
    report::syncs(&syncs::count(&runtime, peer.as_ref())?);
    if stream_bytes > 0 {
        report::memory(&memory::stream(&runtime, stream_bytes, peer.as_ref())?);
    }
    Ok(())
}
