//! How far the store had come, kept outside the index: by it an index is known for an older copy.
//!
//! An index that is put back from a copy does not name what was written since. Nothing in it says so, and its blobs look like
//! what a crash leaves behind. So once a minute the time of a commit is written to a file beside the index: one that ends
//! before that time is not the one that was there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use kheeper_model::Timestamp;

use crate::blob::directory;

/// The file's name in the data directory.
pub(crate) const FILE: &str = "high-water";

/// How far the store had come, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Nothing was ever noted: a new directory, or a snapshot.
    Unknown,
    /// At least to this commit.
    At(Timestamp),
    /// Something was noted, and it cannot be read.
    Unreadable,
}

impl Reached {
    /// Whether it says that an index that ends at `end` is the one that was there.
    pub(crate) fn vouches_for(self, end: Timestamp) -> bool {
        matches!(self, Self::At(_)) && !self.is_beyond(end)
    }

    /// Whether an index that ends at `end` is not the one that was there. When it cannot be told, it is taken for one.
    pub(crate) fn is_beyond(self, end: Timestamp) -> bool {
        match self {
            Self::Unknown => false,
            Self::At(reached) => end < reached,
            Self::Unreadable => true,
        }
    }
}

/// Reads what was noted. Blocks.
pub(crate) fn read(data_dir: &Path) -> io::Result<Reached> {
    match fs::read_to_string(data_dir.join(FILE)) {
        Ok(text) => Ok(text.trim().parse().map_or(Reached::Unreadable, |millis| Reached::At(Timestamp(millis)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Reached::Unknown),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Reached::Unreadable),
        Err(error) => Err(error),
    }
}

/// Notes that a commit of `at` is durable. A crash leaves the note that was there before, or this one. Blocks.
pub(crate) fn write(data_dir: &Path, at: Timestamp) -> io::Result<()> {
    let (path, new) = (data_dir.join(FILE), data_dir.join(format!("{FILE}.new")));
    let mut file = File::create(&new)?;
    writeln!(file, "{}", at.as_millis())?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    directory::sync(data_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back_and_an_older_index_is_known_by_it() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), Reached::Unknown);
        write(directory.path(), Timestamp(5_000)).unwrap();
        let reached = read(directory.path()).unwrap();
        assert_eq!(reached, Reached::At(Timestamp(5_000)));
        assert!(reached.is_beyond(Timestamp(4_999)) && !reached.is_beyond(Timestamp(5_000)));
        assert!(reached.vouches_for(Timestamp(5_000)) && !reached.vouches_for(Timestamp(4_999)));
        assert!(!Reached::Unknown.vouches_for(Timestamp(5_000)) && !Reached::Unreadable.vouches_for(Timestamp(5_000)));
        fs::write(directory.path().join(FILE), "torn").unwrap();
        assert_eq!(read(directory.path()).unwrap(), Reached::Unreadable);
    }
}
