//! Ledgers, and what namespaces used in a month.

use kheeper_model::api::UsageRecord;
use kheeper_model::limits::GIB;
use kheeper_model::{HostName, NamespaceId, OrgName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::authorize::quota;
use super::rows::{RowExt as _, uint};
use crate::index::{Ledger, Share};
use crate::options::NamespaceDefaults;
use crate::usage::{Month, Traffic};

/// Seconds of an hour.
pub(super) const HOUR_SECS: i64 = 3600;
/// Seconds of the month that prices are for: 730 hours.
const PRICE_MONTH_SECS: f64 = 730.0 * 3600.0;

/// Stored bytes of a namespace: its ledger, and the deltas that are not folded into it yet.
pub(super) fn ledger(connection: &Connection, namespace_no: i64) -> rusqlite::Result<Ledger> {
    let mut ledger = connection
        .prepare_cached(
            "SELECT objects, current_bytes, hidden_bytes, uploading_bytes FROM namespace WHERE namespace_no = ?1",
        )?
        .query_row([namespace_no], |row| read_ledger(row, 0))?;
    ledger += connection
        .prepare_cached(
            "SELECT coalesce(sum(objects), 0), coalesce(sum(current_bytes), 0), coalesce(sum(hidden_bytes), 0),
                    coalesce(sum(uploading_bytes), 0) FROM usage_delta WHERE namespace_no = ?1",
        )?
        .query_row([namespace_no], |row| read_ledger(row, 0))?;
    Ok(ledger)
}

/// Bytes that a namespace may still store by its quota; none without one.
pub(super) fn quota_left(
    connection: &Connection,
    namespace: &NamespaceId,
    defaults: NamespaceDefaults,
) -> rusqlite::Result<Option<u64>> {
    let found: Option<(i64, Option<i64>)> = connection
        .prepare_cached("SELECT namespace_no, quota_bytes FROM namespace WHERE namespace_id = ?1")?
        .query_row([namespace.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((namespace_no, own)) = found else { return Ok(None) };
    match quota(own, defaults) {
        None => Ok(None),
        Some(quota) => Ok(Some(uint(quota - ledger(connection, namespace_no)?.stored_bytes()))),
    }
}

/// What a namespace stores, and among how many the disk is shared.
pub(super) fn share(connection: &Connection, namespace: &NamespaceId) -> rusqlite::Result<Share> {
    let namespaces = connection
        .prepare_cached("SELECT count(*) FROM namespace WHERE released_at IS NULL")?
        .query_row([], |row| row.get(0))
        .map(uint)?;
    let namespace_no: Option<i64> = connection
        .prepare_cached("SELECT namespace_no FROM namespace WHERE namespace_id = ?1")?
        .query_row([namespace.as_str()], |row| row.get(0))
        .optional()?;
    let stored_bytes = match namespace_no {
        Some(namespace_no) => uint(ledger(connection, namespace_no)?.stored_bytes()),
        None => 0,
    };
    Ok(Share { stored_bytes, namespaces })
}

pub(super) fn read_ledger(row: &Row<'_>, first: usize) -> rusqlite::Result<Ledger> {
    Ok(Ledger {
        objects: row.get(first)?,
        current_bytes: row.get(first + 1)?,
        hidden_bytes: row.get(first + 2)?,
        uploading_bytes: row.get(first + 3)?,
    })
}

/// What the namespaces of an org used in a month: released ones too, if they used anything.
pub(super) fn usage(
    connection: &Connection,
    org: &OrgName,
    host: Option<&HostName>,
    month: Month,
    now: Timestamp,
) -> rusqlite::Result<Vec<UsageRecord>> {
    let namespaces: Vec<(i64, HostName, bool)> = connection
        .prepare_cached(
            "SELECT n.namespace_no, n.host, n.released_at IS NOT NULL FROM namespace n JOIN org o USING (org_no)
             WHERE o.name = ?1 AND (?2 IS NULL OR n.host = ?2) ORDER BY n.host, n.namespace_no",
        )?
        .query_map(params![org.as_str(), host.map(HostName::as_str)], |row| {
            Ok((row.get(0)?, row.parsed(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut records = Vec::with_capacity(namespaces.len());
    for (namespace_no, host, released) in namespaces {
        let record = usage_of(connection, namespace_no, org.clone(), host, month, now)?;
        if !released || record.byte_seconds > 0 || record.ingress_bytes + record.egress_bytes > 0 {
            records.push(record);
        }
    }
    Ok(records)
}

fn usage_of(
    connection: &Connection,
    namespace_no: i64,
    org: OrgName,
    host: HostName,
    month: Month,
    now: Timestamp,
) -> rusqlite::Result<UsageRecord> {
    let (start, end) = (month.start().as_secs(), month.next().start().as_secs());
    let (folded, traffic) = connection
        .prepare_cached(
            "SELECT byte_seconds, ingress_bytes, egress_bytes, write_requests, read_requests, list_requests,
                    delete_requests
             FROM usage_hour WHERE namespace_no = ?1 AND hour >= ?2 AND hour < ?3",
        )?
        .query_map(params![namespace_no, start / HOUR_SECS, end / HOUR_SECS], |row| {
            let traffic = Traffic {
                ingress_bytes: row.number(1)?,
                egress_bytes: row.number(2)?,
                write_requests: row.number(3)?,
                read_requests: row.number(4)?,
                list_requests: row.number(5)?,
                delete_requests: row.number(6)?,
            };
            Ok((row.number(0)?, traffic))
        })?
        .try_fold((0_u128, Traffic::default()), |(seconds, mut sum), hour| -> rusqlite::Result<_> {
            let (more, traffic) = hour?;
            sum += traffic;
            Ok((seconds + u128::from(more), sum))
        })?;
    let (ledger, folded_secs) = connection
        .prepare_cached(
            "SELECT objects, current_bytes, hidden_bytes, uploading_bytes, folded_secs FROM namespace
             WHERE namespace_no = ?1",
        )?
        .query_row([namespace_no], |row| Ok((read_ledger(row, 0)?, row.get::<_, i64>(4)?)))?;
    // What has not changed since it was last folded has gone on costing as much.
    let since = now.as_secs().min(end).saturating_sub(folded_secs.max(start)).max(0);
    let byte_seconds = folded + u128::from(uint(ledger.stored_bytes())) * u128::from(uint(since));
    let present = self::ledger(connection, namespace_no)?;
    Ok(UsageRecord {
        org,
        host,
        month: month.to_string(),
        current_bytes: uint(present.current_bytes),
        hidden_bytes: uint(present.hidden_bytes),
        uploading_bytes: uint(present.uploading_bytes),
        byte_seconds,
        gib_months: byte_seconds as f64 / (GIB as f64 * PRICE_MONTH_SECS),
        ingress_bytes: traffic.ingress_bytes,
        egress_bytes: traffic.egress_bytes,
        write_requests: traffic.write_requests,
        read_requests: traffic.read_requests,
        list_requests: traffic.list_requests,
        delete_requests: traffic.delete_requests,
        cost: None,
    })
}
