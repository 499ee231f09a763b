//! Copies of the index for snapshots, and the quarantine of a store that was restored from one.
//!
//! A copy knows less than the store it is of: what was revoked since, which join tokens were used. Whoever was shut out since
//! would be let in by it. So every copy is written in quarantine: nobody is let in by an index in quarantine, and nothing is
//! purged, until the operator has said what was revoked meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kheeper_model::audit::AuditAct;
use kheeper_model::{ContentId, KeyId, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::audit_log::SERVER_CHAIN;
use super::batch::{Batch, ChangeError};
use super::rows::{RowExt as _, int};
use super::{schema, scrub_read, sweep_read};
use crate::audit::{AuditBy, AuditNote};
use crate::blob::BlobName;
use crate::error::{OpenError, StoreError};
use crate::index::{ContentOwner, Outcome, SnapshotChange};

/// `meta`: when the copy was taken that this index is; no such row in an index that is none, or was confirmed.
const QUARANTINED_SINCE: &str = "quarantined_since";
/// `meta`: where the index ends that was put in place of a newer one; no such row in one that is what it always was.
const OLDER_SINCE: &str = "older_since";
/// `meta`: what the store is called, from its first snapshot on.
const STORE_ID: &str = "store_id";
/// Rows of one page.
const ROWS_PER_PAGE: usize = 500;

/// Since when an index is in quarantine, if it is.
pub(super) fn quarantined_since(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    time_if_any(connection, QUARANTINED_SINCE)
}

/// Where an index ends that was put in place of a newer one.
pub(super) fn older_since(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    time_if_any(connection, OLDER_SINCE)
}

fn time_if_any(connection: &Connection, name: &str) -> rusqlite::Result<Option<Timestamp>> {
    connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |row| row.time(0)).optional()
}

/// Notes that the index, which ends at `end`, is older than the store once was.
pub(super) fn note_older(connection: &Connection, end: Timestamp) -> rusqlite::Result<()> {
    connection
        .execute("INSERT OR IGNORE INTO meta (name, value) VALUES (?1, ?2)", params![OLDER_SINCE, end.as_millis()])
        .map(drop)
}

/// Copies the index at `index`, which may be in use, to a file of its own, in quarantine as of `now`. Blocks.
pub(super) fn copy(index: &Path, copy: &Path, now: Timestamp) -> Result<(), StoreError> {
    let failed = |error: OpenError| StoreError::unavailable(format!("copying the index: {error}"));
    let copied = schema::open_checkpointer(index)
        .and_then(|connection| schema::write_copy(&connection, copy))
        .and_then(|()| quarantine(copy, now).map_err(schema::index_error));
    copied.map_err(|error| {
        // What there is of it is of no use, and may be what fills the disk.
        let _ = fs::remove_file(copy);
        failed(error)
    })
}

/// Takes out of a copy what must not come back with it.
fn quarantine(copy: &Path, now: Timestamp) -> rusqlite::Result<()> {
    let mut connection = Connection::open(copy)?;
    let transaction = connection.transaction()?;
    // A copy of a copy that nobody has confirmed is as old as that one.
    transaction.execute(
        "INSERT OR IGNORE INTO meta (name, value) VALUES (?1, ?2)",
        params![QUARANTINED_SINCE, now.as_millis()],
    )?;
    transaction.execute_batch(
        "DELETE FROM join_token;
         DELETE FROM read_grant;
         DELETE FROM lease;
         DELETE FROM small WHERE small_no IN (SELECT small_no FROM content WHERE condemned_at IS NOT NULL);
         DELETE FROM content WHERE condemned_at IS NOT NULL;
         DELETE FROM condemned_blob;",
    )?;
    transaction.commit()
}

/// The index of a snapshot, to read what is in it without serving it.
pub(crate) struct CopiedIndex {
    connection: Connection,
}

/// What an index says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CopyMark {
    /// When it was taken; none for an index that is in use.
    pub(crate) quarantined_since: Option<Timestamp>,
    /// Of which store; none for one of which no snapshot was ever taken.
    pub(crate) store_id: Option<i64>,
}

impl CopiedIndex {
    /// Opens an index that nobody else has open. Blocks, like all of this.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(schema::index_error)?;
        Ok(Self { connection })
    }

    pub(crate) fn mark(&self) -> Result<CopyMark, OpenError> {
        let store_id = self
            .connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [STORE_ID], |row| row.get(0))
            .optional()
            .map_err(schema::index_error)?;
        let quarantined_since = quarantined_since(&self.connection).map_err(schema::index_error)?;
        Ok(CopyMark { quarantined_since, store_id })
    }

    /// Calls `each` with every blob that the index names, and the bytes of its payload.
    pub(crate) fn each_blob(
        &self,
        mut each: impl FnMut(BlobName, u64) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let mut after = None;
        loop {
            let page =
                sweep_read::contents(&self.connection, after, None, ROWS_PER_PAGE).map_err(schema::index_error)?;
            for content in &page.contents {
                content.blobs().into_iter().try_for_each(|(name, bytes)| each(name, bytes))?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let mut after = None;
        loop {
            let page =
                sweep_read::part_blobs(&self.connection, after, None, ROWS_PER_PAGE).map_err(schema::index_error)?;
            for (name, bytes) in page.blobs {
                if let Some(bytes) = bytes {
                    each(name, bytes)?;
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Which of these blobs the index does not name.
    pub(crate) fn unreferenced(&self, blobs: &[BlobName]) -> Result<Vec<BlobName>, OpenError> {
        sweep_read::unreferenced(&self.connection, blobs).map_err(schema::index_error)
    }

    /// The versions and open uploads that these contents belong to.
    pub(crate) fn owners(&self, contents: &BTreeSet<ContentId>) -> Result<Vec<ContentOwner>, OpenError> {
        let mut owners = Vec::new();
        let mut after = scrub_read::VersionRow::FIRST;
        loop {
            let page = scrub_read::owners(&self.connection, contents, &after).map_err(schema::index_error)?;
            owners.extend(page.owners);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        owners.extend(scrub_read::uploads_of(&self.connection, contents).map_err(schema::index_error)?);
        Ok(owners)
    }
}

impl Batch<'_> {
    pub(super) fn change_snapshot(&mut self, change: SnapshotChange) -> Result<Outcome, ChangeError> {
        match change {
            SnapshotChange::Note { store_id } => self.note_snapshot(store_id),
            SnapshotChange::EndQuarantine { revoked } => self.end_quarantine(&revoked),
            SnapshotChange::AcceptOlderIndex => {
                self.connection.prepare_cached("DELETE FROM meta WHERE name = ?1")?.execute([OLDER_SINCE])?;
                self.audit(SERVER_CHAIN, AuditNote::done(AuditAct::IndexAcceptOlder, AuditBy::Operator, "the store"));
                Ok(Outcome::Done)
            }
        }
    }

    /// Callers are let in: the store was not restored from a snapshot, or its operator has confirmed it.
    pub(super) fn check_not_quarantined(&self) -> Result<(), ChangeError> {
        match quarantined_since(self.connection)? {
            Some(since) => Err(StoreError::Quarantined(since).into()),
            None => Ok(()),
        }
    }

    fn note_snapshot(&mut self, store_id: u64) -> Result<Outcome, ChangeError> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO meta (name, value) VALUES (?1, ?2)")?
            .execute(params![STORE_ID, int(store_id)])?;
        self.audit(SERVER_CHAIN, AuditNote::done(AuditAct::SnapshotTake, AuditBy::Operator, "the store"));
        Ok(Outcome::Done)
    }

    /// May be repeated.
    fn end_quarantine(&mut self, revoked: &[KeyId]) -> Result<Outcome, ChangeError> {
        let Some(since) = quarantined_since(self.connection)? else { return Ok(Outcome::Done) };
        // One that is mistyped must not be let in for it: then nothing is changed.
        for key_id in revoked {
            self.revoke_key(key_id)?;
        }
        self.connection.prepare_cached("DELETE FROM meta WHERE name = ?1")?.execute([QUARANTINED_SINCE])?;
        self.hold_purges()?;
        self.bump_auth_epoch()?;
        let note = AuditNote::done(AuditAct::QuarantineEnd, AuditBy::Operator, "the store");
        self.audit(SERVER_CHAIN, note.with("snapshot_of", since).with("keys_revoked", revoked.len()));
        Ok(Outcome::Done)
    }
}
