//! The server on a machine that fails it: killed at every step, cut off from power, on a disk that is full or broken.
//!
//! Failpoints are in debug builds only (see `failpoint.rs` of the store). What needs a file system of its own needs root.

mod collection;
mod crash;
mod disk_errors;
mod full_disk;
mod index_sync;
mod journal;
mod kill_sweep;
mod power_loss;
mod sigterm;

use kheeper_e2e::filesystem;
