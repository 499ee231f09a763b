//! Files to back up, and whether they came back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::digest;

/// `length` bytes that no compressor shortens, the same for the same `seed`.
pub fn random_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill(bytes.as_mut_slice());
    bytes
}

/// Writes `bytes` to `path`, making its directories.
pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("a writable directory");
    std::fs::write(path, bytes).expect("a writable file");
}

/// The SHA-256 of every file below `root`, by its path from there.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.expect("a readable directory").path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let digest = digest::sha256_hex(&std::fs::read(&path).expect("a readable file"));
                found.insert(path.strip_prefix(root).expect("found below it").to_owned(), digest);
            }
        }
    }
    found
}

/// A small tree worth backing up: text, binary, an empty file, awkward names, and one file of `big_bytes`.
pub fn sample_tree(root: &Path, big_bytes: usize) {
    write(&root.join("readme.txt"), b"worth keeping\n");
    write(&root.join("empty"), b"");
    write(&root.join("dir/with space/and+plus.bin"), &random_bytes(1, 70_000));
    write(&root.join("dir/ünïcode/tést.txt"), b"caf\xc3\xa9\n");
    write(&root.join("dir/64KiB"), &random_bytes(2, 64 * 1024));
    write(&root.join("big.bin"), &random_bytes(3, big_bytes));
}
