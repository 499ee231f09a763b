//! Inside each commit: may this caller still make this change?

use kheeper_model::api::HostState;
use kheeper_model::{Namespace, NamespaceId, ObjectKey, OrgName};
use rusqlite::{OptionalExtension as _, params};

use super::batch::{Batch, ChangeError};
use super::rows::{RowExt as _, int};
use crate::caller::{Caller, CallerId};
use crate::error::{Denied, StoreError};
use crate::object::host_state;
use crate::options::NamespaceDefaults;

/// `identity_key.state`.
pub(super) const PENDING: i64 = 0;
pub(super) const ACTIVE: i64 = 1;
pub(super) const REVOKED: i64 = 2;

/// `namespace.quota_bytes` where somebody said that there shall be none.
pub(super) const NO_QUOTA: i64 = -1;

/// The quota that counts: the namespace's own, or the server's default.
pub(super) fn quota(own: Option<i64>, defaults: NamespaceDefaults) -> Option<i64> {
    match own {
        Some(NO_QUOTA) => None,
        Some(bytes) => Some(bytes),
        None => defaults.quota_bytes.map(int),
    }
}

/// A host that may write, and where.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) org_no: i64,
    pub(super) namespace_no: i64,
    pub(super) namespace: Namespace,
    pub(super) quota_bytes: Option<i64>,
    /// Whether what was written first stays.
    pub(super) no_overwrite: bool,
}

/// A host's row, with its namespace.
#[derive(Debug, Clone)]
pub(super) struct HostRow {
    pub(super) host_id: String,
    pub(super) namespace_no: i64,
    pub(super) org_no: i64,
    pub(super) deleted: bool,
    pub(super) state: HostState,
}

impl Batch<'_> {
    /// The namespace that `caller`, a host with an active key, may write to, if it is `namespace`.
    pub(super) fn authorize_write(&mut self, caller: &Caller, namespace: &NamespaceId) -> Result<Writer, ChangeError> {
        let known = (caller.clone(), namespace.clone());
        if let Some(writer) = self.writers.get(&known) {
            return Ok(writer.clone());
        }
        let CallerId::Host(host_id) = &caller.subject else {
            return Err(StoreError::from(Denied::OutsideNamespace).into());
        };
        self.check_key(caller)?;
        let found = self
            .connection
            .prepare_cached(
                "SELECT n.namespace_no, n.org_no, o.name, n.host, n.deleted_at IS NOT NULL, h.disabled, h.joined,
                        h.read_only, n.quota_bytes, n.namespace_id,
                        n.no_overwrite
                 FROM host h JOIN namespace n USING (namespace_no) JOIN org o USING (org_no)
                 WHERE h.host_id = ?1",
            )?
            .query_row([host_id.as_str()], |row| {
                let writer = Writer {
                    namespace_no: row.get(0)?,
                    org_no: row.get(1)?,
                    namespace: Namespace { org: row.parsed(2)?, host: row.parsed(3)? },
                    quota_bytes: quota(row.get(8)?, self.defaults),
                    no_overwrite: row.get(10)?,
                };
                let state = host_state(row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?);
                Ok((writer, state, row.parsed::<NamespaceId>(9)?))
            })
            .optional()?;
        let Some((writer, state, own)) = found else {
            return Err(StoreError::from(Denied::UnknownKey).into());
        };
        match state {
            HostState::Active | HostState::Invited => {}
            HostState::ReadOnly => return Err(StoreError::ReadOnlyHost.into()),
            HostState::Disabled => return Err(StoreError::from(Denied::HostDisabled).into()),
            HostState::Deleted => return Err(StoreError::from(Denied::HostDeleted).into()),
        }
        if own != *namespace {
            return Err(StoreError::from(Denied::OutsideNamespace).into());
        }
        self.writers.insert(known, writer.clone());
        Ok(writer)
    }

    /// An enabled user with an active key who owns the org.
    pub(super) fn authorize_owner(&self, caller: &Caller, org: &OrgName) -> Result<i64, ChangeError> {
        let CallerId::User(user) = &caller.subject else {
            return Err(StoreError::from(Denied::NotOwner).into());
        };
        self.check_key(caller)?;
        self.check_user(user.as_str())?;
        let org_no = self
            .connection
            .prepare_cached(
                "SELECT org_no FROM org JOIN owner USING (org_no) WHERE org.name = ?1 AND owner.user_id = ?2",
            )?
            .query_row(params![org.as_str(), user.as_str()], |row| row.get(0))
            .optional()?;
        org_no.ok_or_else(|| StoreError::from(Denied::NotOwner).into())
    }

    pub(super) fn check_user(&self, user_id: &str) -> Result<(), ChangeError> {
        let disabled: Option<bool> = self
            .connection
            .prepare_cached("SELECT disabled FROM user WHERE user_id = ?1")?
            .query_row([user_id], |row| row.get(0))
            .optional()?;
        match disabled {
            Some(false) => Ok(()),
            Some(true) => Err(StoreError::from(Denied::UserDisabled).into()),
            None => Err(StoreError::from(Denied::UnknownKey).into()),
        }
    }

    /// The caller's key is active, and callers are let in at all.
    pub(super) fn check_key(&self, caller: &Caller) -> Result<(), ChangeError> {
        self.check_not_quarantined()?;
        let state: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT iif(ends_at <= ?3, ?4, state) FROM identity_key WHERE key_id = ?1 AND subject = ?2",
            )?
            .query_row(params![caller.key_id.as_str(), caller.subject.as_str(), self.now.as_millis(), REVOKED], |row| {
                row.get(0)
            })
            .optional()?;
        match state {
            Some(ACTIVE) => Ok(()),
            Some(PENDING) => Err(StoreError::from(Denied::KeyPending).into()),
            Some(_) => Err(StoreError::from(Denied::KeyRevoked).into()),
            None => Err(StoreError::from(Denied::UnknownKey).into()),
        }
    }

    /// A host by its name; deleted ones count until their name is free.
    pub(super) fn host_row(&self, namespace: &Namespace) -> Result<HostRow, ChangeError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT h.host_id, n.namespace_no, n.org_no, n.deleted_at IS NOT NULL, h.disabled, h.joined, h.read_only
                 FROM org o JOIN namespace n USING (org_no) JOIN host h USING (namespace_no)
                 WHERE o.name = ?1 AND n.host = ?2 AND n.released_at IS NULL",
            )?
            .query_row(params![namespace.org.as_str(), namespace.host.as_str()], |row| {
                let deleted = row.get(3)?;
                Ok(HostRow {
                    host_id: row.get(0)?,
                    namespace_no: row.get(1)?,
                    org_no: row.get(2)?,
                    deleted,
                    state: host_state(deleted, row.get(4)?, row.get(5)?, row.get(6)?),
                })
            })
            .optional()?;
        found.ok_or_else(|| StoreError::NoSuchHost(namespace.clone()).into())
    }
}

impl Writer {
    /// Refuses a key outside the namespace, whoever let it come this far.
    pub(super) fn check_owns(&self, key: &ObjectKey) -> Result<(), ChangeError> {
        if self.namespace.owns(key) { Ok(()) } else { Err(StoreError::from(Denied::OutsideNamespace).into()) }
    }
}
