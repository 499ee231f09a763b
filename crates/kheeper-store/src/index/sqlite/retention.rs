//! The retention window: how long what is hidden now is kept.
//!
//! The window in force is the largest that was set during the last old window: a shorter one counts only once the longer
//! one before it has passed, so that nobody can shorten it and then destroy.

use kheeper_model::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::rows::uint;

/// The window of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Seconds, as set.
    pub(super) set_secs: u64,
    /// Seconds that count for what is hidden now.
    pub(super) in_force_secs: u64,
}

/// The window of a namespace. None where its rows are not there or cannot be read: then nothing may ever be purged by it.
pub(super) fn window(connection: &Connection, namespace_no: i64, now: Timestamp) -> rusqlite::Result<Option<Window>> {
    let mut statement =
        connection.prepare_cached("SELECT secs, replaced_at FROM retention WHERE namespace_no = ?1 ORDER BY set_at")?;
    let mut rows = statement.query([namespace_no])?;
    let (mut set, mut in_force) = (None, None);
    while let Some(row) = rows.next()? {
        let (secs, replaced_at) = match (row.get_ref(0)?, row.get_ref(1)?) {
            (ValueRef::Integer(secs @ 0..), ValueRef::Null) => (uint(secs), None),
            (ValueRef::Integer(secs @ 0..), ValueRef::Integer(at)) => (uint(secs), Some(Timestamp(at))),
            _ => {
                tracing::error!(
                    namespace_no,
                    "a retention window cannot be read: nothing that is hidden now is purged"
                );
                return Ok(None);
            }
        };
        match replaced_at {
            None => set = Some(secs),
            Some(at) if at.plus_secs(secs) <= now => continue,
            Some(_) => {}
        }
        in_force = in_force.max(Some(secs));
    }
    Ok(set.zip(in_force).map(|(set_secs, in_force_secs)| Window { set_secs, in_force_secs }))
}

/// Replaces the window that is set. The old one's row stays, since it counts on for a while.
pub(super) fn set(connection: &Connection, namespace_no: i64, secs: u64, now: Timestamp) -> rusqlite::Result<()> {
    let latest: Option<i64> = connection
        .prepare_cached("SELECT max(set_at) FROM retention WHERE namespace_no = ?1")?
        .query_row([namespace_no], |row| row.get(0))?;
    let set_at = latest.map_or(now.as_millis(), |latest| now.as_millis().max(latest + 1));
    connection
        .prepare_cached("UPDATE retention SET replaced_at = ?2 WHERE namespace_no = ?1 AND replaced_at IS NULL")?
        .execute(params![namespace_no, set_at])?;
    connection
        .prepare_cached("INSERT INTO retention (namespace_no, set_at, secs) VALUES (?1, ?2, ?3)")?
        .execute(params![namespace_no, set_at, super::rows::int(secs)])?;
    Ok(())
}
