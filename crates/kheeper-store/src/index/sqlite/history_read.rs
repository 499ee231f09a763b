//! What there was: objects and listings as of a time, and the versions of a namespace.
//!
//! The versions of a key follow one another: each is hidden no later than the next becomes current. So the last one that
//! became current at or before a time is the only one that may have been current then. (Versions of stalled PUTs are
//! committed hidden; they were never current, and are stepped over.)

use kheeper_model::limits::PAST_KEYS_PER_PAGE_MAX;
use kheeper_model::{ObjectKey, OrgName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::object_read::{ListError, Run, list_prefix, read_listed, read_meta};
use super::rows::{RowExt as _, int};
use crate::index::{ListPlan, Range, VersionQuery};
use crate::object::{ListEntry, ListPage, ListedObject, ObjectMeta, VersionCursor, VersionPage, VersionRecord};

/// The columns of [`read_meta`], and when the version was hidden, for the last version that became current by a time.
const SELECT_LAST_VERSION: &str = "
    SELECT n.namespace_id, v.bytes, v.etag, coalesce(v.modified_at, v.committed_at), v.headers, v.checksum,
           v.part_count, v.content_id, v.hidden_at
    FROM version v JOIN namespace n USING (namespace_no)
    WHERE v.org_no = ?1 AND v.key = ?2 AND v.committed_at <= ?3
      AND (v.hidden_at IS NULL OR v.hidden_at > v.committed_at)
    ORDER BY v.committed_at DESC LIMIT 1";

/// The number of an org.
pub(super) fn org_no(connection: &Connection, org: &OrgName) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT org_no FROM org WHERE name = ?1")?
        .query_row([org.as_str()], |row| row.get(0))
        .optional()
}

/// The object that a key had.
pub(super) fn object(
    connection: &Connection,
    org: &OrgName,
    key: &ObjectKey,
    at: Timestamp,
) -> rusqlite::Result<Option<ObjectMeta>> {
    match org_no(connection, org)? {
        Some(org_no) => version_at(connection, org_no, key, at),
        None => Ok(None),
    }
}

/// The version of a key that was current. One search, however many versions there are.
pub(super) fn version_at(
    connection: &Connection,
    org_no: i64,
    key: &ObjectKey,
    at: Timestamp,
) -> rusqlite::Result<Option<ObjectMeta>> {
    let found = connection
        .prepare_cached(SELECT_LAST_VERSION)?
        .query_row(params![org_no, key.as_bytes(), at.as_millis()], |row| {
            Ok(was_current(row, 8, at)?.then(|| read_meta(row, key)))
        })
        .optional()?;
    found.flatten().transpose()
}

/// The last version that was ever current.
pub(super) fn last_version(
    connection: &Connection,
    org_no: i64,
    key: &ObjectKey,
) -> rusqlite::Result<Option<ObjectMeta>> {
    connection
        .prepare_cached(SELECT_LAST_VERSION)?
        .query_row(params![org_no, key.as_bytes(), i64::MAX], |row| read_meta(row, key))
        .optional()
}

/// Whether the version that became current was not hidden by then.
fn was_current(row: &Row<'_>, hidden_at: usize, at: Timestamp) -> rusqlite::Result<bool> {
    Ok(row.time_if_any(hidden_at)?.is_none_or(|hidden_at| hidden_at > at))
}

/// The first key at or after `from` that has any version. One search, which steps over all versions of a key.
pub(super) fn next_key(connection: &Connection, org_no: i64, from: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT key FROM version WHERE org_no = ?1 AND key >= ?2 ORDER BY key LIMIT 1")?
        .query_row(params![org_no, from], |row| row.get(0))
        .optional()
}

/// The first key that is after `key`.
pub(super) fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// A listing of what there was at a time.
pub(super) struct Past<'p> {
    pub(super) connection: &'p Connection,
    pub(super) org_no: i64,
    pub(super) at: Timestamp,
    /// Keys that the page has looked at.
    pub(super) looked_at: &'p mut usize,
}

impl Past<'_> {
    /// Lists a run of neighbouring keys: two searches for each key that has any version. Keys that were not there then
    /// cost as much as those that were, so the page also ends at a number of keys it has looked at.
    pub(super) fn list_run(
        self,
        plan: &ListPlan,
        start: &[u8],
        end: Option<&[u8]>,
        page: &mut ListPage,
        last: &mut Vec<u8>,
    ) -> Result<Run, ListError> {
        let mut from = start.to_vec();
        while let Some(key) = next_key(self.connection, self.org_no, &from)? {
            if end.is_some_and(|end| key.as_slice() >= end) {
                break;
            }
            *self.looked_at += 1;
            let common = plan.common_prefix(&key).map(<[u8]>::to_vec);
            if let Some(object) = self.listed(&key)? {
                if page.entries.len() == plan.max {
                    return Ok(Run::Full);
                }
                if let Some(common) = common {
                    return list_prefix(common, page, last);
                }
                page.entries.push(ListEntry::Object(object));
                last.clone_from(&key);
            } else if *self.looked_at >= PAST_KEYS_PER_PAGE_MAX && common.as_ref() != Some(&key) {
                // A key that is its own common prefix is no place to go on after: the cursor would skip all of it.
                *last = key;
                return Ok(Run::Full);
            }
            from = after(key);
        }
        Ok(Run::Ended)
    }

    fn listed(&self, key: &[u8]) -> rusqlite::Result<Option<ListedObject>> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT key, bytes, etag, coalesce(modified_at, committed_at), checksum, headers, hidden_at FROM version
                 WHERE org_no = ?1 AND key = ?2 AND committed_at <= ?3
                   AND (hidden_at IS NULL OR hidden_at > committed_at)
                 ORDER BY committed_at DESC LIMIT 1",
            )?
            .query_row(params![self.org_no, key, self.at.as_millis()], |row| {
                Ok(was_current(row, 6, self.at)?.then(|| read_listed(row)))
            })
            .optional()?;
        found.flatten().transpose()
    }
}

/// One page of the versions of a namespace.
pub(super) fn versions(connection: &Connection, query: &VersionQuery) -> rusqlite::Result<VersionPage> {
    let Some(org_no) = org_no(connection, &query.org)? else { return Ok(VersionPage::default()) };
    let Range { start, end } = &query.range;
    let (key, committed_at) = match &query.after {
        Some(cursor) => (cursor.key.as_bytes().to_vec(), cursor.committed_at.as_millis()),
        None => (start.clone(), i64::MIN),
    };
    let versions: Vec<VersionRecord> = connection
        .prepare_cached(
            "SELECT key, bytes, etag, coalesce(modified_at, committed_at), committed_at, hidden_at, purge_after
             FROM version
             WHERE org_no = ?1 AND (key, committed_at) > (?2, ?3) AND key >= ?4 AND (?5 IS NULL OR key < ?5)
             ORDER BY key, committed_at LIMIT ?6",
        )?
        .query_map(params![org_no, key, committed_at, start, end, int(query.max as u64)], |row| {
            Ok(VersionRecord {
                key: row.key(0)?,
                bytes: row.number(1)?,
                etag: row.etag(2)?,
                last_modified: row.time(3)?,
                committed_at: row.time(4)?,
                hidden_at: row.time_if_any(5)?,
                purge_after: row.time_if_any(6)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let last = versions.last().filter(|_| versions.len() == query.max);
    let next = last.map(|last| VersionCursor { key: last.key.clone(), committed_at: last.committed_at });
    Ok(VersionPage { versions, next })
}
