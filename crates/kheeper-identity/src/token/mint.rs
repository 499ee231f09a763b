//! Signing tokens: the caller's side.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kheeper_model::limits::{REGISTRATION_TOKEN_TTL_SECS, TOKEN_TTL_SECS_MAX};
use kheeper_model::{AttemptId, Timestamp, UserId};

use super::wire::{AccessWire, RegistrationWire, TYP_ACCESS, TYP_REGISTRATION, signing_input};
use crate::{Origin, PrivateKey, Scope, SubjectId};

/// A signed token. It does not print itself: [`Token::reveal`] is for the one place it goes to.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    expires_at: Timestamp,
}

impl Token {
    /// The token as text, for an `Authorization: Bearer` header.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Its `exp`.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(until {})", self.expires_at)
    }
}

/// What an access token shall say.
#[derive(Debug, Clone)]
pub struct AccessRequest<'a> {
    /// Who it speaks for.
    pub subject: &'a SubjectId,
    /// The server it is for.
    pub audience: &'a Origin,
    /// The present time.
    pub now: Timestamp,
    /// Seconds it shall live; more than [`TOKEN_TTL_SECS_MAX`] is cut to that.
    pub ttl_secs: u64,
    /// What narrows it.
    pub scope: Option<&'a Scope>,
}

/// Signs an access token.
pub fn mint_access(key: &PrivateKey, request: &AccessRequest<'_>) -> Token {
    let iat = seconds(request.now);
    let exp = iat + request.ttl_secs.clamp(1, TOKEN_TTL_SECS_MAX);
    let claims = AccessWire {
        sub: request.subject.to_string(),
        aud: request.audience.to_string(),
        iat,
        exp,
        scope: request.scope.map(Scope::to_string),
    };
    sign(key, TYP_ACCESS, &claims, exp)
}

/// Signs a registration token: proof that the one who shows it holds the private half of the key inside. Valid for
/// 15 minutes and one use.
pub fn mint_registration(key: &PrivateKey, user: &UserId, audience: &Origin, now: Timestamp) -> Token {
    let iat = seconds(now);
    let exp = iat + REGISTRATION_TOKEN_TTL_SECS;
    let claims = RegistrationWire {
        sub: user.to_string(),
        aud: audience.to_string(),
        iat,
        exp,
        // 128 random bits in hex, which is all that a jti has to be.
        jti: AttemptId::random().to_string(),
        key: URL_SAFE_NO_PAD.encode(key.public_key().as_bytes()),
    };
    sign(key, TYP_REGISTRATION, &claims, exp)
}

fn sign<C: serde::Serialize>(key: &PrivateKey, typ: &str, claims: &C, exp: u64) -> Token {
    let input = signing_input(typ, key.public_key().key_id().as_str(), claims);
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()));
    Token { text: format!("{input}.{signature}"), expires_at: Timestamp::from_secs(exp.cast_signed()) }
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_secs()).unwrap_or(0)
}
