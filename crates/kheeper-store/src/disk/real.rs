//! The file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bytes::Bytes;
use rustix::buffer::spare_capacity;

use super::{Disk, DiskEntry, DiskFile};
use crate::failpoint::{self, Reached};

/// Slices of one vectored write (Linux's `IOV_MAX` is 1024).
const SLICES_MAX: usize = 1024;

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

struct RealFile(File);

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        failpoint::reach("blob.create")?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        failpoint::reach("blob.created")?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(File::open(path)?)))
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
                match self.0.write_vectored(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => IoSlice::advance_slices(&mut rest, written),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        failpoint::reach("blob.written").map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        if failpoint::reach("blob.sync")? == Reached::Skip {
            return Ok(());
        }
        self.0.sync_data()?;
        failpoint::reach("blob.synced").map(drop)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
        failpoint::reach("blob.read")?;
        loop {
            match rustix::io::pread(&self.0, spare_capacity(buffer), offset) {
                Err(rustix::io::Errno::INTR) => {}
                read => return Ok(read?),
            }
        }
    }
}
