//! What the disk itself can keep: no store can answer more often, unless writers share a sync.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::case::{KIB, MIB};

/// Rates of one round.
#[derive(Debug)]
pub(crate) struct DiskRates {
    /// Appends of 4 KiB to one file, each synced, a second: what an index's log can do that shares no sync.
    pub(crate) appends_per_sec: f64,
    /// New files of 1 MiB a second, each synced, and its directory too: what a store of files can do that shares no sync.
    pub(crate) files_per_sec: f64,
}

/// Measures for `time` each, in the directory that the stores use too.
pub(crate) fn measure(time: Duration) -> anyhow::Result<DiskRates> {
    let dir = std::env::temp_dir().join(format!("kheeper-bench-disk-{}", std::process::id()));
    fs::create_dir(&dir).context("failed to make a directory")?;
    let measured = rates(&dir, time);
    fs::remove_dir_all(&dir).context("failed to remove the directory")?;
    measured
}

fn rates(dir: &Path, time: Duration) -> anyhow::Result<DiskRates> {
    let mut log = File::create(dir.join("log"))?;
    let page = vec![7; 4 * KIB as usize];
    let appends_per_sec = per_sec(time, |_| {
        log.write_all(&page)?;
        log.sync_data()
    })?;
    let names = File::open(dir)?;
    let object = vec![7; MIB as usize];
    let files_per_sec = per_sec(time, |number| {
        let mut file = File::create(dir.join(format!("{number:06}")))?;
        file.write_all(&object)?;
        file.sync_data()?;
        names.sync_all()
    })?;
    Ok(DiskRates { appends_per_sec, files_per_sec })
}

fn per_sec(time: Duration, mut step: impl FnMut(usize) -> std::io::Result<()>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < time {
        step(count).context("failed to write")?;
        count += 1;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
