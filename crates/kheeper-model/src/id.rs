//! Identifiers that machines choose: random, and never used twice.

use std::fmt;
use std::str::FromStr;

use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Why an identifier did not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct IdError(&'static str);

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the kernel's random source answers once the machine has booted");
    bytes
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new one: 128 random bits.
            pub fn random() -> Self {
                Self(format!(concat!($prefix, "{}"), hex::encode(random_bytes::<16>())))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let digits = text.strip_prefix($prefix).ok_or(IdError($what))?;
                let hex = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if hex { Ok(Self(text.to_owned())) } else { Err(IdError($what)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A user, for ever: `usr_` and 32 hex digits.
    UserId,
    "usr_",
    "a user id (usr_ and 32 hex digits)"
);
text_id!(
    /// A host, for ever, whatever its name and keys: `hst_` and 32 hex digits.
    HostId,
    "hst_",
    "a host id (hst_ and 32 hex digits)"
);
text_id!(
    /// A namespace, for ever: a deleted host's namespace keeps its id, and the next host of that name gets another.
    NamespaceId,
    "nsp_",
    "a namespace id (nsp_ and 32 hex digits)"
);
text_id!(
    /// A grant, for ever: `grt_` and 32 hex digits.
    GrantId,
    "grt_",
    "a grant id (grt_ and 32 hex digits)"
);

/// A key's identifier: its RFC 7638 thumbprint, 43 characters of base64url.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

impl KeyId {
    /// The thumbprint as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let base64url = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if text.len() == 43 && base64url {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError("a key id (43 characters of base64url)"))
        }
    }
}

impl TryFrom<String> for KeyId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> String {
        id.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One client write, however often the proxy retries it: 128 random bits, 32 hex digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId(pub [u8; 16]);

impl AttemptId {
    /// A new one.
    pub fn random() -> Self {
        Self(random_bytes())
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for AttemptId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| IdError("an attempt id (32 hex digits)"))?;
        Ok(Self(id))
    }
}

/// The immutable bytes of a version, and the id of the upload that brings them: the UTC day, then 128 random bits,
/// `20261122-<32 hex digits>`. Names of blobs begin with it, so that sweep can list by day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId {
    /// The UTC day it was made on, as the number `yyyymmdd`.
    pub day: u32,
    /// The random part.
    pub random: [u8; 16],
}

impl ContentId {
    /// A new one, made at `now`.
    pub fn random(now: Timestamp) -> Self {
        Self { day: day_number(now), random: random_bytes() }
    }
}

/// The UTC day of a time, as the number `yyyymmdd`.
pub fn day_number(time: Timestamp) -> u32 {
    let date = jiff::Timestamp::from_millisecond(time.as_millis())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let number = i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day());
    u32::try_from(number).unwrap_or(0)
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}-{}", self.day, hex::encode(self.random))
    }
}

impl FromStr for ContentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        const WHAT: IdError = IdError("a content id (a day, '-' and 32 hex digits)");
        let (day, digits) = text.split_once('-').ok_or(WHAT)?;
        if day.len() != 8 || !day.bytes().all(|b| b.is_ascii_digit()) || digits.bytes().any(|b| b.is_ascii_uppercase())
        {
            return Err(WHAT);
        }
        let mut random = [0; 16];
        hex::decode_to_slice(digits, &mut random).map_err(|_| WHAT)?;
        Ok(Self { day: day.parse().map_err(|_| WHAT)?, random })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_through_text() {
        let host = HostId::random();
        assert_eq!(host.as_str().parse(), Ok(host));
        let attempt = AttemptId::random();
        assert_eq!(attempt.to_string().parse(), Ok(attempt));
        let content = ContentId::random(Timestamp(1_700_000_000_000));
        assert_eq!(content.day, 20_231_114);
        assert_eq!(content.to_string().parse(), Ok(content));
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        assert!(UserId::random().as_str().parse::<HostId>().is_err());
        assert!("hst_".parse::<HostId>().is_err());
        assert!("20261122-../../etc/passwd".parse::<ContentId>().is_err());
    }
}
