//! The store's contract, run against the SQLite index and blobs on a real disk.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod contract;
mod fixture;
mod formats;
mod history_model;
mod list_model;
mod reopen;
