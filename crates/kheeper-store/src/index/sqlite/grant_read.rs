//! Grants, as records and as what a caller may read.

use kheeper_model::api::GrantRecord;
use kheeper_model::limits::{GRANT_ENDED_SECS, GRANTS_PER_HOST_MAX};
use kheeper_model::{GrantId, HostId, OrgName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::{RowExt as _, int};
use crate::caller::ReadGrant;

/// What a host may read of others now, and might until lately; the longest last. A deleted host is not read by grants.
pub(super) fn of_grantee(connection: &Connection, host: &HostId, now: Timestamp) -> rusqlite::Result<Vec<ReadGrant>> {
    connection
        .prepare_cached(
            "SELECT g.grant_id, n.host, g.ends_at FROM read_grant g JOIN namespace n USING (namespace_no)
             WHERE g.grantee = ?1 AND g.ends_at > ?2 AND n.deleted_at IS NULL AND n.released_at IS NULL
             ORDER BY g.ends_at DESC LIMIT ?3",
        )?
        .query_map(
            params![host.as_str(), now.minus_secs(GRANT_ENDED_SECS).as_millis(), int(2 * GRANTS_PER_HOST_MAX)],
            |row| Ok(ReadGrant { id: row.parsed(0)?, host: row.parsed(1)?, ends_at: row.time(2)? }),
        )?
        .collect()
}

const SELECT_GRANT: &str = "SELECT g.grant_id, o.name, n.host, t.host, g.created_by, g.created_at, g.ends_at
     FROM read_grant g JOIN org o ON o.org_no = g.org_no JOIN namespace n ON n.namespace_no = g.namespace_no
          JOIN host h ON h.host_id = g.grantee JOIN namespace t ON t.namespace_no = h.namespace_no";

/// The grants of an org that have not ended, by their end.
pub(super) fn of_org(connection: &Connection, org: &OrgName, now: Timestamp) -> rusqlite::Result<Vec<GrantRecord>> {
    connection
        .prepare_cached(&format!("{SELECT_GRANT} WHERE o.name = ?1 AND g.ends_at > ?2 ORDER BY g.ends_at, g.grant_id"))?
        .query_map(params![org.as_str(), now.as_millis()], read_grant)?
        .collect()
}

/// One grant of an org, ended or not.
pub(super) fn grant(connection: &Connection, org_no: i64, id: &GrantId) -> rusqlite::Result<Option<GrantRecord>> {
    connection
        .prepare_cached(&format!("{SELECT_GRANT} WHERE g.grant_id = ?1 AND g.org_no = ?2"))?
        .query_row(params![id.as_str(), org_no], read_grant)
        .optional()
}

fn read_grant(row: &Row<'_>) -> rusqlite::Result<GrantRecord> {
    Ok(GrantRecord {
        id: row.parsed(0)?,
        org: row.parsed(1)?,
        host: row.parsed(2)?,
        to: row.parsed(3)?,
        created_by: row.parsed(4)?,
        created_at: row.time(5)?,
        ends_at: row.time(6)?,
    })
}
