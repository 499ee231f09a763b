//! The disk that blobs lie on: the real one, and in the crash tests one that loses what was not synced.
//!
//! Every call blocks, and none is repeated by its caller after it failed: what a failed sync left behind is not known.

mod real;

use std::io;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;

pub use real::RealDisk;

/// Files and directories. What was written counts as lost until it was synced: the bytes of a file by [`DiskFile::sync`],
/// its name by [`Disk::sync_directory`] of the directory it lies in.
pub trait Disk: Send + Sync + 'static {
    /// Makes a new, empty file; an error if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Bytes of a file.
    fn file_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Makes a directory and those above it; one that is there is no error.
    fn create_directories(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory, if it is empty.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// What is in a directory, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Appends pieces, one after another. After an error some of them may be there.
    fn write(&mut self, pieces: &[Bytes]) -> io::Result<()>;
    /// Makes the bytes durable. Never called again after it failed.
    fn sync(&mut self) -> io::Result<()>;
    /// Bytes of the file.
    fn bytes(&self) -> io::Result<u64>;
    /// Appends what is at `offset` to `buffer`, as far as its spare capacity reaches; the number of bytes, 0 at the end.
    fn read_at(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize>;
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskEntry {
    /// The name; one that is not UTF-8 is none of ours and is left out.
    pub name: String,
    /// Bytes, if it is a file.
    pub bytes: u64,
    /// When it was last written to.
    pub modified: SystemTime,
}
