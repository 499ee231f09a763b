//! One transaction of the writer: many changes, each in a savepoint of its own.

use std::collections::{BTreeMap, HashMap};

use kheeper_model::{NamespaceId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::audit_log::SERVER_CHAIN;
use super::authorize::Writer;
use super::rows::RowExt as _;
use crate::audit::AuditNote;
use crate::blob::BlobName;
use crate::caller::Caller;
use crate::error::StoreError;
use crate::index::{Change, Ledger, Outcome};
use crate::options::NamespaceDefaults;

/// Milliseconds that the clock may go on between two commits before it counts as a jump: an hour.
const CLOCK_JUMP_MILLIS: i64 = 3_600_000;
/// Seconds for which nothing is purged after the clock jumped ahead, or a copy was put in place of what was lost.
const HOLD_SECS: u64 = 24 * 3600;

/// The blob that a change brings, which nothing else can name.
fn new_blob(change: &Change) -> Option<BlobName> {
    match change {
        Change::PutObject(put) => put.body.only_blob(),
        Change::PutPart(part) => Some(part.blob),
        _ => None,
    }
}

/// Whether a change is about who may do what. Such a one is in the audit log, or it is not made; of what objects are deleted
/// and restored, the log says what came of it.
fn changes_rights(change: &Change) -> bool {
    match change {
        Change::People(_) | Change::Host(_) | Change::Grant(_) | Change::Snapshot(_) => true,
        Change::PutObject(_)
        | Change::CopyObject(_)
        | Change::DeleteObjects(_)
        | Change::TagObject(_)
        | Change::RestoreObjects(_)
        | Change::CreateUpload(_)
        | Change::PutPart(_)
        | Change::CompleteUpload(_)
        | Change::AbortUpload(_)
        | Change::Audit(..)
        | Change::Usage(_)
        | Change::Sweep(_) => false,
    }
}

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum ChangeError {
    /// It was refused: its neighbours in the batch are not touched.
    Refused(StoreError),
    /// The index failed: the whole batch is undone.
    Index(rusqlite::Error),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for ChangeError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error)
    }
}

/// The batch that is being applied.
pub(super) struct Batch<'c> {
    pub(super) connection: &'c Connection,
    /// The index's clock when the batch began.
    pub(super) now: Timestamp,
    /// What holds for namespaces of which nothing else was said.
    pub(super) defaults: NamespaceDefaults,
    /// What the change under way does to ledgers; counts only once it was made.
    pending: Effects,
    made: Effects,
    /// Writers that were authorized in this batch already. Forgotten when anyone's rights change.
    pub(super) writers: HashMap<(Caller, NamespaceId), Writer>,
}

/// What changes do to namespaces: written once per batch, however many there were.
#[derive(Debug, Default)]
struct Effects {
    ledgers: BTreeMap<i64, Ledger>,
    newest_objects: BTreeMap<i64, Timestamp>,
    /// What goes into which audit chain.
    notes: Vec<(i64, AuditNote)>,
}

impl<'c> Batch<'c> {
    pub(super) fn new(connection: &'c Connection, now: Timestamp, defaults: NamespaceDefaults) -> Self {
        let writers = HashMap::new();
        Self { connection, now, defaults, pending: Effects::default(), made: Effects::default(), writers }
    }

    /// Makes one change, or none of it.
    pub(super) fn apply(&mut self, change: Change) -> Result<Outcome, ChangeError> {
        self.connection.prepare_cached("SAVEPOINT change")?.execute([])?;
        let changes_rights = changes_rights(&change);
        let blob = new_blob(&change);
        let rows_before = self.connection.total_changes();
        let made = self.make(change).and_then(|outcome| {
            if changes_rights && self.pending.notes.is_empty() && self.connection.total_changes() != rows_before {
                return Err(StoreError::internal("a change of rights left no record in the audit log").into());
            }
            Ok(outcome)
        });
        match made {
            Ok(outcome) => {
                self.connection.prepare_cached("RELEASE change")?.execute([])?;
                let Effects { ledgers, newest_objects, notes } = std::mem::take(&mut self.pending);
                ledgers
                    .into_iter()
                    .for_each(|(namespace, more)| *self.made.ledgers.entry(namespace).or_default() += more);
                self.made.newest_objects.extend(newest_objects);
                self.made.notes.extend(notes);
                if changes_rights {
                    self.writers.clear();
                }
                Ok(outcome)
            }
            Err(ChangeError::Refused(error)) => {
                self.pending = Effects::default();
                self.connection.prepare_cached("ROLLBACK TO change")?.execute([])?;
                self.connection.prepare_cached("RELEASE change")?.execute([])?;
                // Nothing will ever name the blob that came with it: sweep need not search for it.
                if let Some(blob) = blob {
                    self.condemn_blob(&blob)?;
                }
                Err(ChangeError::Refused(error))
            }
            Err(failed) => Err(failed),
        }
    }

    fn make(&mut self, change: Change) -> Result<Outcome, ChangeError> {
        match change {
            Change::PutObject(put) => self.put_object(put),
            Change::CopyObject(copy) => self.copy_object(copy),
            Change::DeleteObjects(delete) => self.delete_objects(delete),
            Change::TagObject(tag) => self.tag_object(&tag),
            Change::RestoreObjects(restore) => self.restore_objects(&restore),
            Change::CreateUpload(create) => self.create_upload(create),
            Change::PutPart(part) => self.put_part(part),
            Change::CompleteUpload(complete) => self.complete_upload(complete),
            Change::AbortUpload(abort) => self.abort_upload(&abort),
            Change::People(people) => self.change_people(people),
            Change::Host(host) => self.change_host(host),
            Change::Grant(grant) => self.change_grant(grant),
            Change::Audit(org, notes) => {
                let org_no = org.map_or(Ok(SERVER_CHAIN), |org| self.org_no(&org))?;
                notes.into_iter().for_each(|note| self.audit(org_no, note));
                Ok(Outcome::Done)
            }
            Change::Usage(usage) => self.change_usage(usage),
            Change::Sweep(sweep) => self.sweep(sweep),
            Change::Snapshot(snapshot) => self.change_snapshot(snapshot),
        }
    }

    /// Notes what the change under way does to a namespace's ledger.
    pub(super) fn add_to_ledger(&mut self, namespace_no: i64, more: Ledger) {
        *self.pending.ledgers.entry(namespace_no).or_default() += more;
    }

    /// Notes what the change under way shall leave in an audit chain: in the same transaction, once it was made.
    pub(super) fn audit(&mut self, org_no: i64, note: AuditNote) {
        self.pending.notes.push((org_no, note));
    }

    /// Notes that the change under way wrote an object.
    pub(super) fn note_object(&mut self, namespace_no: i64, committed_at: Timestamp) {
        self.pending.newest_objects.insert(namespace_no, committed_at);
    }

    /// Stored bytes of a namespace, with what this batch has done so far.
    pub(super) fn ledger(&self, namespace_no: i64) -> rusqlite::Result<Ledger> {
        let mut ledger = super::usage_read::ledger(self.connection, namespace_no)?;
        for effects in [&self.made, &self.pending] {
            ledger += effects.ledgers.get(&namespace_no).copied().unwrap_or_default();
        }
        Ok(ledger)
    }

    /// Writes what the batch did to ledgers as one delta row per namespace, and the highest time committed.
    pub(super) fn finish(&mut self) -> rusqlite::Result<()> {
        let Effects { ledgers, newest_objects, notes } = std::mem::take(&mut self.made);
        for (namespace_no, delta) in ledgers {
            if delta != Ledger::default() {
                self.connection
                    .prepare_cached(
                        "INSERT INTO usage_delta
                             (namespace_no, at_secs, objects, current_bytes, hidden_bytes, uploading_bytes)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute(params![
                        namespace_no,
                        self.now.as_secs(),
                        delta.objects,
                        delta.current_bytes,
                        delta.hidden_bytes,
                        delta.uploading_bytes
                    ])?;
            }
        }
        for (namespace_no, newest) in newest_objects {
            self.connection
                .prepare_cached("UPDATE namespace SET last_object_at = ?2 WHERE namespace_no = ?1")?
                .execute(params![namespace_no, newest.as_millis()])?;
        }
        self.write_notes(notes)?;
        self.note_time()
    }

    /// Purges nothing for a day: time to notice what is wrong, and to put it right.
    pub(super) fn hold_purges(&self) -> rusqlite::Result<()> {
        self.set_meta("hold_until", self.now.plus_secs(HOLD_SECS).as_millis())
    }

    fn note_time(&self) -> rusqlite::Result<()> {
        let high = self.meta("committed_high")?;
        let now = self.now.as_millis();
        if now <= high {
            return Ok(());
        }
        self.set_meta("committed_high", now)?;
        if high > 0 && now - high > CLOCK_JUMP_MILLIS {
            tracing::warn!(now = %self.now, last_commit = %Timestamp(high), "the clock jumped ahead, or the store was not in use");
            self.hold_purges()?;
        }
        Ok(())
    }

    pub(super) fn meta(&self, name: &str) -> rusqlite::Result<i64> {
        self.connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |row| row.get(0))
    }

    pub(super) fn set_meta(&self, name: &str, value: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?
            .execute(params![name, value])
            .map(drop)
    }

    /// Someone's rights changed: every server drops what it remembers about callers.
    pub(super) fn bump_auth_epoch(&self) -> rusqlite::Result<()> {
        self.set_meta("auth_epoch", self.meta("auth_epoch")? + 1)
    }

    /// The version of a key that was committed last, as the time before which no later one may be.
    pub(super) fn last_time_of_key(&self, org_no: i64, key: &[u8]) -> rusqlite::Result<Option<Timestamp>> {
        self.connection
            .prepare_cached(
                "SELECT max(committed_at, coalesce(hidden_at, 0)) FROM version
                 WHERE org_no = ?1 AND key = ?2 ORDER BY committed_at DESC LIMIT 1",
            )?
            .query_row(params![org_no, key], |row| row.time(0))
            .optional()
    }
}
