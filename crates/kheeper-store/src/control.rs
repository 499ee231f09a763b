//! Users, keys, orgs and hosts: who there is.

use std::net::IpAddr;

use kheeper_model::api::{HostRecord, HostSettings, Joined, KeyRecord, KeyState, OrgRecord, OrgSettings, UserRecord};
use kheeper_model::{KeyId, Namespace, OrgName, Timestamp, UserId, UserName};

use crate::caller::{Caller, CallerId, CallerRecord, DeleteHost, HostCredential, JoinMode, NewJoinToken, NewKey};
use crate::error::StoreError;
use crate::index::{Change, HostChange, KeyOwner, Outcome, PeopleChange};
use crate::store::Store;

/// The index answered a change with another kind of outcome than the change has: a defect.
pub(crate) fn unexpected(outcome: &Outcome) -> StoreError {
    StoreError::internal(format!("the index answered a change with {outcome:?}"))
}

/// What the operator does, at the machine.
impl Store {
    /// Makes a user. [`StoreError::NameTaken`] if the name is in use.
    pub async fn create_user(&self, name: UserName) -> Result<UserRecord, StoreError> {
        match self.people(PeopleChange::CreateUser(name)).await? {
            Outcome::User(user) => Ok(user),
            other => Err(unexpected(&other)),
        }
    }

    /// Refuses all keys of a user, or accepts them again.
    pub async fn set_user_disabled(&self, user: &UserId, disabled: bool) -> Result<(), StoreError> {
        self.people(PeopleChange::SetUserDisabled(user.clone(), disabled)).await.map(drop)
    }

    /// All users, by name.
    pub async fn users(&self) -> Result<Vec<UserRecord>, StoreError> {
        self.index().users().await
    }

    /// One user.
    pub async fn user(&self, id: &UserId) -> Result<Option<UserRecord>, StoreError> {
        self.index().user(id).await
    }

    /// Registers a key. Repeating it with the same key and owner gives the key as it is.
    ///
    /// [`StoreError::KeyRevoked`] for a key that was ever revoked, [`StoreError::KeyTaken`] for one that speaks for another.
    pub async fn register_key(&self, owner: KeyOwner, key: NewKey, state: KeyState) -> Result<KeyRecord, StoreError> {
        self.key(PeopleChange::RegisterKey { owner, key, state }).await
    }

    /// Registers a user's key by a registration token, whose id counts once: [`StoreError::RegistrationUsed`] the second time.
    pub async fn use_registration(
        &self,
        jti: &str,
        expires_at: Timestamp,
        user: &UserId,
        key: NewKey,
    ) -> Result<KeyRecord, StoreError> {
        let (jti, user) = (jti.to_owned(), user.clone());
        self.key(PeopleChange::UseRegistration { jti, expires_at, user, key }).await
    }

    /// A pending key has signed a valid token: it is active from now on. May be repeated.
    pub async fn activate_key(&self, key_id: &KeyId, from: Option<IpAddr>) -> Result<KeyRecord, StoreError> {
        self.key(PeopleChange::ActivateKey { key_id: key_id.clone(), from }).await
    }

    /// Refuses a key for ever. May be repeated.
    pub async fn revoke_key(&self, key_id: &KeyId) -> Result<KeyRecord, StoreError> {
        self.key(PeopleChange::RevokeKey(key_id.clone())).await
    }

    /// All keys, revoked ones included.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.index().keys().await
    }

    async fn people(&self, change: PeopleChange) -> Result<Outcome, StoreError> {
        self.commit(Change::People(change)).await
    }

    async fn key(&self, change: PeopleChange) -> Result<KeyRecord, StoreError> {
        match self.people(change).await? {
            Outcome::Key(key) => Ok(key),
            other => Err(unexpected(&other)),
        }
    }
}

/// Who calls.
impl Store {
    /// Who holds the key `key_id` and speaks for `sub`; none if no such key was registered for it.
    pub async fn caller(&self, key_id: &KeyId, sub: &str) -> Result<Option<CallerRecord>, StoreError> {
        match CallerId::parse(sub) {
            Some(subject) => self.shared.index.caller(key_id, &subject).await,
            None => Ok(None),
        }
    }

    /// The host that a join token is or was for: also a used or expired one, while it is remembered.
    pub async fn host_of_join_token(&self, secret_sha256: [u8; 32]) -> Result<Option<Namespace>, StoreError> {
        self.shared.index.host_of_join_token(secret_sha256).await
    }

    /// The number that changes whenever someone's rights do: in the same transaction, and for every server to read.
    pub async fn auth_epoch(&self) -> Result<u64, StoreError> {
        self.shared.index.auth_epoch().await
    }
}

/// Orgs and hosts. Each change checks, inside its commit, that the caller may still make it.
impl Store {
    /// Makes an org, owned by the caller, a user. [`StoreError::NameTaken`] if the name is in use.
    pub async fn create_org(&self, caller: &Caller, name: OrgName) -> Result<OrgRecord, StoreError> {
        match self.people(PeopleChange::CreateOrg { caller: caller.clone(), name }).await? {
            Outcome::Org(org) => Ok(org),
            other => Err(unexpected(&other)),
        }
    }

    /// Changes what holds for all hosts of an org. A shorter window counts only once the old one has passed.
    pub async fn set_org(
        &self,
        caller: &Caller,
        org: &OrgName,
        settings: OrgSettings,
    ) -> Result<OrgRecord, StoreError> {
        let (caller, org) = (caller.clone(), org.clone());
        match self.people(PeopleChange::SetOrg { caller, org, settings }).await? {
            Outcome::Org(org) => Ok(org),
            other => Err(unexpected(&other)),
        }
    }

    /// The orgs a user owns, by name.
    pub async fn orgs_of(&self, user: &UserId) -> Result<Vec<OrgRecord>, StoreError> {
        self.index().orgs_of(user).await
    }

    /// One org.
    pub async fn org(&self, name: &OrgName) -> Result<Option<OrgRecord>, StoreError> {
        self.index().org(name).await
    }

    /// The hosts of an org, by name, deleted ones included while the owner can still read them.
    pub async fn hosts(&self, org: &OrgName) -> Result<Vec<HostRecord>, StoreError> {
        self.index().hosts(org).await
    }

    /// One host.
    pub async fn host(&self, namespace: &Namespace) -> Result<Option<HostRecord>, StoreError> {
        self.index().host(namespace).await
    }

    /// Makes a host with a namespace of its own.
    pub async fn create_host(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        credential: HostCredential,
    ) -> Result<HostRecord, StoreError> {
        let (caller, namespace) = (caller.clone(), namespace.clone());
        self.host_change(HostChange::Create { caller, namespace, credential }).await
    }

    /// A machine shows a join token, which is bound to the first key that used it: the same key may repeat.
    ///
    /// After a rejoin all earlier keys of the host are revoked, and the host is read-only until it is resumed.
    pub async fn join(&self, secret_sha256: [u8; 32], key: NewKey) -> Result<Joined, StoreError> {
        self.join_from(secret_sha256, key, JoinMode::Join, None).await
    }

    /// The same, or only the question whether it was done, with the address that the audit log shall name.
    pub async fn join_from(
        &self,
        secret_sha256: [u8; 32],
        key: NewKey,
        mode: JoinMode,
        from: Option<IpAddr>,
    ) -> Result<Joined, StoreError> {
        match self.commit(Change::Host(HostChange::Join { secret_sha256, key, mode, from })).await? {
            Outcome::Joined(joined) => Ok(joined),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a new join token for a host, and forgets an earlier one.
    pub async fn rejoin_host(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        token: NewJoinToken,
    ) -> Result<HostRecord, StoreError> {
        let (caller, namespace) = (caller.clone(), namespace.clone());
        self.host_change(HostChange::Rejoin { caller, namespace, token }).await
    }

    /// Lets a rejoined host write again: an owner's call, or the host's own. May be repeated.
    pub async fn resume_host(&self, caller: &Caller, namespace: &Namespace) -> Result<HostRecord, StoreError> {
        self.host_change(HostChange::Resume { caller: caller.clone(), namespace: namespace.clone() }).await
    }

    /// Refuses the host's keys, until it is enabled. May be repeated.
    pub async fn disable_host(&self, caller: &Caller, namespace: &Namespace) -> Result<HostRecord, StoreError> {
        let (caller, namespace) = (caller.clone(), namespace.clone());
        self.host_change(HostChange::SetDisabled { caller, namespace, disabled: true }).await
    }

    /// Accepts the host's keys again. May be repeated.
    pub async fn enable_host(&self, caller: &Caller, namespace: &Namespace) -> Result<HostRecord, StoreError> {
        let (caller, namespace) = (caller.clone(), namespace.clone());
        self.host_change(HostChange::SetDisabled { caller, namespace, disabled: false }).await
    }

    /// Refuses all present keys of a host for ever; only a rejoin brings it back.
    pub async fn revoke_host_keys(&self, caller: &Caller, namespace: &Namespace) -> Result<HostRecord, StoreError> {
        self.host_change(HostChange::RevokeKeys { caller: caller.clone(), namespace: namespace.clone() }).await
    }

    /// Adds a key to the calling host, pending until a token signed by it arrives. Repeating it with the same key changes
    /// nothing. [`StoreError::TooManyKeys`] if it has enough.
    pub async fn add_host_key(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        key: NewKey,
    ) -> Result<HostRecord, StoreError> {
        let (caller, namespace) = (caller.clone(), namespace.clone());
        self.host_change(HostChange::AddKey { caller, namespace, key }).await
    }

    /// All keys of the calling host but the one that says so end in `secs`, a day at most. May be repeated; no end moves
    /// to a later time.
    pub async fn retire_host_keys(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        secs: u64,
    ) -> Result<HostRecord, StoreError> {
        let (caller, namespace) = (caller.clone(), namespace.clone());
        self.host_change(HostChange::RetireKeys { caller, namespace, secs }).await
    }

    /// Refuses a key of the calling user for ever. [`StoreError::UnknownKey`] if it is not theirs.
    pub async fn revoke_own_key(&self, caller: &Caller, key_id: &KeyId) -> Result<KeyRecord, StoreError> {
        self.key(PeopleChange::RevokeOwnKey { caller: caller.clone(), key_id: key_id.clone() }).await
    }

    /// Closes a host's namespace, however much is in it, at once. The owner still reads it until its window is over.
    ///
    /// [`StoreError::HostHasBackups`] if it has current objects and `mode` does not take them along.
    pub async fn delete_host(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        mode: DeleteHost,
    ) -> Result<HostRecord, StoreError> {
        let (caller, namespace) = (caller.clone(), namespace.clone());
        self.host_change(HostChange::Delete { caller, namespace, mode }).await
    }

    /// Opens a deleted host's namespace again; its keys work as before, or it is rejoined.
    pub async fn undelete_host(&self, caller: &Caller, namespace: &Namespace) -> Result<HostRecord, StoreError> {
        self.host_change(HostChange::Undelete { caller: caller.clone(), namespace: namespace.clone() }).await
    }

    /// Changes what holds for a host's namespace. A shorter window counts only once the old one has passed.
    pub async fn set_host(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        settings: HostSettings,
    ) -> Result<HostRecord, StoreError> {
        let (caller, namespace) = (caller.clone(), namespace.clone());
        self.host_change(HostChange::Set { caller, namespace, settings }).await
    }

    async fn host_change(&self, change: HostChange) -> Result<HostRecord, StoreError> {
        match self.commit(Change::Host(change)).await? {
            Outcome::Host(host) => Ok(*host),
            other => Err(unexpected(&other)),
        }
    }
}
