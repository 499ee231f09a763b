//! Opening the index's file: pragmas, tables, format version.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::OpenError;

/// The format this build writes, and the newest it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// `PRAGMA application_id`: "khee".
const APPLICATION_ID: i32 = 0x6b68_6565;
/// How long a statement waits for another connection: only a checkpoint's last pages can make it wait.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the connection that writes; makes the tables in a new file.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let mut connection = Connection::open(path).map_err(index_error)?;
    prepare_writer(&mut connection)?;
    Ok(connection)
}

fn prepare_writer(connection: &mut Connection) -> Result<(), OpenError> {
    let journal: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(index_error)?;
    if journal != "wal" {
        return Err(OpenError::Index(format!("its file system cannot do write-ahead logging (got {journal})")));
    }
    apply_pragmas(connection, 64 * 1024).map_err(index_error)?;
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(index_error)?;
    match found {
        0 => create(connection).map_err(index_error),
        FORMAT_VERSION => Ok(()),
        found => Err(OpenError::NewerFormat { found, supported: FORMAT_VERSION }),
    }
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

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    for name in ["auth_epoch", "committed_high", "hold_until"] {
        transaction.execute("INSERT INTO meta (name, value) VALUES (?1, 0)", [name])?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT_VERSION)?;
    transaction.commit()
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
        assert!(matches!(refused, OpenError::NewerFormat { found: 2, supported: 1 }), "{refused}");
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
