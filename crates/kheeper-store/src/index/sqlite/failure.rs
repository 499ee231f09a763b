//! What SQLite's errors mean to a caller, and to the index itself.

use std::sync::{Arc, OnceLock};

use rusqlite::ErrorCode;

use crate::error::StoreError;

/// Why writes are refused until a restart, once they are. The first reason stays.
#[derive(Clone, Default)]
pub(super) struct Refusal(Arc<OnceLock<String>>);

impl Refusal {
    pub(super) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    pub(super) fn refuse(&self, why: String) {
        let _ = self.0.set(why);
    }
}

/// What the writer does after a batch failed.
#[derive(Debug)]
pub(super) enum AfterFailure {
    /// The batch was undone, and nothing else is wrong.
    GoOn(StoreError),
    /// What is on the disk is not known: no more writes until a restart has looked.
    Stop(StoreError),
}

/// A read that failed: the index cannot answer, which is never "absent".
pub(super) fn read_failed(error: rusqlite::Error) -> StoreError {
    tracing::error!(%error, "failed to read the index");
    StoreError::unavailable(format!("the index: {error}"))
}

/// A batch that failed, before its COMMIT or in it.
pub(super) fn batch_failed(error: &rusqlite::Error, in_commit: bool) -> AfterFailure {
    let unavailable = StoreError::unavailable(format!("the index: {error}"));
    let Some(code) = error.sqlite_error() else {
        // A row that does not convert: this change cannot be made, and the file is as it was.
        return AfterFailure::GoOn(unavailable);
    };
    match code.code {
        ErrorCode::DiskFull => AfterFailure::GoOn(StoreError::StorageFull),
        ErrorCode::SystemIoFailure if !in_commit && is_wal_index_size(code.extended_code) => {
            AfterFailure::GoOn(StoreError::StorageFull)
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationInterrupted => {
            AfterFailure::GoOn(unavailable)
        }
        ErrorCode::ReadOnly | ErrorCode::CannotOpen => AfterFailure::GoOn(unavailable),
        ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            AfterFailure::Stop(unavailable)
        }
        _ if in_commit => AfterFailure::Stop(unavailable),
        _ => AfterFailure::GoOn(unavailable),
    }
}

/// `SQLITE_IOERR_SHMSIZE` and `SQLITE_IOERR_SHMMAP`: the shared memory file could not grow, on a full disk.
fn is_wal_index_size(extended_code: i32) -> bool {
    matches!(extended_code, rusqlite::ffi::SQLITE_IOERR_SHMSIZE | rusqlite::ffi::SQLITE_IOERR_SHMMAP)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_failed_sync_stops_writes_and_a_full_disk_does_not() {
        for in_commit in [false, true] {
            let synced = batch_failed(&failure(ffi::SQLITE_IOERR_FSYNC), in_commit);
            assert!(matches!(synced, AfterFailure::Stop(StoreError::Unavailable(_))));
            let full = batch_failed(&failure(ffi::SQLITE_FULL), in_commit);
            assert!(matches!(full, AfterFailure::GoOn(StoreError::StorageFull)));
            let busy = batch_failed(&failure(ffi::SQLITE_BUSY), in_commit);
            assert!(matches!(busy, AfterFailure::GoOn(StoreError::Unavailable(_))));
        }
    }
}
