//! The store's contract, run against the SQLite index and blobs on a real disk.

mod contract;
mod fixture;
mod list_model;
mod reopen;
