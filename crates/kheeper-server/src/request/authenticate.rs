//! Who is calling: the bearer token, its key, and what the index says of both.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use kheeper_identity::TokenError;
use kheeper_identity::key::PublicKey;
use kheeper_identity::token::{self, Scope, TokenHead};
use kheeper_model::api::{HostState, KeyState};
use kheeper_model::{Timestamp, limits};
use kheeper_store::{Caller, CallerRecord, CallerSubject, Store, StoreError};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::error::Refusal;

/// Tokens remembered at once. A host uses one at a time, so this is for ten thousand hosts.
const CACHED_TOKENS_MAX: usize = 10_000;
/// Seconds that a verified token is remembered, at most.
const CACHED_SECS_MAX: u64 = 60;

/// A caller whose token verified and whose key, host or user is in good standing.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// What the index knows of the caller.
    pub(crate) record: CallerRecord,
    /// What the token is narrowed to; none is everything that the caller may do.
    pub(crate) scope: Option<Scope>,
    /// From where this request comes.
    pub(crate) from: Option<IpAddr>,
}

impl Identity {
    /// The caller as changes carry it, to be checked again when they commit.
    pub(crate) fn store_caller(&self) -> Caller {
        self.record.caller(self.from)
    }
}

/// Finds out who is calling. Believes nothing that the key's own record does not say.
pub(crate) async fn authenticate(app: &App, headers: &HeaderMap, from: IpAddr) -> Result<Identity, Refusal> {
    in_turn(app, remembered_or_verified(app, headers, from).await).await
}

/// Nobody hears in haste that they are not known.
async fn in_turn(app: &App, found: Result<Identity, Refusal>) -> Result<Identity, Refusal> {
    if let Err(Refusal::Unauthenticated(_)) = &found {
        app.refusals.next().await;
    }
    found
}

async fn remembered_or_verified(app: &App, headers: &HeaderMap, from: IpAddr) -> Result<Identity, Refusal> {
    let epoch = app.revocation.fresh().map_err(|_| Refusal::Unavailable("revocations are not known"))?;
    let token = bearer(headers)?;
    let now = app.clock.now();
    let digest: [u8; 32] = Sha256::digest(token).into();
    let epoch = app.tokens.at(epoch);
    if let Some(identity) = app.tokens.get(&digest, epoch, now) {
        return Ok(Identity { from: Some(from), ..identity });
    }
    let (identity, expires_at) = verify(app, token, from, now).await?;
    app.tokens.insert(digest, epoch, expires_at.min(now.plus_secs(CACHED_SECS_MAX)), identity.clone(), now);
    Ok(identity)
}

/// The same without remembering anything: what a caller has just changed (an org of their own, a host that resumed) counts
/// in the very next call. The control API is not called often enough to need more.
pub(crate) async fn authenticate_afresh(app: &App, headers: &HeaderMap, from: IpAddr) -> Result<Identity, Refusal> {
    in_turn(app, verified(app, headers, from).await).await
}

async fn verified(app: &App, headers: &HeaderMap, from: IpAddr) -> Result<Identity, Refusal> {
    app.revocation.fresh().map_err(|_| Refusal::Unavailable("revocations are not known"))?;
    let (identity, _) = verify(app, bearer(headers)?, from, app.clock.now()).await?;
    Ok(identity)
}

/// The token of `Authorization: Bearer …`. Exactly one such header, of bounded size.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::Unauthenticated("no Authorization header"))?;
    if values.next().is_some() {
        return Err(Refusal::Unauthenticated("more than one Authorization header"));
    }
    let value = value.to_str().map_err(|_| Refusal::Unauthenticated("an Authorization header that is no text"))?;
    if value.starts_with("AWS4-") || value.starts_with("AWS ") {
        return Err(Refusal::SigV4);
    }
    let (scheme, token) = value.split_once(' ').ok_or(Refusal::Unauthenticated("an Authorization without a token"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Unauthenticated("an Authorization of another scheme"));
    }
    if token.len() > limits::TOKEN_BYTES_MAX {
        return Err(Refusal::Unauthenticated("a token that is too long"));
    }
    Ok(token)
}

async fn verify(app: &App, token: &str, from: IpAddr, now: Timestamp) -> Result<(Identity, Timestamp), Refusal> {
    let head = TokenHead::peek(token).map_err(refuse)?;
    let record = find(&app.store, &head).await?;
    let key = PublicKey::from_bytes(record.public_key).map_err(|_| Refusal::Unauthenticated("an unusable key"))?;
    let claims = token::verify_access(token, &key, &app.origins, now).map_err(refuse)?;
    let record = match record.key_state {
        KeyState::Active => record,
        KeyState::Revoked => return Err(Refusal::denied("the key was revoked", &record)),
        KeyState::Pending => {
            // The token proves that somebody holds the key that was registered from a file.
            app.store.activate_key(&head.key_id, Some(from)).await.map_err(unavailable)?;
            find(&app.store, &head).await?
        }
    };
    good_standing(&record)?;
    let until = record.key_ends_at.map_or(claims.expires_at, |ends_at| ends_at.min(claims.expires_at));
    Ok((Identity { record, scope: claims.scope, from: Some(from) }, until))
}

async fn find(store: &Store, head: &TokenHead) -> Result<CallerRecord, Refusal> {
    match store.caller(&head.key_id, head.subject.as_str()).await {
        Ok(Some(record)) => Ok(record),
        Ok(None) => Err(Refusal::Unauthenticated("an unknown key")),
        Err(error) => Err(unavailable(error)),
    }
}

fn unavailable(error: StoreError) -> Refusal {
    if let StoreError::Quarantined(since) = error {
        return Refusal::Quarantined(since);
    }
    tracing::error!(%error, "failed to look up a caller");
    Refusal::Unavailable("the index does not answer")
}

fn refuse(error: TokenError) -> Refusal {
    match error {
        TokenError::Denied(why) => Refusal::Unauthenticated(why),
        TokenError::Expired { .. } => Refusal::TokenExpired,
        TokenError::IssuedInFuture { ahead_secs } => Refusal::ClockAhead { secs: ahead_secs },
    }
}

/// Whether the host or user behind a verified token may do anything at all.
pub(crate) fn good_standing(record: &CallerRecord) -> Result<(), Refusal> {
    match (&record.subject, record.key_state) {
        (_, KeyState::Revoked) => Err(Refusal::denied("the key was revoked", record)),
        (CallerSubject::Host { state: HostState::Disabled, .. }, _) => {
            Err(Refusal::denied("the host is disabled", record))
        }
        (CallerSubject::Host { state: HostState::Deleted, .. }, _) => {
            Err(Refusal::denied("the host was deleted", record))
        }
        (CallerSubject::User { disabled: true, .. }, _) => Err(Refusal::denied("the user is disabled", record)),
        _ => Ok(()),
    }
}

/// Verified tokens by their SHA-256, so that a token is verified once and not for every request.
#[derive(Default)]
pub(crate) struct TokenCache(Mutex<Cached>);

#[derive(Default)]
struct Cached {
    /// When all entries were verified.
    age: Age,
    by_digest: HashMap<[u8; 32], (Timestamp, Identity)>,
}

/// What was true when a token was verified: nothing revoked since that epoch, nothing changed here since that change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    epoch: u64,
    change: u64,
}

impl TokenCache {
    /// The age of what is verified from now on.
    fn at(&self, epoch: u64) -> Age {
        Age { epoch, change: self.cached().age.change }
    }

    fn get(&self, digest: &[u8; 32], age: Age, now: Timestamp) -> Option<Identity> {
        let cached = self.cached();
        let (until, identity) = cached.by_digest.get(digest)?;
        // One that is good for longer than any is remembered was verified at a time that the clock has gone back behind.
        let in_time = now < *until && *until <= now.plus_secs(CACHED_SECS_MAX);
        (cached.age == age && in_time).then(|| identity.clone())
    }

    /// Forgets every token, so that what a caller has just changed counts in the next call.
    pub(crate) fn forget_all(&self) {
        let mut cached = self.cached();
        cached.age.change += 1;
        cached.by_digest.clear();
    }

    fn insert(&self, digest: [u8; 32], age: Age, until: Timestamp, identity: Identity, now: Timestamp) {
        let mut cached = self.cached();
        if cached.age != age {
            // What was verified before a change must not outlive it.
            if cached.age.change != age.change || cached.age.epoch > age.epoch {
                return;
            }
            cached.by_digest.clear();
            cached.age = age;
        }
        if cached.by_digest.len() >= CACHED_TOKENS_MAX {
            cached.by_digest.retain(|_, (until, _)| now < *until);
        }
        if cached.by_digest.len() < CACHED_TOKENS_MAX {
            cached.by_digest.insert(digest, (until, identity));
        }
    }

    fn cached(&self) -> MutexGuard<'_, Cached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use kheeper_model::UserId;

    use super::*;

    fn identity() -> Identity {
        let record = CallerRecord {
            key_id: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k".parse().expect("a key id"),
            public_key: [7; 32],
            key_state: KeyState::Active,
            key_ends_at: None,
            subject: CallerSubject::User {
                id: UserId::random(),
                name: "alice".parse().expect("a name"),
                disabled: false,
                owns: Vec::new(),
                audits: Vec::new(),
            },
        };
        Identity { record, scope: None, from: None }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_remembered_token_is_forgotten_when_the_epoch_moves() {
        let cache = TokenCache::default();
        cache.insert([1; 32], cache.at(5), at(60), identity(), at(0));
        assert!(cache.get(&[1; 32], cache.at(5), at(1)).is_some());
        assert!(cache.get(&[1; 32], cache.at(6), at(1)).is_none(), "something was revoked since");
        cache.insert([2; 32], cache.at(6), at(60), identity(), at(0));
        assert!(
            cache.get(&[1; 32], cache.at(6), at(1)).is_none(),
            "the old entry must not come back with the new epoch"
        );
        assert!(cache.get(&[2; 32], cache.at(6), at(1)).is_some());
    }

    #[test]
    fn a_token_verified_before_a_revocation_is_not_remembered_after_it() {
        let cache = TokenCache::default();
        cache.insert([2; 32], cache.at(6), at(60), identity(), at(0));
        cache.insert([1; 32], cache.at(5), at(60), identity(), at(0));
        assert!(cache.get(&[1; 32], cache.at(6), at(1)).is_none());
        assert!(cache.get(&[1; 32], cache.at(5), at(1)).is_none());
    }

    #[test]
    fn a_token_verified_before_a_change_is_not_remembered_after_it() {
        let cache = TokenCache::default();
        let before = cache.at(5);
        cache.forget_all();
        cache.insert([1; 32], before, at(60), identity(), at(0));
        assert!(cache.get(&[1; 32], cache.at(5), at(1)).is_none());
    }

    #[test]
    fn a_remembered_token_ends_with_its_time() {
        let cache = TokenCache::default();
        cache.insert([1; 32], cache.at(5), at(60), identity(), at(0));
        assert!(cache.get(&[1; 32], cache.at(5), at(59)).is_some());
        assert!(cache.get(&[1; 32], cache.at(5), at(60)).is_none());
    }

    #[test]
    fn a_token_is_verified_again_once_the_clock_has_gone_back() {
        let cache = TokenCache::default();
        cache.insert([1; 32], cache.at(5), at(3660), identity(), at(3600));
        assert!(cache.get(&[1; 32], cache.at(5), at(3600)).is_some());
        assert!(cache.get(&[1; 32], cache.at(5), at(0)).is_none());
    }

    #[test]
    fn the_memory_of_tokens_is_bounded() {
        let cache = TokenCache::default();
        for number in 0..=CACHED_TOKENS_MAX {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            cache.insert(digest, cache.at(5), at(60), identity(), at(0));
        }
        assert_eq!(cache.0.lock().expect("not poisoned").by_digest.len(), CACHED_TOKENS_MAX);
    }

    #[test]
    fn only_one_bearer_token_of_bounded_size_is_looked_at() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a header value"));
            }
            headers
        };
        assert_eq!(bearer(&headers(&["Bearer abc"])).ok(), Some("abc"));
        assert_eq!(bearer(&headers(&["bearer abc"])).ok(), Some("abc"));
        assert!(matches!(bearer(&headers(&[])), Err(Refusal::Unauthenticated(_))));
        assert!(matches!(bearer(&headers(&["Bearer a", "Bearer a"])), Err(Refusal::Unauthenticated(_))));
        assert!(matches!(bearer(&headers(&["Basic abc"])), Err(Refusal::Unauthenticated(_))));
        assert!(matches!(bearer(&headers(&["AWS4-HMAC-SHA256 Credential=x"])), Err(Refusal::SigV4)));
        assert!(matches!(bearer(&headers(&["AWS key:signature"])), Err(Refusal::SigV4)));
        let long = format!("Bearer {}", "a".repeat(limits::TOKEN_BYTES_MAX + 1));
        assert!(matches!(bearer(&headers(&[&long])), Err(Refusal::Unauthenticated(_))));
    }

    #[test]
    fn every_refusal_before_a_signature_verifies_reads_the_same() {
        let one = Refusal::Unauthenticated("an unknown key").into_s3_error();
        let other = Refusal::Unauthenticated("a signature that does not verify").into_s3_error();
        assert_eq!(one, other);
    }
}
