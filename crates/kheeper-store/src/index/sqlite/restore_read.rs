//! What a restore would change.

use kheeper_model::api::{RestoreAction, RestorePage, RestoreStep};
use kheeper_model::limits::{PAST_KEYS_PER_PAGE_MAX, RESTORE_KEYS_PER_COMMIT};
use kheeper_model::{ObjectKey, OrgName};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::history_read;
use super::object_read;
use super::rows::RowExt as _;
use crate::as_of::AsOf;
use crate::object::ObjectMeta;
use crate::restore::{RestoreQuery, RestoreTarget};

/// A key that is not what the restore shall make of it.
pub(super) enum Difference {
    /// It shall have this again.
    Restore(ObjectMeta),
    /// It shall have nothing, and has this.
    Hide(ObjectMeta),
}

/// One batch: as many changes as one commit takes, from a bounded number of keys.
pub(super) fn plan(connection: &Connection, query: &RestoreQuery) -> rusqlite::Result<RestorePage> {
    let mut page = RestorePage::default();
    let org = &query.namespace.org;
    let Some(org_no) = history_read::org_no(connection, org)? else { return Ok(page) };
    let start = query.range.start.clone();
    let mut from = match &query.after {
        Some(after) => start.max(history_read::after(after.as_bytes().to_vec())),
        None => start,
    };
    for looked_at in 1.. {
        let Some(key) = next_key(connection, org_no, &from)? else { break };
        if query.range.end.as_ref().is_some_and(|end| key.as_bytes() >= end.as_slice()) {
            break;
        }
        match difference(connection, org, org_no, &key, query.target)? {
            None => page.unchanged += 1,
            Some(difference) => page.steps.push(difference.step()),
        }
        if page.steps.len() == RESTORE_KEYS_PER_COMMIT || looked_at == PAST_KEYS_PER_PAGE_MAX {
            page.next = Some(key.into());
            break;
        }
        from = history_read::after(key.as_bytes().to_vec());
    }
    Ok(page)
}

/// How a key differs from what the restore shall make of it.
pub(super) fn difference(
    connection: &Connection,
    org: &OrgName,
    org_no: i64,
    key: &ObjectKey,
    target: RestoreTarget,
) -> rusqlite::Result<Option<Difference>> {
    let current = object_read::object(connection, org, key, AsOf::Now)?;
    let wanted = match (target, &current) {
        (RestoreTarget::AsOf(at) | RestoreTarget::AsOfKeepingNew(at), _) => {
            history_read::version_at(connection, org_no, key, at)?
        }
        (RestoreTarget::Undelete, None) => history_read::last_version(connection, org_no, key)?,
        (RestoreTarget::Undelete, Some(_)) => return Ok(None),
    };
    Ok(match (wanted, current) {
        (Some(wanted), Some(current)) if wanted == current => None,
        (Some(wanted), _) => Some(Difference::Restore(wanted)),
        (None, Some(current)) if matches!(target, RestoreTarget::AsOf(_)) => Some(Difference::Hide(current)),
        (None, _) => None,
    })
}

impl Difference {
    fn step(self) -> RestoreStep {
        let (action, meta) = match self {
            Self::Restore(meta) => (RestoreAction::Restore, meta),
            Self::Hide(meta) => (RestoreAction::Hide, meta),
        };
        RestoreStep { key: meta.key.into(), action, bytes: meta.bytes, last_modified: meta.last_modified }
    }
}

fn next_key(connection: &Connection, org_no: i64, from: &[u8]) -> rusqlite::Result<Option<ObjectKey>> {
    connection
        .prepare_cached("SELECT key FROM version WHERE org_no = ?1 AND key >= ?2 ORDER BY key LIMIT 1")?
        .query_row(params![org_no, from], |row| row.key(0))
        .optional()
}
