//! The proxy's own credential: a token that it signs itself, keeps while it is good, and never shows.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use kheeper_identity::token::{AccessRequest, mint_access};
use kheeper_identity::{Origin, PrivateKey, Scope, SubjectId};
use kheeper_model::{Clock, KeyId, Timestamp};

use crate::limits::{TOKEN_SECS_LEFT_MIN, TOKEN_TTL_SECS};

/// Signs tokens and reuses them.
pub(crate) struct TokenSource {
    key: Mutex<Arc<PrivateKey>>,
    subject: SubjectId,
    audience: Origin,
    scope: Option<Scope>,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Minted>>,
}

struct Minted {
    authorization: HeaderValue,
    minted_at: Timestamp,
    good_until: Timestamp,
}

impl TokenSource {
    pub(crate) fn new(
        key: Arc<PrivateKey>,
        subject: SubjectId,
        audience: Origin,
        scope: Option<Scope>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { key: Mutex::new(key), subject, audience, scope, clock, current: Mutex::new(None) }
    }

    /// The `Authorization` of the next request. A token that is about to end is replaced before it does, and so is one
    /// from the future: then the clock was set back, and the server would find it issued ahead of time.
    pub(crate) fn authorization(&self) -> HeaderValue {
        let now = self.clock.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some(minted) if minted.minted_at <= now && now < minted.good_until => minted.authorization.clone(),
            _ => {
                let minted = self.mint(now);
                let authorization = minted.authorization.clone();
                *current = Some(minted);
                authorization
            }
        }
    }

    /// Forgets a token that the server refused, unless another request has replaced it already.
    pub(crate) fn discard(&self, refused: &HeaderValue) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|minted| minted.authorization == *refused) {
            *current = None;
        }
    }

    /// Signs with another key of the same identity from now on. False if it is the one in use.
    pub(crate) fn change_key(&self, key: Arc<PrivateKey>) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let mut in_use = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if in_use.public_key().key_id() == key.public_key().key_id() {
            return false;
        }
        *in_use = key;
        *current = None;
        true
    }

    /// The id of the key that tokens are signed with.
    pub(crate) fn key_id(&self) -> KeyId {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).public_key().key_id()
    }

    /// The clock that tokens are signed by.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn mint(&self, now: Timestamp) -> Minted {
        let request = AccessRequest {
            subject: &self.subject,
            audience: &self.audience,
            now,
            ttl_secs: TOKEN_TTL_SECS,
            scope: self.scope.as_ref(),
        };
        let key = Arc::clone(&self.key.lock().unwrap_or_else(PoisonError::into_inner));
        let token = mint_access(&key, &request);
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
            .expect("base64url and dots are valid in a header");
        authorization.set_sensitive(true);
        Minted { authorization, minted_at: now, good_until: token.expires_at().minus_secs(TOKEN_SECS_LEFT_MIN) }
    }
}

#[cfg(test)]
mod tests {
    use kheeper_identity::token::verify_access;
    use kheeper_model::{HostId, ManualClock};

    use super::*;

    fn source(clock: &Arc<ManualClock>) -> TokenSource {
        let origin: Origin = "https://backup.example.com".parse().expect("valid");
        let key = Arc::new(PrivateKey::generate().expect("made"));
        TokenSource::new(key, SubjectId::Host(HostId::random()), origin, None, Arc::clone(clock) as Arc<dyn Clock>)
    }

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)))
    }

    #[test]
    fn a_token_is_reused_and_replaced_before_it_ends() {
        let clock = clock();
        let source = source(&clock);
        let first = source.authorization();
        clock.advance_secs(TOKEN_TTL_SECS - TOKEN_SECS_LEFT_MIN - 1);
        assert_eq!(source.authorization(), first);
        clock.advance_secs(1);
        assert_ne!(source.authorization(), first);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_a_new_token() {
        let clock = clock();
        let source = source(&clock);
        let first = source.authorization();
        clock.set(Timestamp::from_secs(1_700_000_000));
        assert_ne!(source.authorization(), first);
    }

    #[test]
    fn a_refused_token_is_replaced_once_for_all_who_held_it() {
        let clock = clock();
        let source = source(&clock);
        let refused = source.authorization();
        clock.advance_secs(1);
        source.discard(&refused);
        let next = source.authorization();
        assert_ne!(next, refused);
        source.discard(&refused);
        assert_eq!(source.authorization(), next);
    }

    #[test]
    fn another_key_signs_the_next_token() {
        let clock = clock();
        let source = source(&clock);
        let first = source.authorization();
        let key = Arc::new(PrivateKey::generate().expect("made"));
        assert!(source.change_key(Arc::clone(&key)));
        assert_eq!(source.key_id(), key.public_key().key_id());
        let second = source.authorization();
        assert_ne!(second, first);
        assert!(!source.change_key(key), "it is in use already");
        assert_eq!(source.authorization(), second);
    }

    #[test]
    fn the_header_is_a_valid_token_and_does_not_print() {
        let clock = clock();
        let source = source(&clock);
        let header = source.authorization();
        assert_eq!(format!("{header:?}"), "Sensitive");
        let token = header.to_str().expect("ASCII").strip_prefix("Bearer ").expect("a bearer");
        let origin = "https://backup.example.com:443".parse().expect("valid");
        let claims =
            verify_access(token, source.key.lock().expect("no holder panics").public_key(), &[origin], clock.now())
                .expect("valid");
        assert_eq!(claims.subject, source.subject);
    }
}
