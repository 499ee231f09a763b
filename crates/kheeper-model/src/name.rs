//! Names that people choose: orgs, hosts, users.

use std::fmt;
use std::str::FromStr;

use crate::limits::{HOST_NAME_BYTES_MIN, NAME_BYTES_MAX, ORG_NAME_BYTES_MIN};

/// Why a name was refused. The message finishes the sentence "invalid … name:".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Shorter or longer than the kind of name allows.
    #[error("it has {actual} characters, and must have {min} to {max}")]
    Length {
        /// Bytes it has.
        actual: usize,
        /// Bytes it must have at the least.
        min: usize,
        /// Bytes it may have at the most.
        max: usize,
    },
    /// A character other than a-z, 0-9 and `-`.
    #[error("it may hold a-z, 0-9 and '-' only, not {0:?}")]
    Character(char),
    /// A `-` at its start or end.
    #[error("it must start and end with a letter or digit")]
    Edge,
}

fn check(name: &str, min: usize) -> Result<(), NameError> {
    if name.len() < min || name.len() > NAME_BYTES_MAX {
        return Err(NameError::Length { actual: name.chars().count(), min, max: NAME_BYTES_MAX });
    }
    if let Some(bad) = name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(NameError::Character(bad));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(NameError::Edge);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $min:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                check(name, $min)?;
                Ok(Self(name.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                check(&name, $min)?;
                Ok(Self(name))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// An org's name, which is its bucket's name too: 3 to 63 of a-z, 0-9 and `-`, alphanumeric at both ends.
    OrgName,
    ORG_NAME_BYTES_MIN
);
name!(
    /// A host's name within its org: 1 to 63 of a-z, 0-9 and `-`, alphanumeric at both ends.
    HostName,
    HOST_NAME_BYTES_MIN
);
name!(
    /// A person's name, for people to read: the user's id is what counts.
    UserName,
    HOST_NAME_BYTES_MIN
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_parse_and_print_unchanged() {
        for name in ["abc", "web-01", "0-0", &"a".repeat(63)] {
            assert_eq!(name.parse::<OrgName>().map(|n| n.to_string()), Ok(name.to_owned()));
        }
        assert!("w".parse::<HostName>().is_ok());
    }

    #[test]
    fn bad_names_are_refused_for_their_own_reason() {
        assert!(matches!("ab".parse::<OrgName>(), Err(NameError::Length { .. })));
        assert!(matches!("".parse::<HostName>(), Err(NameError::Length { .. })));
        assert!(matches!("a".repeat(64).parse::<HostName>(), Err(NameError::Length { .. })));
        assert_eq!("web_01".parse::<HostName>(), Err(NameError::Character('_')));
        assert_eq!("Web".parse::<HostName>(), Err(NameError::Character('W')));
        assert_eq!("wéb".parse::<HostName>(), Err(NameError::Character('é')));
        assert_eq!("-web".parse::<OrgName>(), Err(NameError::Edge));
        assert_eq!("web-".parse::<OrgName>(), Err(NameError::Edge));
    }

    #[test]
    fn the_control_prefix_can_never_be_an_org() {
        assert!("-".parse::<OrgName>().is_err());
    }
}
