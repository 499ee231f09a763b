//! Files that are whole or not there, whatever happens, and keys that nobody else reads.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::TlsError;

/// The mode of a file that only its owner reads.
pub(super) const PRIVATE: u32 = 0o600;
/// The mode of a file that everybody reads.
pub(super) const PUBLIC: u32 = 0o644;

/// Makes `dir` and what is missing above it with `mode`, whatever the umask. What is there already stays as it is.
pub(super) fn make_dir(dir: &Path, mode: u32) -> Result<(), TlsError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    for dir in missing.into_iter().rev() {
        let made = match DirBuilder::new().mode(mode).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made.and_then(|()| fs::set_permissions(dir, Permissions::from_mode(mode))),
        };
        made.map_err(|source| TlsError::Write { path: dir.to_owned(), source })?;
    }
    Ok(())
}

/// Two programs that start at once make one authority, not two halves of two. Held until the file is dropped.
pub(super) fn lock(dir: &Path) -> Result<File, TlsError> {
    let path = dir.join("lock");
    let locked = OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE).open(&path);
    let locked = locked.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|source| TlsError::Write { path, source })
}

/// Writes `file` under another name, syncs it, and renames it into place.
pub(super) fn write_synced(file: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    let fresh = file.with_extension("new");
    let write = || -> io::Result<()> {
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Never wider than it will be, not even for a moment, and never narrower than asked because of a umask.
        let mut out = OpenOptions::new().write(true).create_new(true).mode(mode & PRIVATE).open(&fresh)?;
        out.write_all(bytes)?;
        out.set_permissions(Permissions::from_mode(mode))?;
        out.sync_all()?;
        fs::rename(&fresh, file)
    };
    write().map_err(|source| TlsError::Write { path: file.to_owned(), source })
}

/// Reads a private key that must be its owner's alone.
pub(super) fn read_private(path: &Path) -> Result<String, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(TlsError::KeyExposed { path: path.to_owned(), mode });
    }
    io::read_to_string(file).map_err(failed)
}
