//! The one-time token that lets a host enrol: `kjt1.` and base64url of a small JSON object.
//!
//! It says where to enrol and as whom, so that the command line can show both before it calls anyone, and it holds a
//! secret of 256 bits, of which the server keeps the SHA-256 only.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kheeper_model::{HostName, Namespace, OrgName};
use serde::{Deserialize, Serialize};

use crate::key::sha256;
use crate::{Origin, ParseError, Pin};

/// What every join token of this version starts with.
pub const PREFIX: &str = "kjt1.";
/// Bytes of a join token, at the most.
pub const JOIN_TOKEN_BYTES_MAX: usize = 1024;

const SECRET_BYTES: usize = 32;

/// 256 random bits that admit one host, once. Printed only by [`JoinSecret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret([u8; SECRET_BYTES]);

impl JoinSecret {
    /// A new one.
    pub fn random() -> Self {
        let mut secret = [0; SECRET_BYTES];
        rand::fill(&mut secret).expect("the system's random source answers");
        Self(secret)
    }

    /// What the server keeps of it.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.0)
    }

    /// The secret as text: what a join request carries.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl FromStr for JoinSecret {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut secret = [0; SECRET_BYTES];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut secret) {
            Ok(SECRET_BYTES) => Ok(Self(secret)),
            _ => Err(ParseError::new("the join token's secret is damaged")),
        }
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(..)")
    }
}

/// A join token, read or about to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The server to enrol with.
    pub origin: Origin,
    /// The org and host to become.
    pub namespace: Namespace,
    /// The SHA-256 of the server's own certificate authority, where it made one.
    pub pin: Option<Pin>,
    /// What admits the host.
    pub secret: JoinSecret,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    origin: Origin,
    org: OrgName,
    host: HostName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<Pin>,
    secret: String,
}

impl JoinToken {
    /// The token as text, secret included: to be shown once.
    pub fn reveal(&self) -> String {
        let wire = Wire {
            origin: self.origin.clone(),
            org: self.namespace.org.clone(),
            host: self.namespace.host.clone(),
            pin: self.pin,
            secret: self.secret.reveal(),
        };
        let json = serde_json::to_vec(&wire).expect("a struct of texts is JSON");
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for JoinToken {
    type Err = ParseError;

    /// White space around the token is ignored. The names in it are validated again, whoever made it.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        if text.len() > JOIN_TOKEN_BYTES_MAX {
            return Err(ParseError::new("too long for a join token"));
        }
        let Some(body) = text.strip_prefix(PREFIX) else {
            return Err(ParseError::new(if text.starts_with("kjt") {
                "a join token of a newer version: update kheeper on this host"
            } else {
                "not a join token: one starts with kjt1. and is made by `kheeper hosts create`"
            }));
        };
        let damaged = || ParseError::new("the join token is cut off or damaged: copy it again, all on one line");
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| damaged())?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|_| damaged())?;
        Ok(Self {
            secret: wire.secret.parse()?,
            namespace: Namespace { org: wire.org, host: wire.host },
            origin: wire.origin,
            pin: wire.pin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            origin: "https://backup.example.com".parse().unwrap(),
            namespace: "myorg/web-01".parse().unwrap(),
            pin: Some(Pin::of_certificate(b"a certificate")),
            secret: JoinSecret::random(),
        }
    }

    #[test]
    fn a_join_token_round_trips_and_tolerates_white_space() {
        let token = token();
        let text = token.reveal();
        assert!(text.starts_with(PREFIX));
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token.clone()));
        assert_eq!(token.secret.reveal().parse(), Ok(token.secret));
    }

    #[test]
    fn a_cut_or_foreign_token_says_what_it_is() {
        let text = token().reveal();
        assert!(text[..text.len() - 3].parse::<JoinToken>().unwrap_err().to_string().contains("cut off"));
        assert!("hello".parse::<JoinToken>().unwrap_err().to_string().contains("not a join token"));
        assert!("kjt2.abc".parse::<JoinToken>().unwrap_err().to_string().contains("newer version"));
        assert!("kjt1.".repeat(1000).parse::<JoinToken>().is_err());
    }

    #[test]
    fn names_in_a_join_token_are_validated_again() {
        let forged = r#"{"origin":"https://a:443","org":"../..","host":"web-01","secret":"AAAA"}"#;
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(forged));
        assert!(text.parse::<JoinToken>().is_err());
    }

    #[test]
    fn a_join_tokens_secret_does_not_print() {
        let token = token();
        assert!(!format!("{token:?}").contains(&token.secret.reveal()));
    }
}
