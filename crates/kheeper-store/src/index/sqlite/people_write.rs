//! Users, keys and orgs.

use kheeper_model::api::KeyState;
use kheeper_model::{KeyId, OrgName, Timestamp, UserId, UserName};
use rusqlite::params;

use super::authorize::{ACTIVE, PENDING, REVOKED};
use super::batch::{Batch, ChangeError};
use super::people_read;
use crate::caller::NewKey;
use crate::error::StoreError;
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
            PeopleChange::ActivateKey(key_id) => self.activate_key(&key_id),
            PeopleChange::RevokeKey(key_id) => self.revoke_key(&key_id),
            PeopleChange::CreateOrg { owner, name } => self.create_org(&owner, &name),
        }
    }

    fn create_user(&self, name: &UserName) -> Result<Outcome, ChangeError> {
        let id = UserId::random();
        let inserted = self
            .connection
            .prepare_cached("INSERT INTO user (user_id, name, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute(params![id.as_str(), name.as_str(), self.now.as_millis()])?;
        if inserted == 0 {
            return Err(StoreError::NameTaken.into());
        }
        let user = people_read::user(self.connection, &id)?;
        Ok(Outcome::User(user.ok_or_else(|| StoreError::internal("a user that has just been made is not there"))?))
    }

    fn set_user_disabled(&self, user: &UserId, disabled: bool) -> Result<Outcome, ChangeError> {
        let changed = self
            .connection
            .prepare_cached("UPDATE user SET disabled = ?2 WHERE user_id = ?1")?
            .execute(params![user.as_str(), disabled])?;
        if changed == 0 {
            return Err(StoreError::NoSuchUser(user.clone()).into());
        }
        self.bump_auth_epoch()?;
        Ok(Outcome::Done)
    }

    fn register_key(&self, owner: &KeyOwner, key: &NewKey, state: KeyState) -> Result<Outcome, ChangeError> {
        self.check_owner_exists(owner)?;
        self.insert_key(owner.as_str(), key, state)?;
        self.key_outcome(&key.key_id)
    }

    fn use_registration(
        &self,
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

    fn activate_key(&self, key_id: &KeyId) -> Result<Outcome, ChangeError> {
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
            outcome => Ok(outcome),
        }
    }

    fn revoke_key(&self, key_id: &KeyId) -> Result<Outcome, ChangeError> {
        self.connection
            .prepare_cached("UPDATE identity_key SET state = ?2 WHERE key_id = ?1")?
            .execute(params![key_id.as_str(), REVOKED])?;
        self.bump_auth_epoch()?;
        self.key_outcome(key_id)
    }

    fn create_org(&self, owner: &UserId, name: &OrgName) -> Result<Outcome, ChangeError> {
        self.check_owner_exists(&KeyOwner::User(owner.clone()))?;
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
        let org = people_read::org(self.connection, name)?;
        Ok(Outcome::Org(org.ok_or_else(|| StoreError::internal("an org that has just been made is not there"))?))
    }

    fn check_owner_exists(&self, owner: &KeyOwner) -> Result<(), ChangeError> {
        let (exists, missing) = match owner {
            KeyOwner::User(id) => ("SELECT 1 FROM user WHERE user_id = ?1", StoreError::NoSuchUser(id.clone())),
            KeyOwner::Host(_) => ("SELECT 1 FROM host WHERE host_id = ?1", StoreError::HostState("unknown")),
        };
        if self.connection.prepare_cached(exists)?.exists([owner.as_str()])? { Ok(()) } else { Err(missing.into()) }
    }

    fn key_outcome(&self, key_id: &KeyId) -> Result<Outcome, ChangeError> {
        let key = people_read::key(self.connection, key_id)?;
        Ok(Outcome::Key(key.ok_or_else(|| StoreError::UnknownKey(key_id.clone()))?))
    }
}
