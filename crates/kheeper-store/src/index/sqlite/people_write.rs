//! Users, keys and orgs.

use std::net::IpAddr;

use kheeper_model::api::{KeyState, OrgSettings};
use kheeper_model::audit::AuditAct;
use kheeper_model::{KeyId, OrgName, Timestamp, UserId, UserName};
use rusqlite::params;

use super::audit_log::SERVER_CHAIN;
use super::authorize::{ACTIVE, PENDING, REVOKED};
use super::batch::{Batch, ChangeError};
use super::rows::int;
use super::{people_read, retention};
use crate::audit::{AuditBy, AuditNote};
use crate::caller::{Caller, CallerId, NewKey};
use crate::error::{Denied, StoreError};
use crate::index::{KeyOwner, Outcome, PeopleChange};

impl Batch<'_> {
    pub(super) fn change_people(&mut self, change: PeopleChange) -> Result<Outcome, ChangeError> {
        match change {
            PeopleChange::CreateUser(name) => self.create_user(&name),
            PeopleChange::SetUserDisabled(user, disabled) => self.set_user_disabled(&user, disabled),
            PeopleChange::RegisterKey { owner, key, state } => self.register_key(&owner, &key, state),
            PeopleChange::UseRegistration { jti, expires_at, user, key } => {
                self.use_registration(&jti, expires_at, &user, &key)
            }
            PeopleChange::ActivateKey { key_id, from } => self.activate_key(&key_id, from),
            PeopleChange::RevokeOwnKey { caller, key_id } => self.revoke_own_key(&caller, &key_id),
            PeopleChange::RevokeKey(key_id) => self.revoke_key(&key_id),
            PeopleChange::PutMember { caller, org, user, role } => self.put_member(caller.as_ref(), &org, &user, role),
            PeopleChange::RemoveMember { caller, org, user } => self.remove_member(&caller, &org, &user),
            PeopleChange::CreateOrg { caller, name } => self.create_org(&caller, &name),
            PeopleChange::SetOrg { caller, org, settings } => self.set_org(&caller, &org, &settings),
        }
    }

    fn create_user(&mut self, name: &UserName) -> Result<Outcome, ChangeError> {
        let id = UserId::random();
        let inserted = self
            .connection
            .prepare_cached("INSERT INTO user (user_id, name, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute(params![id.as_str(), name.as_str(), self.now.as_millis()])?;
        if inserted == 0 {
            return Err(StoreError::NameTaken.into());
        }
        self.audit(SERVER_CHAIN, AuditNote::done(AuditAct::UserCreate, AuditBy::Operator, &id).with("name", name));
        let user = people_read::user(self.connection, &id)?;
        Ok(Outcome::User(user.ok_or_else(|| StoreError::internal("a user that has just been made is not there"))?))
    }

    fn set_user_disabled(&mut self, user: &UserId, disabled: bool) -> Result<Outcome, ChangeError> {
        let changed = self
            .connection
            .prepare_cached("UPDATE user SET disabled = ?2 WHERE user_id = ?1")?
            .execute(params![user.as_str(), disabled])?;
        if changed == 0 {
            return Err(StoreError::NoSuchUser(user.clone()).into());
        }
        self.bump_auth_epoch()?;
        let act = if disabled { AuditAct::UserDisable } else { AuditAct::UserEnable };
        self.audit_of(user.as_str(), AuditNote::done(act, AuditBy::Operator, user))?;
        Ok(Outcome::Done)
    }

    fn register_key(&mut self, owner: &KeyOwner, key: &NewKey, state: KeyState) -> Result<Outcome, ChangeError> {
        self.check_owner_exists(owner)?;
        self.insert_key(owner.as_str(), key, state)?;
        let note = AuditNote::done(AuditAct::KeyRegister, AuditBy::Operator, &key.key_id).with("of", owner.as_str());
        self.audit_of(owner.as_str(), note)?;
        self.key_outcome(&key.key_id)
    }

    fn use_registration(
        &mut self,
        jti: &str,
        expires_at: Timestamp,
        user: &UserId,
        key: &NewKey,
    ) -> Result<Outcome, ChangeError> {
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO registration (jti, user_id, key_id, expires_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            )?
            .execute(params![jti, user.as_str(), key.key_id.as_str(), expires_at.as_millis()])?;
        if inserted == 0 {
            return Err(StoreError::RegistrationUsed.into());
        }
        self.register_key(&KeyOwner::User(user.clone()), key, KeyState::Active)
    }

    /// Adds a key, or finds it as it is. A revoked key stays revoked for everyone.
    pub(super) fn insert_key(&self, subject: &str, key: &NewKey, state: KeyState) -> Result<(), ChangeError> {
        let known: Vec<(String, i64)> = self
            .connection
            .prepare_cached("SELECT subject, state FROM identity_key WHERE key_id = ?1")?
            .query_map([key.key_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if known.iter().any(|(_, state)| *state == REVOKED) {
            return Err(StoreError::KeyRevoked.into());
        }
        if known.iter().any(|(of, _)| of != subject) {
            return Err(StoreError::KeyTaken.into());
        }
        if known.is_empty() {
            let state = match state {
                KeyState::Pending => PENDING,
                KeyState::Active => ACTIVE,
                KeyState::Revoked => REVOKED,
            };
            self.connection
                .prepare_cached(
                    "INSERT INTO identity_key (key_id, subject, public_key, state, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![key.key_id.as_str(), subject, key.public_key, state, self.now.as_millis()])?;
        }
        Ok(())
    }

    fn activate_key(&mut self, key_id: &KeyId, from: Option<IpAddr>) -> Result<Outcome, ChangeError> {
        let activated = self
            .connection
            .prepare_cached("UPDATE identity_key SET state = ?2 WHERE key_id = ?1 AND state = ?3")?
            .execute(params![key_id.as_str(), ACTIVE, PENDING])?;
        if activated > 0 {
            self.connection
                .prepare_cached(
                    "UPDATE host SET joined = 1 WHERE host_id IN (SELECT subject FROM identity_key WHERE key_id = ?1)",
                )?
                .execute([key_id.as_str()])?;
            self.bump_auth_epoch()?;
        }
        match self.key_outcome(key_id)? {
            Outcome::Key(key) if key.state == KeyState::Revoked => Err(StoreError::KeyRevoked.into()),
            Outcome::Key(key) if activated > 0 => {
                let by = AuditBy::Caller { subject: key.subject.clone(), key_id: key_id.clone(), from };
                self.audit_of(&key.subject, AuditNote::done(AuditAct::KeyActivate, by, key_id))?;
                Ok(Outcome::Key(key))
            }
            outcome => Ok(outcome),
        }
    }

    pub(super) fn revoke_key(&mut self, key_id: &KeyId) -> Result<Outcome, ChangeError> {
        self.connection
            .prepare_cached("UPDATE identity_key SET state = ?2 WHERE key_id = ?1")?
            .execute(params![key_id.as_str(), REVOKED])?;
        self.bump_auth_epoch()?;
        let outcome = self.key_outcome(key_id)?;
        if let Outcome::Key(key) = &outcome {
            let note = AuditNote::done(AuditAct::KeyRevoke, AuditBy::Operator, key_id).with("of", &key.subject);
            self.audit_of(&key.subject, note)?;
        }
        Ok(outcome)
    }

    fn revoke_own_key(&mut self, caller: &Caller, key_id: &KeyId) -> Result<Outcome, ChangeError> {
        let CallerId::User(user) = &caller.subject else {
            return Err(StoreError::from(Denied::NotOwner).into());
        };
        self.check_key(caller)?;
        self.check_user(user.as_str())?;
        let revoked = self
            .connection
            .prepare_cached("UPDATE identity_key SET state = ?3 WHERE key_id = ?1 AND subject = ?2")?
            .execute(params![key_id.as_str(), user.as_str(), REVOKED])?;
        if revoked == 0 {
            return Err(StoreError::UnknownKey(key_id.clone()).into());
        }
        self.bump_auth_epoch()?;
        let note = AuditNote::done(AuditAct::KeyRevoke, caller, key_id).with("of", user);
        self.audit_of(user.as_str(), note)?;
        self.key_outcome(key_id)
    }

    fn create_org(&mut self, caller: &Caller, name: &OrgName) -> Result<Outcome, ChangeError> {
        let CallerId::User(owner) = &caller.subject else {
            return Err(StoreError::from(Denied::NotOwner).into());
        };
        self.check_key(caller)?;
        self.check_user(owner.as_str())?;
        let inserted = self
            .connection
            .prepare_cached("INSERT INTO org (name, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![name.as_str(), self.now.as_millis()])?;
        if inserted == 0 {
            return Err(StoreError::NameTaken.into());
        }
        let org_no = self.connection.last_insert_rowid();
        self.connection
            .prepare_cached("INSERT INTO owner (org_no, user_id) VALUES (?1, ?2)")?
            .execute(params![org_no, owner.as_str()])?;
        self.bump_auth_epoch()?;
        self.audit(org_no, AuditNote::done(AuditAct::OrgCreate, caller, name));
        self.org_outcome(name)
    }

    fn set_org(&mut self, caller: &Caller, name: &OrgName, settings: &OrgSettings) -> Result<Outcome, ChangeError> {
        let org_no = self.authorize_owner(caller, name)?;
        if let Some(secs) = settings.retention_secs {
            self.connection
                .prepare_cached("UPDATE org SET retention_secs = ?2 WHERE org_no = ?1")?
                .execute(params![org_no, int(secs)])?;
            let following: Vec<i64> = self
                .connection
                .prepare_cached(
                    "SELECT namespace_no FROM namespace
                     WHERE org_no = ?1 AND own_retention = 0 AND released_at IS NULL",
                )?
                .query_map([org_no], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for namespace_no in following {
                retention::set(self.connection, namespace_no, secs, self.now)?;
            }
        }
        let settings = serde_json::to_string(settings).unwrap_or_default();
        self.audit(org_no, AuditNote::done(AuditAct::OrgSet, caller, name).with("settings", settings));
        self.org_outcome(name)
    }

    fn org_outcome(&self, name: &OrgName) -> Result<Outcome, ChangeError> {
        let org = people_read::org(self.connection, name)?;
        Ok(Outcome::Org(org.ok_or_else(|| StoreError::NoSuchOrg(name.clone()))?))
    }

    fn check_owner_exists(&self, owner: &KeyOwner) -> Result<(), ChangeError> {
        let (exists, missing) = match owner {
            KeyOwner::User(id) => ("SELECT 1 FROM user WHERE user_id = ?1", StoreError::NoSuchUser(id.clone())),
            KeyOwner::Host(_) => ("SELECT 1 FROM host WHERE host_id = ?1", StoreError::HostState("unknown")),
        };
        if self.connection.prepare_cached(exists)?.exists([owner.as_str()])? { Ok(()) } else { Err(missing.into()) }
    }

    /// What was done with a user, a host or their keys goes into the server's chain, and into those of the orgs it concerns.
    fn audit_of(&mut self, subject: &str, note: AuditNote) -> Result<(), ChangeError> {
        let orgs: Vec<i64> = self
            .connection
            .prepare_cached(
                "SELECT org_no FROM owner WHERE user_id = ?1
                 UNION SELECT org_no FROM auditor WHERE user_id = ?1
                 UNION SELECT org_no FROM host JOIN namespace USING (namespace_no) WHERE host_id = ?1",
            )?
            .query_map([subject], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for org_no in orgs.into_iter().chain([SERVER_CHAIN]) {
            self.audit(org_no, note.clone());
        }
        Ok(())
    }

    fn key_outcome(&self, key_id: &KeyId) -> Result<Outcome, ChangeError> {
        let key = people_read::key(self.connection, key_id)?;
        Ok(Outcome::Key(key.ok_or_else(|| StoreError::UnknownKey(key_id.clone()))?))
    }
}
