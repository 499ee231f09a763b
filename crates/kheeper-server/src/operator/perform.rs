//! Carries out an operator's request on the store.

use std::sync::Arc;

use anyhow::ensure;
use kheeper_identity::Origin;
use kheeper_identity::key::PublicKey;
use kheeper_identity::token::{self, RegistrationClaims};
use kheeper_model::api::{KeyState, Role};
use kheeper_model::limits::AUDIT_PAGE_MAX;
use kheeper_model::{Clock, KeyId, Timestamp};
use kheeper_store::{FsckOptions, NewKey, Store, StoreError};

use super::{Quarantine, Registration, Reply, Request};

/// Carries out requests; the same code in the server and in a command that holds the directory itself.
pub(crate) struct Performer {
    store: Store,
    clock: Arc<dyn Clock>,
    /// The origins that registration tokens may name; none where no server runs.
    origins: Vec<Origin>,
}

impl Performer {
    /// Works on `store`, by `clock`, for a server that is reached by `origins`.
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, origins: Vec<Origin>) -> Self {
        Self { store, clock, origins }
    }

    /// Never fails: a failure is a reply too.
    pub(crate) async fn perform(&self, request: Request) -> Reply {
        self.try_perform(request).await.unwrap_or_else(|error| Reply::Failed(format!("{error:#}")))
    }

    async fn try_perform(&self, request: Request) -> anyhow::Result<Reply> {
        Ok(match request {
            Request::UsersCreate { name } => match self.store.create_user(name.clone()).await {
                Ok(user) => Reply::User(user),
                Err(StoreError::NameTaken) => Reply::Failed(format!("there is a user {name} already")),
                Err(error) => return Err(error.into()),
            },
            Request::UsersList => Reply::Users(self.store.users().await?),
            Request::KeysInspect { token } => Reply::Registration(self.inspect(&token).await?.1),
            Request::KeysRegister { token } => {
                let (claims, registration) = self.inspect(&token).await?;
                let key = NewKey { key_id: registration.key_id, public_key: *claims.public_key.as_bytes() };
                let key = self.store.use_registration(&claims.jti, claims.expires_at, &claims.user, key).await?;
                Reply::Key(key)
            }
            Request::UsersSetDisabled { user, disabled } => match self.store.set_user_disabled(&user, disabled).await {
                Ok(()) => Reply::Done,
                Err(StoreError::NoSuchUser(user)) => Reply::Failed(format!("there is no user {user}")),
                Err(error) => return Err(error.into()),
            },
            Request::OrgsAddOwner { org, user } => match self.store.put_member(None, &org, &user, Role::Owner).await {
                Ok(members) => Reply::Members(members),
                Err(StoreError::NoSuchUser(user)) => Reply::Failed(format!("there is no user {user}")),
                Err(StoreError::NoSuchOrg(org)) => Reply::Failed(format!("there is no org {org}")),
                Err(error) => return Err(error.into()),
            },
            Request::KeysList => Reply::Keys(self.store.keys().await?),
            Request::KeysRevoke { key_id } => self.revoke(&key_id).await?,
            Request::AuditVerify => Reply::AuditVerified(self.store.verify_audit().await?),
            Request::AuditPage { org, after } => {
                Reply::AuditPage(self.store.audit_page(org.as_ref(), after, AUDIT_PAGE_MAX).await?)
            }
            Request::Fsck { read_data } => Reply::Fsck(self.store.fsck(FsckOptions { read_data }).await?),
            Request::Scrub => Reply::Scrubbed(self.store.scrub().await?),
            Request::ScrubStatus => Reply::ScrubStatus(self.store.scrub_status().await?),
            Request::Sweep { accept_orphans, accept_older_index } => {
                if accept_older_index {
                    self.store.accept_older_index().await?;
                }
                Reply::Swept(self.store.sweep_accepting(accept_orphans).await?)
            }
            Request::CopyIndex => Reply::IndexCopy(self.store.copy_index().await?),
            Request::Quarantine => Reply::Quarantine(self.quarantine().await?),
            Request::QuarantineEnd { revoked } => match self.store.end_quarantine(revoked).await {
                Ok(()) => Reply::Done,
                Err(StoreError::UnknownKey(key_id)) => {
                    Reply::Failed(format!("the snapshot has no key {key_id}: nothing was changed; see quarantine show"))
                }
                Err(error) => return Err(error.into()),
            },
        })
    }

    async fn inspect(&self, token: &str) -> anyhow::Result<(RegistrationClaims, Registration)> {
        let now: Timestamp = self.clock.now();
        ensure!(
            !self.origins.is_empty(),
            "start the server first: a registration token is made for the server's origin"
        );
        let claims = token::verify_registration(token, &self.origins, now)
            .map_err(|error| anyhow::anyhow!("the registration token is not usable: {error}"))?;
        let user = self
            .store
            .user(&claims.user)
            .await?
            .ok_or_else(|| anyhow::anyhow!("there is no user {}; create one with users create", claims.user))?;
        let key: &PublicKey = &claims.public_key;
        let registration =
            Registration { user, key_id: key.key_id(), fingerprint: key.fingerprint(), issued_at: claims.issued_at };
        Ok((claims, registration))
    }

    async fn quarantine(&self) -> anyhow::Result<Quarantine> {
        let since = self.store.quarantined_since().await?;
        let mut keys = self.store.keys().await?;
        keys.retain(|key| key.state != KeyState::Revoked);
        Ok(Quarantine { since, keys })
    }

    async fn revoke(&self, key_id: &KeyId) -> anyhow::Result<Reply> {
        match self.store.revoke_key(key_id).await {
            Ok(key) => Ok(Reply::Key(key)),
            Err(StoreError::UnknownKey(_)) => Ok(Reply::Failed(format!("there is no key {key_id}"))),
            Err(error) => Err(error.into()),
        }
    }
}
