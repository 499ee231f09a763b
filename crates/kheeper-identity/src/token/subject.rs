//! The `sub` of a token.

use std::fmt;
use std::str::FromStr;

use kheeper_model::{HostId, UserId};
use serde::{Deserialize, Serialize};

use crate::ParseError;

/// Who a token speaks for: the immutable id of a host or a user, never a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SubjectId {
    /// A host.
    Host(HostId),
    /// A user.
    User(UserId),
}

impl SubjectId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Host(id) => id.as_str(),
            Self::User(id) => id.as_str(),
        }
    }
}

impl FromStr for SubjectId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let host = text.parse().map(Self::Host);
        host.or_else(|_| text.parse().map(Self::User)).map_err(|_| ParseError::new("not the id of a host or a user"))
    }
}

impl TryFrom<String> for SubjectId {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<SubjectId> for String {
    fn from(id: SubjectId) -> String {
        id.as_str().to_owned()
    }
}

impl From<HostId> for SubjectId {
    fn from(id: HostId) -> Self {
        Self::Host(id)
    }
}

impl From<UserId> for SubjectId {
    fn from(id: UserId) -> Self {
        Self::User(id)
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
