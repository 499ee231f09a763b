//! The audit chains: records are appended with the batch that did what they say, and forgotten from their old end.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use kheeper_model::audit::{AuditEntry, AuditPage, AuditRecord, CHAIN_START, ChainHash, chain_hash};
use kheeper_model::limits::{AUDIT_RECORDS_MAX, AUDIT_SECS_KEPT, AUDIT_SECS_MIN, AUDIT_TEXT_CHARS_MAX};
use kheeper_model::{KeyId, OrgName};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::batch::{Batch, ChangeError};
use super::rows::{RowExt as _, int};
use crate::audit::{AuditBy, AuditNote};
use crate::error::StoreError;

/// The `org_no` of the server's own chain.
pub(super) const SERVER_CHAIN: i64 = 0;

/// Where a chain begins and ends.
#[derive(Debug, Clone, Copy)]
struct Head {
    first_seq: u64,
    first_prev: ChainHash,
    seq: u64,
    hash: ChainHash,
}

impl Head {
    const EMPTY: Self = Self { first_seq: 1, first_prev: CHAIN_START, seq: 0, hash: CHAIN_START };

    fn read(connection: &Connection, org_no: i64) -> rusqlite::Result<Self> {
        let found = connection
            .prepare_cached("SELECT first_seq, first_prev, seq, hash FROM audit_head WHERE org_no = ?1")?
            .query_row([org_no], |row| {
                Ok(Self {
                    first_seq: row.number(0)?,
                    first_prev: row.array(1)?,
                    seq: row.number(2)?,
                    hash: row.array(3)?,
                })
            })
            .optional()?;
        Ok(found.unwrap_or(Self::EMPTY))
    }

    fn write(&self, connection: &Connection, org_no: i64) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO audit_head (org_no, first_seq, first_prev, seq, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![org_no, int(self.first_seq), self.first_prev, int(self.seq), self.hash])
            .map(drop)
    }
}

impl Batch<'_> {
    /// The number of an org.
    pub(super) fn org_no(&self, org: &OrgName) -> Result<i64, ChangeError> {
        let found = self
            .connection
            .prepare_cached("SELECT org_no FROM org WHERE name = ?1")?
            .query_row([org.as_str()], |row| row.get(0))
            .optional()?;
        found.ok_or_else(|| StoreError::NoSuchOrg(org.clone()).into())
    }

    /// Appends what the batch noted: one row a note, and the head of each chain once.
    pub(super) fn write_notes(&self, notes: Vec<(i64, AuditNote)>) -> rusqlite::Result<()> {
        let mut heads: BTreeMap<i64, (Head, Option<OrgName>)> = BTreeMap::new();
        for (org_no, note) in notes {
            let (head, org) = match heads.entry(org_no) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    vacant.insert((Head::read(self.connection, org_no)?, org_name(self.connection, org_no)?))
                }
            };
            let record = self.record(head.seq + 1, org.clone(), note);
            let text = serde_json::to_string(&record)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
            head.seq += 1;
            head.hash = chain_hash(&head.hash, &text);
            self.connection
                .prepare_cached("INSERT INTO audit_record (org_no, seq, at, hash, record) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![org_no, int(head.seq), self.now.as_millis(), head.hash, text])?;
        }
        heads.into_iter().try_for_each(|(org_no, (head, _))| head.write(self.connection, org_no))
    }

    fn record(&self, seq: u64, org: Option<OrgName>, note: AuditNote) -> AuditRecord {
        let AuditNote { act, by, on, outcome, details } = note;
        let (by, key_id, from) = match by {
            AuditBy::Caller { subject, key_id, from } => (subject, Some(key_id), from),
            AuditBy::Joining(from) => ("a machine with a join token".to_owned(), None::<KeyId>, from),
            AuditBy::Nobody(from) => ("nobody".to_owned(), None, from),
            AuditBy::Operator => ("operator".to_owned(), None, None),
            AuditBy::Server => ("server".to_owned(), None, None),
        };
        let details = details.into_iter().map(|(name, value)| (name.to_owned(), short(value))).collect();
        let from = from.map(|from| from.to_canonical().to_string());
        let (at, act) = (self.now, act.to_string());
        AuditRecord { seq, at, org, act, by, key_id, from, on: on.map(short), outcome, details }
    }

    /// Forgets up to `max` of the oldest records of each chain whose time is over, or that are too many and old enough.
    /// What is left begins with the hash of the last one forgotten, so that it can still be followed.
    pub(super) fn forget_audit(&mut self, max: u64) -> Result<u64, ChangeError> {
        let chains: Vec<i64> = self
            .connection
            .prepare_cached("SELECT org_no FROM audit_head")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut forgotten = 0;
        for org_no in chains {
            let head = Head::read(self.connection, org_no)?;
            let too_many = (head.seq + 1).saturating_sub(head.first_seq).saturating_sub(AUDIT_RECORDS_MAX);
            let last: Option<(u64, ChainHash)> = self
                .connection
                .prepare_cached(
                    "SELECT seq, hash FROM audit_record
                     WHERE org_no = ?1 AND seq < ?2 AND (at < ?3 OR (seq < ?4 AND at < ?5))
                     ORDER BY seq DESC LIMIT 1",
                )?
                .query_row(
                    params![
                        org_no,
                        // The newest always stays: it is what the next one is hashed with.
                        int(head.seq.min(head.first_seq + max)),
                        self.now.minus_secs(AUDIT_SECS_KEPT).as_millis(),
                        int(head.first_seq + too_many),
                        self.now.minus_secs(AUDIT_SECS_MIN).as_millis()
                    ],
                    |row| Ok((row.number(0)?, row.array(1)?)),
                )
                .optional()?;
            let Some((seq, hash)) = last else { continue };
            let deleted = self
                .connection
                .prepare_cached("DELETE FROM audit_record WHERE org_no = ?1 AND seq <= ?2")?
                .execute(params![org_no, int(seq)])?;
            forgotten += deleted as u64;
            Head { first_seq: seq + 1, first_prev: hash, ..head }.write(self.connection, org_no)?;
        }
        Ok(forgotten)
    }
}

/// Texts come from names and keys of any length.
fn short(text: String) -> String {
    match text.char_indices().nth(AUDIT_TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn org_name(connection: &Connection, org_no: i64) -> rusqlite::Result<Option<OrgName>> {
    connection
        .prepare_cached("SELECT name FROM org WHERE org_no = ?1")?
        .query_row([org_no], |row| row.parsed(0))
        .optional()
}

/// A part of a chain. An org that is not there has an empty one.
pub(super) fn page(
    connection: &mut Connection,
    org: Option<&OrgName>,
    after: u64,
    max: usize,
) -> rusqlite::Result<AuditPage> {
    let view = connection.transaction()?;
    let org_no = match org {
        None => SERVER_CHAIN,
        Some(org) => view
            .prepare_cached("SELECT org_no FROM org WHERE name = ?1")?
            .query_row([org.as_str()], |row| row.get(0))
            .optional()?
            .unwrap_or(-1),
    };
    let head = Head::read(&view, org_no)?;
    let entries = view
        .prepare_cached("SELECT hash, record FROM audit_record WHERE org_no = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3")?
        .query_map(params![org_no, int(after), int(max as u64)], |row| {
            Ok(AuditEntry { hash: hex(&row.array::<32>(0)?), record: row.get(1)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(AuditPage {
        org: org.cloned(),
        first_seq: head.first_seq,
        first_prev: hex(&head.first_prev),
        head_seq: head.seq,
        head_hash: hex(&head.hash),
        entries,
    })
}

fn hex(hash: &ChainHash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The chains that have ever had a record: by their heads and by their records, so that a missing head is noticed.
pub(super) fn chains(connection: &Connection) -> rusqlite::Result<Vec<Option<OrgName>>> {
    let numbers: Vec<i64> = connection
        .prepare_cached("SELECT org_no FROM audit_head UNION SELECT DISTINCT org_no FROM audit_record ORDER BY 1")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let named =
        |org_no| if org_no == SERVER_CHAIN { Ok(Some(None)) } else { Ok(org_name(connection, org_no)?.map(Some)) };
    numbers.into_iter().filter_map(|org_no| named(org_no).transpose()).collect()
}
