//! What the kernel says of a running process.

use std::fs;

use anyhow::Context as _;

/// Ticks of `/proc/PID/stat` per second: USER_HZ, which is 100 on everything Linux and Rust run on together.
const TICKS_PER_SEC: f64 = 100.0;

/// Seconds of processor time that `pid` has used, in user and kernel.
pub(crate) fn cpu_secs(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} has ended"))?;
    // The name in parentheses may hold anything; state is the first field after it, utime and stime the 12th and 13th.
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SEC)
}

/// Seconds of processor time of every child of ours that has ended and was waited for, and of theirs.
pub(crate) fn children_cpu_secs() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("failed to read /proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    // cutime and cstime: the 14th and 15th field after the name.
    let ticks: Vec<f64> = fields.split_whitespace().skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SEC)
}

/// Seconds for which the machine's processors were busy, all together.
pub(crate) fn machine_cpu_secs() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/stat").context("failed to read /proc/stat")?;
    let line = stat.lines().next().context("/proc/stat begins with cpu")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Ok((ticks.iter().sum::<f64>() - idle) / TICKS_PER_SEC)
}

/// Bytes that `pid` holds in memory now (`VmRSS`).
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most bytes it held since it began or [`forget_peak`] (`VmHWM`).
pub(crate) fn peak_bytes(pid: u32) -> anyhow::Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// Makes [`peak_bytes`] begin again.
pub(crate) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("failed to reset VmHWM")
}

fn status_bytes(pid: u32, field: &str) -> anyhow::Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} has ended"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)).context("the kernel knows the field")?;
    let kib: u64 = value.trim().trim_end_matches(" kB").parse().context("a number of kB")?;
    Ok(kib * 1024)
}
