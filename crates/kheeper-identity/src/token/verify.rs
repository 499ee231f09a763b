//! Checking tokens: the server's side.
//!
//! In this order: size, form, algorithm, kind of token, the key by `kid` and `sub` (the caller's part, with
//! [`TokenHead`]), the signature, and only then what the claims say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kheeper_model::limits::{CLOCK_SKEW_SECS_MAX, REGISTRATION_TOKEN_TTL_SECS, TOKEN_TTL_SECS_MAX};
use kheeper_model::{KeyId, Timestamp, UserId};

use super::wire::{AccessWire, Parts, RegistrationWire, TYP_ACCESS, TYP_REGISTRATION, read_object, split};
use crate::{Origin, PublicKey, Scope, SubjectId, TokenError};

/// What an access token says of itself before its signature is checked: good for finding the key, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHead {
    /// The key that it says signed it.
    pub key_id: KeyId,
    /// Whom it says it speaks for.
    pub subject: SubjectId,
}

impl TokenHead {
    /// Reads the head of an access token. Every error is a [`TokenError::Denied`].
    pub fn peek(token: &str) -> Result<Self, TokenError> {
        let parts = split(token, TYP_ACCESS)?;
        let claims: AccessWire = read_claims(&parts)?;
        Ok(Self { key_id: key_id(&parts)?, subject: subject(&claims.sub)? })
    }
}

/// What a verified access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessClaims {
    /// Who it speaks for.
    pub subject: SubjectId,
    /// The key that signed it.
    pub key_id: KeyId,
    /// The origin it is for: one of those accepted.
    pub audience: Origin,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What narrows it.
    pub scope: Option<Scope>,
}

/// What a verified registration token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationClaims {
    /// The user it is for.
    pub user: UserId,
    /// The key to register, whose private half signed the token.
    pub public_key: PublicKey,
    /// Its own id, so that it is used once.
    pub jti: String,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Verifies an access token against the key that [`TokenHead`] led to, and the origins this server answers for.
///
/// The caller still checks that the key belongs to the returned subject, and that both may act.
pub fn verify_access(
    token: &str,
    key: &PublicKey,
    audiences: &[Origin],
    now: Timestamp,
) -> Result<AccessClaims, TokenError> {
    let parts = split(token, TYP_ACCESS)?;
    check_signature(&parts, key)?;
    let claims: AccessWire = read_claims(&parts)?;
    let subject = subject(&claims.sub)?;
    let scope =
        claims.scope.as_deref().map(str::parse).transpose().map_err(|_| TokenError::Denied("an unknown scope"))?;
    let audience = audience(&claims.aud, audiences)?;
    let life = Life { iat: claims.iat, exp: claims.exp };
    life.check(TOKEN_TTL_SECS_MAX, now)?;
    Ok(AccessClaims {
        subject,
        key_id: key.key_id(),
        audience,
        issued_at: life.issued_at(),
        expires_at: life.expires_at(),
        scope,
    })
}

/// Verifies a registration token, which brings its own key. The caller still checks that its `jti` is new, that the
/// user exists, and that the key was never revoked.
pub fn verify_registration(
    token: &str,
    audiences: &[Origin],
    now: Timestamp,
) -> Result<RegistrationClaims, TokenError> {
    let parts = split(token.trim(), TYP_REGISTRATION)?;
    let claims: RegistrationWire = read_claims(&parts)?;
    let mut raw = [0; 32];
    let decoded = URL_SAFE_NO_PAD.decode_slice(&claims.key, &mut raw);
    if decoded != Ok(raw.len()) {
        return Err(TokenError::Denied("not a public key"));
    }
    let public_key = PublicKey::from_bytes(raw).map_err(|_| TokenError::Denied("a weak public key"))?;
    check_signature(&parts, &public_key)?;
    let SubjectId::User(user) = subject(&claims.sub)? else {
        return Err(TokenError::Denied("a registration token for something other than a user"));
    };
    audience(&claims.aud, audiences)?;
    if claims.jti.len() != 32 || !claims.jti.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(TokenError::Denied("a jti of another form"));
    }
    let life = Life { iat: claims.iat, exp: claims.exp };
    life.check(REGISTRATION_TOKEN_TTL_SECS, now)?;
    Ok(RegistrationClaims {
        user,
        public_key,
        jti: claims.jti,
        issued_at: life.issued_at(),
        expires_at: life.expires_at(),
    })
}

fn check_signature(parts: &Parts<'_>, key: &PublicKey) -> Result<(), TokenError> {
    if parts.header.kid != key.key_id().as_str() {
        return Err(TokenError::Denied("a kid that is not the key's"));
    }
    if !key.verifies(parts.signed.as_bytes(), &parts.signature) {
        return Err(TokenError::Denied("a signature that does not verify"));
    }
    Ok(())
}

fn read_claims<C: serde::de::DeserializeOwned>(parts: &Parts<'_>) -> Result<C, TokenError> {
    read_object(&parts.claims).ok_or(TokenError::Denied("claims of another form"))
}

fn key_id(parts: &Parts<'_>) -> Result<KeyId, TokenError> {
    parts.header.kid.parse().map_err(|_| TokenError::Denied("a kid that is not a thumbprint"))
}

fn subject(sub: &str) -> Result<SubjectId, TokenError> {
    sub.parse().map_err(|_| TokenError::Denied("a sub that is not an id"))
}

fn audience(aud: &str, accepted: &[Origin]) -> Result<Origin, TokenError> {
    let aud: Origin = aud.parse().map_err(|_| TokenError::Denied("an aud that is not an origin"))?;
    if accepted.contains(&aud) { Ok(aud) } else { Err(TokenError::Denied("an aud that is another origin")) }
}

/// From when to when a token is valid, in seconds since 1970.
struct Life {
    iat: u64,
    exp: u64,
}

/// Seconds since 1970 beyond which a time is nonsense: the year 9999.
const SECS_MAX: u64 = 253_402_300_799;

impl Life {
    fn check(&self, ttl_secs_max: u64, now: Timestamp) -> Result<(), TokenError> {
        if self.exp > SECS_MAX || self.exp <= self.iat || self.exp - self.iat > ttl_secs_max {
            return Err(TokenError::Denied("a life that is negative or too long"));
        }
        let now = u64::try_from(now.as_secs()).unwrap_or(0);
        if self.iat > now + CLOCK_SKEW_SECS_MAX {
            return Err(TokenError::IssuedInFuture { ahead_secs: self.iat - now });
        }
        if now > self.exp + CLOCK_SKEW_SECS_MAX {
            return Err(TokenError::Expired { ago_secs: now - self.exp });
        }
        Ok(())
    }

    fn issued_at(&self) -> Timestamp {
        Timestamp::from_secs(self.iat.cast_signed())
    }

    fn expires_at(&self) -> Timestamp {
        Timestamp::from_secs(self.exp.cast_signed())
    }
}

#[cfg(test)]
mod tests;
