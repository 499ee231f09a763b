//! What the compiler does not check and a tired reviewer forgets: which crate may use which, what files are called, how
//! long they get, and that the links in the documentation lead somewhere.
//!
//! The checks are the tests of this crate (`tests/`); this library only finds files.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The root of the repository.
///
/// # Panics
/// Never: this crate lies two folders below it.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tests/tidy lies two folders below the root").to_path_buf()
}

/// Every file of the repository that a person may have written, sorted; build output and hidden folders other than
/// `.ci` are left out.
///
/// # Errors
/// When a folder cannot be read.
pub fn files() -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![repository()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_symlink() {
                continue;
            }
            if !path.is_dir() {
                found.push(path);
            } else if name != "target" && (name == ".ci" || !name.starts_with('.')) {
                folders.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The path as the repository's root sees it, for messages.
#[must_use]
pub fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}
