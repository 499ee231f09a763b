//! The log that a server left behind is written anew before anything is answered from it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::blob::directory;
use crate::error::OpenError;
use crate::failpoint;

/// Bytes copied at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Writes the log of the index at `path` to a new file, syncs that, and puts it in the log's place. Nobody may have it open.
///
/// A server that was killed between a commit's write and its sync leaves a commit that the next one reads, and that a
/// power loss would take away again: after that server has answered from it, and has said "that I have already" to a
/// repeated write. After a sync that failed it is worse: the kernel may hold pages for written that are not, another sync
/// of the same file would succeed, and what is committed behind such a page is lost with it. So no byte of the log is
/// trusted to be on the disk; what can be read of it is written once more.
///
/// A crash here leaves the old log, or the new one.
pub(super) fn renew(path: &Path) -> Result<(), OpenError> {
    let log = beside(path, "-wal");
    let renewed = beside(path, "-wal.new");
    let io_error = |source| OpenError::Io { path: log.clone(), source };
    match fs::metadata(&log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(error)),
        Ok(found) if found.len() == 0 => return Ok(()),
        Ok(_) => {}
    }
    match fs::remove_file(&renewed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
        _ => {}
    }
    match copy(&log, &renewed) {
        // A full disk must not keep a server from starting: it has backups to give out.
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem) => {
            tracing::warn!(%error, "no room to write the log anew; it is synced as it is");
            let _ = fs::remove_file(&renewed);
            return File::open(&log).and_then(|log| log.sync_all()).map_err(io_error);
        }
        copied => copied.map_err(io_error)?,
    }
    failpoint::reach("log.copied").map_err(io_error)?;
    fs::rename(&renewed, &log).map_err(io_error)?;
    failpoint::reach("log.renewed").map_err(io_error)?;
    directory::sync(path.parent().unwrap_or(Path::new("."))).map_err(io_error)
}

/// Copies and syncs. By hand: a copy that the file system makes may share the very blocks that are not trusted.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut copy = OpenOptions::new().write(true).create_new(true).open(to)?;
    copy.set_permissions(source.metadata()?.permissions())?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match source.read(&mut piece)? {
            0 => break,
            read => copy.write_all(&piece[..read])?,
        }
    }
    copy.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use rusqlite::Connection;

    use super::*;

    /// An index as a killed server leaves it: a log with one commit, not checkpointed.
    fn killed() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let live = directory.path().join("live.db");
        let connection = Connection::open(&live).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (7)").unwrap();
        let path = directory.path().join("index.db");
        fs::copy(&live, &path).unwrap();
        fs::copy(beside(&live, "-wal"), beside(&path, "-wal")).unwrap();
        (directory, path)
    }

    #[test]
    fn a_log_that_was_left_behind_is_another_file_with_the_same_commits() {
        let (_directory, path) = killed();
        let log = beside(&path, "-wal");
        let (before, bytes) = (fs::metadata(&log).unwrap().ino(), fs::read(&log).unwrap());
        // What an earlier start left half done is no hindrance.
        fs::write(beside(&path, "-wal.new"), "half").unwrap();
        renew(&path).unwrap();
        assert_ne!(fs::metadata(&log).unwrap().ino(), before);
        assert!(fs::read(&log).unwrap() == bytes && !beside(&path, "-wal.new").exists());
        let connection = Connection::open(&path).unwrap();
        let found: i64 = connection.query_row("SELECT x FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(found, 7);
    }

    #[test]
    fn an_index_without_a_log_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        renew(&directory.path().join("index.db")).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
