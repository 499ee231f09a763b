//! Users, keys, orgs, hosts and callers, as records.

use kheeper_model::api::{HostRecord, KeyRecord, KeyState, MemberRecord, OrgRecord, Role, UserRecord};
use kheeper_model::{HostId, KeyId, Namespace, OrgName, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::authorize::{ACTIVE, PENDING, quota};
use super::rows::{RowExt as _, uint};
use super::{grant_read, retention, usage_read};
use crate::caller::{CallerId, CallerRecord, CallerSubject};
use crate::index::Range;
use crate::object::host_state;
use crate::options::NamespaceDefaults;

pub(super) fn caller(
    connection: &Connection,
    key_id: &KeyId,
    subject: &CallerId,
    now: Timestamp,
) -> rusqlite::Result<Option<CallerRecord>> {
    let key = connection
        .prepare_cached("SELECT public_key, state, ends_at FROM identity_key WHERE key_id = ?1 AND subject = ?2")?
        .query_row(params![key_id.as_str(), subject.as_str()], |row| {
            Ok((row.array::<32>(0)?, key_state(row, 1)?, row.time_if_any(2)?))
        })
        .optional()?;
    let Some((public_key, key_state, key_ends_at)) = key else { return Ok(None) };
    let subject = match subject {
        CallerId::Host(id) => host_subject(connection, id, now)?,
        CallerId::User(id) => user_subject(connection, id)?,
    };
    Ok(subject.map(|subject| CallerRecord {
        key_id: key_id.clone(),
        public_key,
        key_state: ended(key_state, key_ends_at, now),
        key_ends_at,
        subject,
    }))
}

fn host_subject(connection: &Connection, id: &HostId, now: Timestamp) -> rusqlite::Result<Option<CallerSubject>> {
    let grants = grant_read::of_grantee(connection, id, now)?;
    connection
        .prepare_cached(
            "SELECT o.name, n.host, n.namespace_id, n.deleted_at IS NOT NULL, h.disabled, h.joined, h.read_only
             FROM host h JOIN namespace n USING (namespace_no) JOIN org o USING (org_no) WHERE h.host_id = ?1",
        )?
        .query_row([id.as_str()], |row| {
            Ok(CallerSubject::Host {
                id: id.clone(),
                namespace: Namespace { org: row.parsed(0)?, host: row.parsed(1)? },
                namespace_id: row.parsed(2)?,
                state: host_state(row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?),
                grants,
            })
        })
        .optional()
}

pub(super) fn host_of_join_token(
    connection: &Connection,
    secret_sha256: [u8; 32],
) -> rusqlite::Result<Option<Namespace>> {
    connection
        .prepare_cached(
            "SELECT o.name, n.host
             FROM join_token t JOIN host h USING (host_id) JOIN namespace n USING (namespace_no)
                               JOIN org o USING (org_no)
             WHERE t.secret_sha256 = ?1",
        )?
        .query_row([secret_sha256], |row| Ok(Namespace { org: row.parsed(0)?, host: row.parsed(1)? }))
        .optional()
}

fn user_subject(connection: &Connection, id: &UserId) -> rusqlite::Result<Option<CallerSubject>> {
    let user = user_row(connection, id)?;
    let Some((name, disabled, _)) = user else { return Ok(None) };
    let (owns, audits) = (owned_orgs(connection, id)?, audited_orgs(connection, id)?);
    Ok(Some(CallerSubject::User { id: id.clone(), name, disabled, owns, audits }))
}

type UserRow = (kheeper_model::UserName, bool, kheeper_model::Timestamp);

fn user_row(connection: &Connection, id: &UserId) -> rusqlite::Result<Option<UserRow>> {
    connection
        .prepare_cached("SELECT name, disabled, created_at FROM user WHERE user_id = ?1")?
        .query_row([id.as_str()], |row| Ok((row.parsed(0)?, row.get(1)?, row.time(2)?)))
        .optional()
}

fn owned_orgs(connection: &Connection, user: &UserId) -> rusqlite::Result<Vec<OrgName>> {
    connection
        .prepare_cached("SELECT name FROM owner JOIN org USING (org_no) WHERE user_id = ?1 ORDER BY name")?
        .query_map([user.as_str()], |row| row.parsed(0))?
        .collect()
}

fn audited_orgs(connection: &Connection, user: &UserId) -> rusqlite::Result<Vec<OrgName>> {
    connection
        .prepare_cached("SELECT name FROM auditor JOIN org USING (org_no) WHERE user_id = ?1 ORDER BY name")?
        .query_map([user.as_str()], |row| row.parsed(0))?
        .collect()
}

/// Who has a role in an org: owners first, by name.
pub(super) fn members(connection: &Connection, org: &OrgName) -> rusqlite::Result<Vec<MemberRecord>> {
    connection
        .prepare_cached(
            "SELECT role, user_id, user.name, disabled
             FROM (SELECT 0 AS role, org_no, user_id FROM owner UNION ALL SELECT 1, org_no, user_id FROM auditor)
                  JOIN user USING (user_id) JOIN org USING (org_no)
             WHERE org.name = ?1 ORDER BY role, user.name",
        )?
        .query_map([org.as_str()], |row| {
            let role = if row.get::<_, i64>(0)? == 0 { Role::Owner } else { Role::Auditor };
            let (user, name, disabled) = (row.parsed(1)?, row.parsed(2)?, row.get(3)?);
            Ok(MemberRecord { org: org.clone(), user, name, role, disabled })
        })?
        .collect()
}

pub(super) fn user(connection: &Connection, id: &UserId) -> rusqlite::Result<Option<UserRecord>> {
    let Some((name, disabled, created_at)) = user_row(connection, id)? else { return Ok(None) };
    let owns = owned_orgs(connection, id)?;
    let (audits, keys) = (audited_orgs(connection, id)?, keys_of(connection, id.as_str())?);
    Ok(Some(UserRecord { id: id.clone(), name, disabled, created_at, owns, audits, keys }))
}

pub(super) fn users(connection: &Connection) -> rusqlite::Result<Vec<UserRecord>> {
    let ids: Vec<UserId> = connection
        .prepare_cached("SELECT user_id FROM user ORDER BY name")?
        .query_map([], |row| row.parsed(0))?
        .collect::<rusqlite::Result<_>>()?;
    ids.iter().filter_map(|id| user(connection, id).transpose()).collect()
}

const SELECT_KEY: &str = "SELECT key_id, subject, state, created_at, ends_at, NULL FROM identity_key";

/// All keys, with the names of those who hold them.
pub(super) fn keys(connection: &Connection) -> rusqlite::Result<Vec<KeyRecord>> {
    connection
        .prepare_cached(
            "SELECT k.key_id, k.subject, k.state, k.created_at, k.ends_at, coalesce(u.name, o.name || '/' || n.host)
             FROM identity_key k LEFT JOIN user u ON u.user_id = k.subject LEFT JOIN host h ON h.host_id = k.subject
                                 LEFT JOIN namespace n USING (namespace_no) LEFT JOIN org o USING (org_no)
             ORDER BY k.created_at, k.key_id",
        )?
        .query_map([], read_key)?
        .collect()
}

pub(super) fn key(connection: &Connection, key_id: &KeyId) -> rusqlite::Result<Option<KeyRecord>> {
    connection
        .prepare_cached(&format!("{SELECT_KEY} WHERE key_id = ?1 ORDER BY created_at LIMIT 1"))?
        .query_row([key_id.as_str()], read_key)
        .optional()
}

fn keys_of(connection: &Connection, subject: &str) -> rusqlite::Result<Vec<KeyRecord>> {
    connection
        .prepare_cached(&format!("{SELECT_KEY} WHERE subject = ?1 ORDER BY created_at, key_id"))?
        .query_map([subject], read_key)?
        .collect()
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    Ok(KeyRecord {
        key_id: row.parsed(0)?,
        subject: row.get(1)?,
        name: row.get(5)?,
        state: key_state(row, 2)?,
        created_at: row.time(3)?,
        ends_at: row.time_if_any(4)?,
    })
}

/// A key whose time is over is refused like one that was revoked.
fn ended(state: KeyState, ends_at: Option<Timestamp>, now: Timestamp) -> KeyState {
    if ends_at.is_some_and(|ends_at| ends_at <= now) { KeyState::Revoked } else { state }
}

/// What is not known to be pending or active is refused.
fn key_state(row: &Row<'_>, index: usize) -> rusqlite::Result<KeyState> {
    Ok(match row.get::<_, i64>(index)? {
        PENDING => KeyState::Pending,
        ACTIVE => KeyState::Active,
        _ => KeyState::Revoked,
    })
}

pub(super) fn org(connection: &Connection, name: &OrgName) -> rusqlite::Result<Option<OrgRecord>> {
    let row = connection
        .prepare_cached(
            "SELECT org_no, created_at,
                    (SELECT count(*) FROM namespace n WHERE n.org_no = org.org_no AND n.deleted_at IS NULL), retention_secs
             FROM org WHERE name = ?1",
        )?
        .query_row([name.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, row.time(1)?, row.number(2)?, row.get::<_, Option<i64>>(3)?.map(uint)))
        })
        .optional()?;
    let Some((org_no, created_at, host_count, retention_secs)) = row else { return Ok(None) };
    let owners = connection
        .prepare_cached("SELECT user_id FROM owner WHERE org_no = ?1 ORDER BY user_id")?
        .query_map([org_no], |row| row.parsed(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(OrgRecord { name: name.clone(), owners, created_at, host_count, retention_secs }))
}

pub(super) fn orgs_of(connection: &Connection, user: &UserId) -> rusqlite::Result<Vec<OrgRecord>> {
    owned_orgs(connection, user)?.iter().filter_map(|name| org(connection, name).transpose()).collect()
}

pub(super) fn hosts(
    connection: &Connection,
    org: &OrgName,
    now: Timestamp,
    defaults: NamespaceDefaults,
) -> rusqlite::Result<Vec<HostRecord>> {
    let names: Vec<Namespace> = connection
        .prepare_cached(
            "SELECT n.host FROM namespace n JOIN org o USING (org_no)
             WHERE o.name = ?1 AND n.released_at IS NULL ORDER BY n.host",
        )?
        .query_map([org.as_str()], |row| Ok(Namespace { org: org.clone(), host: row.parsed(0)? }))?
        .collect::<rusqlite::Result<_>>()?;
    names.iter().filter_map(|namespace| host(connection, namespace, now, defaults).transpose()).collect()
}

pub(super) fn host(
    connection: &Connection,
    namespace: &Namespace,
    now: Timestamp,
    defaults: NamespaceDefaults,
) -> rusqlite::Result<Option<HostRecord>> {
    let found = connection
        .prepare_cached(
            "SELECT h.host_id, n.namespace_id, n.deleted_at IS NOT NULL, h.disabled, h.joined, h.read_only,
                    h.created_at, n.last_object_at, n.namespace_no,
                    (SELECT max(committed_at) FROM base_backup b WHERE b.namespace_no = n.namespace_no),
                    n.history_since, n.quota_bytes, n.no_overwrite
             FROM org o JOIN namespace n USING (org_no) JOIN host h USING (namespace_no)
             WHERE o.name = ?1 AND n.host = ?2 AND n.released_at IS NULL",
        )?
        .query_row(params![namespace.org.as_str(), namespace.host.as_str()], |row| {
            let record = HostRecord {
                org: namespace.org.clone(),
                host: namespace.host.clone(),
                id: row.parsed(0)?,
                namespace_id: row.parsed(1)?,
                state: host_state(row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?),
                created_at: row.time(6)?,
                keys: Vec::new(),
                objects: 0,
                current_bytes: 0,
                hidden_bytes: 0,
                uploading_bytes: 0,
                last_object_at: row.time_if_any(7)?,
                last_base_backup_at: row.time_if_any(9)?,
                retention_secs: None,
                retention_in_force_secs: None,
                history_since: row.time_if_any(10)?,
                quota_bytes: quota(row.get(11)?, defaults).map(uint),
                no_overwrite: row.get(12)?,
            };
            Ok((record, row.get::<_, i64>(8)?))
        })
        .optional()?;
    let Some((record, namespace_no)) = found else { return Ok(None) };
    let ledger = usage_read::ledger(connection, namespace_no)?;
    let window = retention::window(connection, namespace_no, now)?;
    Ok(Some(HostRecord {
        retention_secs: window.map(|window| window.set_secs),
        retention_in_force_secs: window.map(|window| window.in_force_secs),
        keys: keys_of(connection, record.id.as_str())?,
        objects: uint(ledger.objects),
        current_bytes: uint(ledger.current_bytes),
        hidden_bytes: uint(ledger.hidden_bytes),
        uploading_bytes: uint(ledger.uploading_bytes),
        ..record
    }))
}

/// The newest object of a namespace in words, for someone about to delete it: reads all its rows, once.
pub(super) fn newest_object(
    connection: &Connection,
    org_no: i64,
    namespace: &Namespace,
) -> rusqlite::Result<Option<String>> {
    let Range { start, end } = Range::of_prefix(namespace.key_prefix().as_bytes());
    connection
        .prepare_cached(
            "SELECT key, committed_at FROM object WHERE org_no = ?1 AND key >= ?2 AND key < ?3
             ORDER BY committed_at DESC LIMIT 1",
        )?
        .query_row(params![org_no, start, end], |row| Ok(format!("{} of {}", row.key(0)?, row.time(1)?)))
        .optional()
}
