//! Hosts and their namespaces.

use std::net::IpAddr;

use kheeper_model::api::{HostSettings, HostState, Joined, KeyState, Quota};
use kheeper_model::audit::AuditAct;
use kheeper_model::limits::{KEY_OVERLAP_SECS_MAX, KEYS_PER_HOST_MAX};
use kheeper_model::{HostId, Namespace, NamespaceId, OrgName, Timestamp};
use rusqlite::{OptionalExtension as _, params};

use super::authorize::{HostRow, NO_QUOTA, REVOKED};
use super::batch::{Batch, ChangeError};
use super::rows::{RowExt as _, int, uint};
use super::{people_read, retention};
use crate::audit::{AuditBy, AuditNote};
use crate::caller::{Caller, CallerId, DeleteHost, HostCredential, JoinMode, NewJoinToken, NewKey};
use crate::error::{Denied, StoreError};
use crate::index::{HostChange, Outcome};

impl Batch<'_> {
    pub(super) fn change_host(&mut self, change: HostChange) -> Result<Outcome, ChangeError> {
        let note = note_of(&change);
        let outcome = self.make_host_change(change)?;
        if let Some((org, note)) = note {
            let org_no = self.org_no(&org)?;
            self.audit(org_no, note);
        }
        Ok(outcome)
    }

    fn make_host_change(&mut self, change: HostChange) -> Result<Outcome, ChangeError> {
        match change {
            HostChange::Create { caller, namespace, credential } => self.create_host(&caller, &namespace, credential),
            HostChange::Join { secret_sha256, key, mode, from } => self.join(secret_sha256, &key, mode, from),
            HostChange::Rejoin { caller, namespace, token } => {
                let host = self.owned_host(&caller, &namespace)?;
                self.put_join_token(&host.host_id, &token)?;
                self.host_outcome(&namespace)
            }
            HostChange::Resume { caller, namespace } => self.resume(&caller, &namespace),
            HostChange::SetDisabled { caller, namespace, disabled } => {
                let host = self.owned_host(&caller, &namespace)?;
                self.connection
                    .prepare_cached("UPDATE host SET disabled = ?2 WHERE host_id = ?1")?
                    .execute(params![host.host_id, disabled])?;
                self.bump_auth_epoch()?;
                self.host_outcome(&namespace)
            }
            HostChange::AddKey { caller, namespace, key } => self.add_key(&caller, &namespace, &key),
            HostChange::RetireKeys { caller, namespace, secs } => self.retire_keys(&caller, &namespace, secs),
            HostChange::RevokeKeys { caller, namespace } => {
                let host = self.owned_host(&caller, &namespace)?;
                self.revoke_keys_of(&host.host_id, None)?;
                // Nor may a join token that was made before bring a key back.
                self.connection
                    .prepare_cached("DELETE FROM join_token WHERE host_id = ?1 AND used_by IS NULL")?
                    .execute([&host.host_id])?;
                self.host_outcome(&namespace)
            }
            HostChange::Delete { caller, namespace, mode } => self.delete_host(&caller, &namespace, mode),
            HostChange::Undelete { caller, namespace } => self.undelete(&caller, &namespace),
            HostChange::Set { caller, namespace, settings } => self.set_host(&caller, &namespace, &settings),
        }
    }

    fn create_host(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        credential: HostCredential,
    ) -> Result<Outcome, ChangeError> {
        let org_no = self.authorize_owner(caller, &namespace.org)?;
        let now = self.now.as_millis();
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO namespace (namespace_id, org_no, host, created_at, folded_secs)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                NamespaceId::random().as_str(),
                org_no,
                namespace.host.as_str(),
                now,
                self.now.as_secs()
            ])?;
        if inserted == 0 {
            return Err(StoreError::NameTaken.into());
        }
        let namespace_no = self.connection.last_insert_rowid();
        let secs: Option<i64> = self
            .connection
            .prepare_cached("SELECT retention_secs FROM org WHERE org_no = ?1")?
            .query_row([org_no], |row| row.get(0))?;
        retention::set(self.connection, namespace_no, secs.map_or(self.defaults.retention_secs, uint), self.now)?;
        let host_id = HostId::random();
        self.connection
            .prepare_cached("INSERT INTO host (host_id, namespace_no, created_at) VALUES (?1, ?2, ?3)")?
            .execute(params![host_id.as_str(), namespace_no, now])?;
        match credential {
            HostCredential::JoinToken(token) => self.put_join_token(host_id.as_str(), &token)?,
            HostCredential::PublicKey(key) => self.insert_key(host_id.as_str(), &key, KeyState::Pending)?,
        }
        self.host_outcome(namespace)
    }

    /// The only join token of a host that counts: an earlier one is forgotten.
    fn put_join_token(&self, host_id: &str, token: &NewJoinToken) -> Result<(), ChangeError> {
        self.connection.prepare_cached("DELETE FROM join_token WHERE host_id = ?1")?.execute([host_id])?;
        self.connection
            .prepare_cached("INSERT INTO join_token (secret_sha256, host_id, expires_at) VALUES (?1, ?2, ?3)")?
            .execute(params![token.secret_sha256, host_id, token.expires_at.as_millis()])?;
        Ok(())
    }

    fn join(
        &mut self,
        secret_sha256: [u8; 32],
        key: &NewKey,
        mode: JoinMode,
        from: Option<IpAddr>,
    ) -> Result<Outcome, ChangeError> {
        self.check_not_quarantined()?;
        let found = self
            .connection
            .prepare_cached(
                "SELECT t.expires_at, t.used_by, h.host_id, h.joined, o.name, n.host
                 FROM join_token t JOIN host h USING (host_id) JOIN namespace n USING (namespace_no)
                                   JOIN org o USING (org_no)
                 WHERE t.secret_sha256 = ?1",
            )?
            .query_row([secret_sha256], |row| {
                let namespace = Namespace { org: row.parsed(4)?, host: row.parsed(5)? };
                Ok((row.time(0)?, row.get::<_, Option<String>>(1)?, row.parsed::<HostId>(2)?, row.get(3)?, namespace))
            })
            .optional()?;
        let (expires_at, used_by, host_id, joined_before, namespace): (_, _, _, bool, _) =
            found.ok_or(StoreError::JoinTokenInvalid)?;
        match used_by {
            Some(_) if mode == JoinMode::Confirm => self.check_succeeds(host_id.as_str(), key)?,
            Some(by) if by != key.key_id.as_str() => return Err(StoreError::JoinTokenUsed.into()),
            // The same key may ask again, in case the first answer was lost, however late; nothing changes twice.
            Some(_) => self.insert_key(host_id.as_str(), key, KeyState::Active)?,
            None if expires_at < self.now => return Err(StoreError::JoinTokenExpired.into()),
            None if mode == JoinMode::Confirm => return Err(StoreError::JoinTokenUnused.into()),
            None => {
                match self.host_row(&namespace)?.state {
                    HostState::Deleted => return Err(StoreError::HostState("deleted").into()),
                    HostState::Disabled => return Err(StoreError::HostState("disabled").into()),
                    HostState::Invited | HostState::Active | HostState::ReadOnly => {}
                }
                self.insert_key(host_id.as_str(), key, KeyState::Active)?;
                self.revoke_keys_of(host_id.as_str(), Some(key))?;
                self.connection
                    .prepare_cached("UPDATE host SET joined = 1, read_only = ?2 WHERE host_id = ?1")?
                    .execute(params![host_id.as_str(), joined_before])?;
                self.connection
                    .prepare_cached("UPDATE join_token SET used_by = ?2 WHERE secret_sha256 = ?1")?
                    .execute(params![secret_sha256, key.key_id.as_str()])?;
                let org_no = self.org_no(&namespace.org)?;
                let note = AuditNote::done(AuditAct::HostJoin, AuditBy::Joining(from), &namespace);
                self.audit(org_no, note.with("key", &key.key_id).with("host", &host_id));
            }
        }
        let state = self.host_row(&namespace)?.state;
        let Namespace { org, host } = namespace;
        Ok(Outcome::Joined(Joined { org, host, host_id, key_id: key.key_id.clone(), state }))
    }

    /// Whether `key` is the one that the host's used join token let in, or took its place by rotation. Any key of the host
    /// that was not revoked is: joining revokes all others, and who adds a key shows one that is accepted.
    fn check_succeeds(&self, host_id: &str, key: &NewKey) -> Result<(), ChangeError> {
        let state: Option<i64> = self
            .connection
            .prepare_cached("SELECT state FROM identity_key WHERE key_id = ?1 AND subject = ?2")?
            .query_row([key.key_id.as_str(), host_id], |row| row.get(0))
            .optional()?;
        match state {
            None => Err(StoreError::JoinTokenUsed.into()),
            Some(REVOKED) => Err(StoreError::KeyRevoked.into()),
            Some(_) => Ok(()),
        }
    }

    fn resume(&self, caller: &Caller, namespace: &Namespace) -> Result<Outcome, ChangeError> {
        let host = self.host_row(namespace)?;
        match &caller.subject {
            CallerId::Host(id) if id.as_str() == host.host_id => {
                self.check_key(caller)?;
                match host.state {
                    HostState::Disabled => return Err(StoreError::from(Denied::HostDisabled).into()),
                    HostState::Deleted => return Err(StoreError::from(Denied::HostDeleted).into()),
                    HostState::Invited | HostState::Active | HostState::ReadOnly => {}
                }
            }
            CallerId::Host(_) => return Err(StoreError::from(Denied::OutsideNamespace).into()),
            CallerId::User(_) => drop(self.authorize_owner(caller, &namespace.org)?),
        }
        self.connection.prepare_cached("UPDATE host SET read_only = 0 WHERE host_id = ?1")?.execute([&host.host_id])?;
        self.bump_auth_epoch()?;
        self.host_outcome(namespace)
    }

    /// A key beside the ones the host has. It counts once a token signed by it has arrived.
    fn add_key(&self, caller: &Caller, namespace: &Namespace, key: &NewKey) -> Result<Outcome, ChangeError> {
        let host = self.calling_host(caller, namespace)?;
        self.insert_key(&host.host_id, key, KeyState::Pending)?;
        let keys = self
            .connection
            .prepare_cached(
                "SELECT count(*) FROM identity_key
                 WHERE subject = ?1 AND state <> ?2 AND (ends_at IS NULL OR ends_at > ?3)",
            )?
            .query_row(params![host.host_id, REVOKED, self.now.as_millis()], |row| row.number(0))?;
        if keys > KEYS_PER_HOST_MAX {
            return Err(StoreError::TooManyKeys.into());
        }
        self.host_outcome(namespace)
    }

    /// All keys of the host but the one that says so end in `secs`; those that end earlier still do.
    fn retire_keys(&self, caller: &Caller, namespace: &Namespace, secs: u64) -> Result<Outcome, ChangeError> {
        let host = self.calling_host(caller, namespace)?;
        let ends_at = self.now.plus_secs(secs.min(KEY_OVERLAP_SECS_MAX)).as_millis();
        self.connection
            .prepare_cached(
                "UPDATE identity_key SET ends_at = min(coalesce(ends_at, ?3), ?3)
                 WHERE subject = ?1 AND key_id <> ?2 AND state <> ?4",
            )?
            .execute(params![host.host_id, caller.key_id.as_str(), ends_at, REVOKED])?;
        self.bump_auth_epoch()?;
        self.host_outcome(namespace)
    }

    /// The host itself, whose keys are accepted.
    fn calling_host(&self, caller: &Caller, namespace: &Namespace) -> Result<HostRow, ChangeError> {
        let denied = |why: Denied| Err(StoreError::from(why).into());
        let CallerId::Host(id) = &caller.subject else { return denied(Denied::OutsideNamespace) };
        self.check_key(caller)?;
        let host = self.host_row(namespace)?;
        match host.state {
            _ if id.as_str() != host.host_id => denied(Denied::OutsideNamespace),
            HostState::Disabled => denied(Denied::HostDisabled),
            HostState::Deleted => denied(Denied::HostDeleted),
            HostState::Invited | HostState::Active | HostState::ReadOnly => Ok(host),
        }
    }

    /// Revokes all keys of a host but one.
    fn revoke_keys_of(&self, host_id: &str, but: Option<&NewKey>) -> Result<(), ChangeError> {
        let but = but.map_or("", |key| key.key_id.as_str());
        self.connection
            .prepare_cached("UPDATE identity_key SET state = ?3 WHERE subject = ?1 AND key_id <> ?2")?
            .execute(params![host_id, but, REVOKED])?;
        self.bump_auth_epoch()?;
        Ok(())
    }

    fn delete_host(&self, caller: &Caller, namespace: &Namespace, mode: DeleteHost) -> Result<Outcome, ChangeError> {
        let host = self.owned_host(caller, namespace)?;
        if host.deleted {
            return self.host_outcome(namespace);
        }
        let ledger = self.ledger(host.namespace_no)?;
        if mode == DeleteHost::IfEmpty && ledger.objects > 0 {
            let newest = people_read::newest_object(self.connection, host.org_no, namespace)?;
            let [objects, bytes] = [ledger.objects, ledger.current_bytes].map(uint);
            return Err(StoreError::HostHasBackups { objects, bytes, newest }.into());
        }
        let purge_after = self.purge_after(host.namespace_no, self.now)?;
        self.connection
            .prepare_cached("UPDATE namespace SET deleted_at = ?2, purge_after = ?3 WHERE namespace_no = ?1")?
            .execute(params![host.namespace_no, self.now.as_millis(), purge_after.map(Timestamp::as_millis)])?;
        self.bump_auth_epoch()?;
        self.host_outcome(namespace)
    }

    fn undelete(&self, caller: &Caller, namespace: &Namespace) -> Result<Outcome, ChangeError> {
        let host = self.owned_host(caller, namespace)?;
        if !host.deleted {
            return Err(StoreError::HostState("not deleted").into());
        }
        self.connection
            .prepare_cached("UPDATE namespace SET deleted_at = NULL, purge_after = NULL WHERE namespace_no = ?1")?
            .execute([host.namespace_no])?;
        self.bump_auth_epoch()?;
        self.host_outcome(namespace)
    }

    fn set_host(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        settings: &HostSettings,
    ) -> Result<Outcome, ChangeError> {
        let host = self.owned_host(caller, namespace)?;
        if let Some(secs) = settings.retention_secs {
            retention::set(self.connection, host.namespace_no, secs, self.now)?;
            self.connection
                .prepare_cached("UPDATE namespace SET own_retention = 1 WHERE namespace_no = ?1")?
                .execute([host.namespace_no])?;
        }
        if let Some(quota) = settings.quota {
            let bytes = match quota {
                Quota::Default => None,
                Quota::None => Some(NO_QUOTA),
                Quota::Bytes(bytes) => Some(int(bytes)),
            };
            self.connection
                .prepare_cached("UPDATE namespace SET quota_bytes = ?2 WHERE namespace_no = ?1")?
                .execute(params![host.namespace_no, bytes])?;
        }
        if let Some(no_overwrite) = settings.no_overwrite {
            self.connection
                .prepare_cached("UPDATE namespace SET no_overwrite = ?2 WHERE namespace_no = ?1")?
                .execute(params![host.namespace_no, no_overwrite])?;
        }
        self.host_outcome(namespace)
    }

    /// A host whose org the caller owns. Whether it exists is told to owners only.
    fn owned_host(&self, caller: &Caller, namespace: &Namespace) -> Result<HostRow, ChangeError> {
        self.authorize_owner(caller, &namespace.org)?;
        self.host_row(namespace)
    }

    fn host_outcome(&self, namespace: &Namespace) -> Result<Outcome, ChangeError> {
        let host = people_read::host(self.connection, namespace, self.now, self.defaults)?;
        Ok(Outcome::Host(Box::new(host.ok_or_else(|| StoreError::NoSuchHost(namespace.clone()))?)))
    }
}

/// What the audit log says of a change. A join is noted where it happens: repeating it changes nothing.
fn note_of(change: &HostChange) -> Option<(OrgName, AuditNote)> {
    let note = |act: AuditAct, caller: &Caller, namespace: &Namespace| {
        (namespace.org.clone(), AuditNote::done(act, caller, namespace))
    };
    Some(match change {
        HostChange::Create { caller, namespace, credential } => {
            let with = match credential {
                HostCredential::JoinToken(_) => "a join token".to_owned(),
                HostCredential::PublicKey(key) => key.key_id.to_string(),
            };
            let (org, note) = note(AuditAct::HostCreate, caller, namespace);
            (org, note.with("with", with))
        }
        HostChange::Join { .. } => return None,
        HostChange::Rejoin { caller, namespace, .. } => note(AuditAct::HostRejoin, caller, namespace),
        HostChange::Resume { caller, namespace } => note(AuditAct::HostResume, caller, namespace),
        HostChange::SetDisabled { caller, namespace, disabled: true } => note(AuditAct::HostDisable, caller, namespace),
        HostChange::SetDisabled { caller, namespace, disabled: false } => note(AuditAct::HostEnable, caller, namespace),
        HostChange::AddKey { caller, namespace, key } => {
            let (org, note) = note(AuditAct::HostAddKey, caller, namespace);
            (org, note.with("key", &key.key_id))
        }
        HostChange::RetireKeys { caller, namespace, secs } => {
            let (org, note) = note(AuditAct::HostRetireKeys, caller, namespace);
            (org, note.with("but", &caller.key_id).with("secs", secs))
        }
        HostChange::RevokeKeys { caller, namespace } => note(AuditAct::HostRevoke, caller, namespace),
        HostChange::Delete { caller, namespace, .. } => note(AuditAct::HostDelete, caller, namespace),
        HostChange::Undelete { caller, namespace } => note(AuditAct::HostUndelete, caller, namespace),
        HostChange::Set { caller, namespace, settings } => {
            let (org, note) = note(AuditAct::HostSet, caller, namespace);
            (org, note.with("settings", serde_json::to_string(settings).unwrap_or_default()))
        }
    })
}
