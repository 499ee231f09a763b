//! Opening the index's file: pragmas, tables, format version.
//!
//! A new file goes through the same steps as an old one: format 1, then what each later format adds.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::blob::directory;
use crate::error::OpenError;
use crate::failpoint::{self, Reached};

/// The format this build writes, and the newest it reads.
pub(crate) const FORMAT_VERSION: u32 = 2;
/// What each format adds to the one before it, the first to nothing.
const STEPS: [&str; FORMAT_VERSION as usize] = [include_str!("schema/0001.sql"), include_str!("schema/0002.sql")];
/// `PRAGMA application_id`: "khee".
const APPLICATION_ID: i32 = 0x6b68_6565;
/// How long a statement waits for another connection: only a checkpoint's last pages can make it wait.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the connection that writes; makes the tables in a new file, and brings an older one up to date, of which a copy
/// is kept beside it.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    super::log::renew(path)?;
    let mut connection = Connection::open(path).map_err(index_error)?;
    prepare_writer(&mut connection, path)?;
    Ok(connection)
}

fn prepare_writer(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let journal: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(index_error)?;
    if journal != "wal" {
        return Err(OpenError::Index(format!("its file system cannot do write-ahead logging (got {journal})")));
    }
    apply_pragmas(connection, 64 * 1024).map_err(index_error)?;
    if matches!(failpoint::reach("index.sync"), Ok(Reached::Skip)) {
        connection.pragma_update(None, "synchronous", "OFF").map_err(index_error)?;
    }
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(index_error)?;
    match found {
        FORMAT_VERSION => Ok(()),
        0 => advance(connection, 0).map_err(index_error),
        1..FORMAT_VERSION => {
            keep_copy(connection, &copy_path(path, found))?;
            advance(connection, found).map_err(index_error)
        }
        found => Err(OpenError::NewerFormat { found, supported: FORMAT_VERSION }),
    }
}

/// Where the copy of an index of an older format is kept.
fn copy_path(path: &Path, format: u32) -> PathBuf {
    path.with_file_name(format!("index.format-{format}.db"))
}

/// Keeps a copy of the whole index, which a program of its format can open, durably.
fn keep_copy(connection: &Connection, copy: &Path) -> Result<(), OpenError> {
    let io_error = |source| OpenError::Io { path: copy.to_owned(), source };
    write_copy(connection, copy)?;
    File::open(copy).and_then(|file| file.sync_all()).map_err(io_error)?;
    directory::sync(copy.parent().unwrap_or(Path::new("."))).map_err(io_error)
}

/// Writes a copy of the whole index, as it is at one moment, in one read of all of it. Not synced.
pub(super) fn write_copy(connection: &Connection, copy: &Path) -> Result<(), OpenError> {
    // One that was left behind is not known to be whole.
    match fs::remove_file(copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(OpenError::Io { path: copy.to_owned(), source: error });
        }
        _ => {}
    }
    let name = copy.to_str().ok_or_else(|| OpenError::Index("the directory's name is not UTF-8".to_owned()))?;
    connection.execute("VACUUM INTO ?1", [name]).map(drop).map_err(index_error)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(index_error)?;
    apply_pragmas(&connection, 16 * 1024).map_err(index_error)?;
    connection.pragma_update(None, "query_only", true).map_err(index_error)?;
    Ok(connection)
}

/// Opens a connection that checkpoints.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection, OpenError> {
    let connection = Connection::open(path).map_err(index_error)?;
    apply_pragmas(&connection, 1024).map_err(index_error)?;
    Ok(connection)
}

fn apply_pragmas(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(())
}

/// Takes every step after format `from`, in one transaction.
fn advance(connection: &mut Connection, from: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    for step in STEPS.iter().skip(from as usize) {
        transaction.execute_batch(step)?;
    }
    if from == 0 {
        begin(&transaction)?;
    }
    transaction.pragma_update(None, "user_version", FORMAT_VERSION)?;
    transaction.commit()
}

fn begin(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    for name in ["auth_epoch", "committed_high", "hold_until"] {
        transaction.execute("INSERT INTO meta (name, value) VALUES (?1, 0)", [name])?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)
}

pub(super) fn index_error(error: rusqlite::Error) -> OpenError {
    OpenError::Index(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_refused_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.db");
        let connection = open_writer(&path).unwrap();
        connection.pragma_update(None, "user_version", FORMAT_VERSION + 1).unwrap();
        drop(connection);
        let refused = open_writer(&path).unwrap_err();
        let named = OpenError::NewerFormat { found: FORMAT_VERSION + 1, supported: FORMAT_VERSION };
        assert_eq!(refused.to_string(), named.to_string());
    }

    #[test]
    fn an_older_format_is_brought_up_to_date_and_a_copy_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.db");
        let mut connection = Connection::open(&path).unwrap();
        let transaction = connection.transaction().unwrap();
        transaction.execute_batch(STEPS[0]).unwrap();
        begin(&transaction).unwrap();
        transaction.execute("INSERT INTO user VALUES ('u', 'alice', 0, 0)", []).unwrap();
        transaction.pragma_update(None, "user_version", 1).unwrap();
        transaction.commit().unwrap();
        drop(connection);

        let connection = open_writer(&path).unwrap();
        let version = |connection: &Connection| -> u32 {
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(version(&connection), FORMAT_VERSION);
        let copy = Connection::open(copy_path(&path, 1)).unwrap();
        assert_eq!(version(&copy), 1);
        for connection in [&connection, &copy] {
            let name: String = connection.query_row("SELECT name FROM user", [], |row| row.get(0)).unwrap();
            assert_eq!(name, "alice");
        }
    }

    #[test]
    fn durability_is_on_and_checkpoints_are_ours() {
        let directory = tempfile::tempdir().unwrap();
        let connection = open_writer(&directory.path().join("index.db")).unwrap();
        let pragma = |name: &str| -> i64 { connection.query_row(&format!("PRAGMA {name}"), [], |r| r.get(0)).unwrap() };
        assert_eq!(pragma("synchronous"), 2);
        assert_eq!(pragma("wal_autocheckpoint"), 0);
        assert_eq!(pragma("application_id"), i64::from(APPLICATION_ID));
    }
}
