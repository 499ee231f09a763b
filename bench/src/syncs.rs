//! How often each side asks the disk to keep what it wrote, counted from outside with strace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use kheeper_e2e::Running;
use kheeper_e2e::binaries::on_path;
use kheeper_e2e::wait::secs;
use rustix::process::Signal;
use tokio::runtime::Runtime;

use crate::case::{CASES, Case, MIB};
use crate::load::{self, Budget};
use crate::peer::PeerKind;
use crate::sides::{SideName, Sides};

/// Every call that makes written bytes durable.
const CALLS: [&str; 6] = ["fsync", "fdatasync", "sync_file_range", "syncfs", "sync", "msync"];
/// PUTs of a case that are watched, all clients together.
const PUTS: usize = 256;

/// One row.
#[derive(Debug)]
pub(crate) struct SyncCount {
    /// What was written.
    pub(crate) case: Case,
    /// By which side.
    pub(crate) side: SideName,
    /// PUTs that were watched.
    pub(crate) puts: usize,
    /// Calls that were seen.
    pub(crate) calls: Calls,
}

/// How often each call was made.
pub(crate) type Calls = Vec<(&'static str, usize)>;

/// Counts for every case up to 1 MiB. Empty, after saying why, where strace is missing or may not look.
pub(crate) fn count(runtime: &Runtime, peer: Option<&(PeerKind, PathBuf)>) -> anyhow::Result<Vec<SyncCount>> {
    let mut programs = Sides::start(runtime, peer)?;
    let mut counts = Vec::new();
    for case in CASES.into_iter().filter(|case| case.bytes <= MIB) {
        for side in programs.all() {
            eprintln!("syncs: {case}, {}", side.name);
            let name = format!("{}/syncs/{}x{}", side.name, case.bytes, case.parallel);
            let pids: Vec<u32> = side.processes.iter().map(|(_, pid)| *pid).collect();
            let mut puts = 0;
            let calls = during(&pids, || {
                let put = load::put(&side.target, case, &name, Budget::Each(PUTS / case.parallel));
                puts = runtime.block_on(put)?.latencies.len();
                Ok(())
            })?;
            let Some(calls) = calls else { return Ok(Vec::new()) };
            counts.push(SyncCount { case, side: side.name, puts, calls });
        }
    }
    Ok(counts)
}

/// Counts what the processes do while `run` runs. `None`, after saying why, where strace is missing; nothing runs then.
pub(crate) fn during(pids: &[u32], run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Option<Calls>> {
    if on_path("strace").is_none() {
        eprintln!("syncs are not counted: there is no strace");
        return Ok(None);
    }
    let trace = std::env::temp_dir().join(format!("kheeper-bench-{}.strace", std::process::id()));
    let mut strace = watch(pids, &trace);
    let done = run();
    strace.signal(Signal::INT);
    strace.wait(secs(20));
    let calls = read_calls(&trace)?;
    fs::remove_file(&trace).context("failed to remove the trace")?;
    done.map(|()| Some(calls))
}

/// Attaches to every thread of the processes.
fn watch(pids: &[u32], trace: &Path) -> Running {
    let mut command = Command::new("strace");
    command.args(["-f", "-e", &format!("trace={}", CALLS.join(",")), "-o"]).arg(trace);
    for pid in pids {
        command.args(["-p", &pid.to_string()]);
    }
    let mut strace = Running::start("strace", command);
    for pid in pids {
        let attached = format!("Process {pid} attached");
        strace.wait_for_line("strace to attach", secs(20), |line| line.contains(&attached).then_some(()));
    }
    strace
}

/// A call that is interrupted in the trace is written as `name(… <unfinished …>` and `<… name resumed>`: counted once.
fn read_calls(trace: &Path) -> anyhow::Result<Calls> {
    let text = fs::read_to_string(trace).context("failed to read the trace")?;
    let count = |call: &str| {
        let begins = format!("{call}(");
        text.lines().filter_map(|line| line.split_whitespace().nth(1)).filter(|word| word.starts_with(&begins)).count()
    };
    Ok(CALLS.into_iter().map(|call| (call, count(call))).filter(|(_, count)| *count > 0).collect())
}
