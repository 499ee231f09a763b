//! Real S3 clients, each doing its own full cycle as a host through the proxy, and read again by the org's owner.
//!
//! A file per client. What they did is the client matrix ([`kheeper_e2e::matrix`]), which `./test` prints; a client that is
//! not here leaves a row that says why, and its test passes: `./test` fails in the step that should have installed it.

mod asks;
mod aws_cli;
mod barman;
mod boto3;
mod duplicity;
mod litestream;
mod mc;
mod overload;
mod pgbackrest;
mod postgres_cycle;
mod rclone;
mod refusals;
mod restic;
mod s3cmd;
mod s5cmd;
mod sdks;
mod walg;

use std::path::{Path, PathBuf};

use kheeper_e2e::files;

/// Bytes that every client here sends in parts, once told to from 5 MiB on where it would not by itself.
const BIG_BYTES: usize = 9 << 20;

/// A path as an argument.
fn s(path: &Path) -> &str {
    path.to_str().expect("our paths are text")
}

/// Writes the tree that clients back up, and returns it with a place to restore it to.
fn sample(dir: &Path) -> (PathBuf, PathBuf) {
    let source = dir.join("source");
    files::sample_tree(&source, BIG_BYTES);
    (source, dir.join("restored"))
}

/// Checks that both trees hold the same files with the same bytes.
#[track_caller]
fn assert_same(restored: &Path, source: &Path) {
    assert_eq!(files::tree(restored), files::tree(source));
}
