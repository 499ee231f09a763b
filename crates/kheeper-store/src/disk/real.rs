//! The file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, fadvise};

use super::{Disk, DiskEntry, DiskFile};
use crate::failpoint::{self, Reached};

/// Slices of one vectored write (Linux's `IOV_MAX` is 1024).
const SLICES_MAX: usize = 1024;

/// Bytes of a file that gather in memory before they are sent on their way to the disk.
const WRITE_BACK_BYTES: u64 = 4 << 20;

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

struct RealFile {
    file: File,
    /// Bytes written, and of them those whose way to the disk was begun.
    written: u64,
    begun: u64,
}

impl RealFile {
    fn new(file: File) -> Self {
        Self { file, written: 0, begun: 0 }
    }

    /// Has the kernel begin to write a long file to the disk while the rest of it comes, so that the sync at its end has
    /// little left to wait for. A hint and no more: nothing counts as durable by it, and it consumes no error of writing
    /// back, so that the sync on this descriptor still reports each. Of the calls that begin to write without waiting it
    /// is the one that has a safe interface; pages that are on their way to the disk stay in the page cache.
    fn begin_write_back(&mut self) {
        if let Some(bytes) = NonZeroU64::new(self.written - self.begun).filter(|bytes| bytes.get() >= WRITE_BACK_BYTES)
        {
            let _ = fadvise(&self.file, self.begun, Some(bytes), Advice::DontNeed);
            self.begun = self.written;
        }
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        failpoint::reach("blob.create")?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        failpoint::reach("blob.created")?;
        Ok(Box::new(RealFile::new(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile::new(File::open(path)?)))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        failpoint::reach("blob.remove")?;
        fs::remove_file(path)?;
        failpoint::reach("blob.removed").map(drop)
    }

    fn file_bytes(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        if failpoint::reach("directory.sync")? == Reached::Skip {
            return Ok(());
        }
        File::open(path)?.sync_all()?;
        failpoint::reach("directory.synced").map(drop)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            match entry.metadata() {
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                metadata => {
                    let metadata = metadata?;
                    entries.push(DiskEntry { name, bytes: metadata.len(), modified: metadata.modified()? });
                }
            }
        }
        Ok(entries)
    }
}

impl DiskFile for RealFile {
    fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        failpoint::reach("blob.write")?;
        for pieces in pieces.chunks(SLICES_MAX) {
            let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut rest = &mut slices[..];
            while !rest.is_empty() {
                match self.file.write_vectored(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        self.written += written as u64;
                        IoSlice::advance_slices(&mut rest, written);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.begin_write_back();
        failpoint::reach("blob.written").map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        if failpoint::reach("blob.sync")? == Reached::Skip {
            return Ok(());
        }
        self.file.sync_data()?;
        failpoint::reach("blob.synced").map(drop)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
        failpoint::reach("blob.read")?;
        loop {
            match rustix::io::pread(&self.file, spare_capacity(buffer), offset) {
                Err(rustix::io::Errno::INTR) => {}
                read => return Ok(read?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_on_its_way_to_the_disk_before_its_end_and_is_whole_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blob");
        let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
        let mut file = RealFile::new(file);
        let (mut whole, piece) = (Vec::new(), WRITE_BACK_BYTES as usize / 2);
        for (number, begun) in [(1, 0), (2, WRITE_BACK_BYTES), (3, WRITE_BACK_BYTES), (4, 2 * WRITE_BACK_BYTES)] {
            let piece = Bytes::from(vec![number; piece]);
            whole.extend_from_slice(&piece);
            file.write(&[piece.slice(..1), piece.slice(1..)]).unwrap();
            assert_eq!(file.begun, begun, "after piece {number}");
        }
        file.sync().unwrap();
        assert!(fs::read(&path).unwrap() == whole);
    }
}
