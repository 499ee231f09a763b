//! What this machine is, and whether it can do it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rustix::fs::{statfs, statvfs};

use crate::case::MIB;
use crate::memory::STREAMS;
use crate::peer::PeerKind;

/// What a round of measurements stores at the most, on all sides together, with room to spare.
const ROUND_BYTES: u64 = 16 * 1024 * MIB;
/// What a filesystem in memory calls itself.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Refuses a temporary directory that is too small, or in memory, where durable means nothing.
pub(crate) fn check_disk(stream_bytes: u64) -> anyhow::Result<()> {
    let dir = std::env::temp_dir();
    let needed = ROUND_BYTES.max(STREAMS as u64 * stream_bytes * 5 / 4);
    ensure!(!is_in_memory(&dir)?, "{} is in memory; set TMPDIR to a directory on a disk", dir.display());
    let space = statvfs(&dir).context("failed to ask for free space")?;
    let free = space.f_bavail * space.f_frsize;
    ensure!(
        free >= needed,
        "{} has {} MiB free and {} MiB are needed; set TMPDIR to a larger disk",
        dir.display(),
        free / MIB,
        needed / MIB
    );
    Ok(())
}

/// Prints what the tables were measured on.
pub(crate) fn describe(peer: Option<PeerKind>) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = first_value("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unnamed processor".to_owned());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("{cores} cores of {model}, Linux {}, load {load} before the start.", kernel.trim());
    println!(
        "kheeper on an http loopback origin, embedded index, local blobs; peer: {}. Client, programs and disk are all on \
         this machine; payload hashes off; reads come from the page cache.",
        peer.map_or("none", PeerKind::name)
    );
}

fn is_in_memory(dir: &Path) -> anyhow::Result<bool> {
    let kind = statfs(dir).with_context(|| format!("failed to look at {}", dir.display()))?.f_type;
    Ok(u64::try_from(kind).is_ok_and(|kind| kind == TMPFS_MAGIC))
}

fn first_value(file: &str, field: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}
