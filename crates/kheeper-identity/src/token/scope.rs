//! What narrows a token.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use kheeper_model::Namespace;
use serde::{Deserialize, Serialize};

use crate::ParseError;

/// Hosts that one scope names, at the most.
pub const SCOPE_HOSTS_MAX: usize = 8;

/// Narrows a token to reading: `read` (whatever its subject may read), or `read:myorg/web-01,myorg/web-02` (those
/// only). A token without a scope may do all that its subject may.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope {
    /// The namespaces to read; empty means every one that the subject may read.
    only: BTreeSet<Namespace>,
}

impl Scope {
    /// Reads whatever the subject may read.
    pub fn read() -> Self {
        Self { only: BTreeSet::new() }
    }

    /// Reads these only. An error if there are none, or more than [`SCOPE_HOSTS_MAX`].
    pub fn read_only(namespaces: impl IntoIterator<Item = Namespace>) -> Result<Self, ParseError> {
        let only: BTreeSet<_> = namespaces.into_iter().collect();
        if only.is_empty() || only.len() > SCOPE_HOSTS_MAX {
            return Err(ParseError::new(format!("a scope names 1 to {SCOPE_HOSTS_MAX} hosts")));
        }
        Ok(Self { only })
    }

    /// The namespaces it is narrowed to; none where it reads whatever the subject may.
    pub fn namespaces(&self) -> Option<&BTreeSet<Namespace>> {
        (!self.only.is_empty()).then_some(&self.only)
    }

    /// Whether `namespace` is inside the scope.
    pub fn admits(&self, namespace: &Namespace) -> bool {
        self.only.is_empty() || self.only.contains(namespace)
    }
}

impl FromStr for Scope {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text == "read" {
            return Ok(Self::read());
        }
        let hosts = text
            .strip_prefix("read:")
            .ok_or_else(|| ParseError::new("not a scope: expected `read`, or `read:ORG/HOST[,ORG/HOST…]`"))?;
        let namespaces: Result<Vec<Namespace>, _> = hosts.split(',').map(str::parse).collect();
        Self::read_only(namespaces.map_err(|error| ParseError::new(error.to_string()))?)
    }
}

impl TryFrom<String> for Scope {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read")?;
        for (at, namespace) in self.only.iter().enumerate() {
            write!(f, "{}{namespace}", if at == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_round_trip_and_admit_what_they_name() {
        for text in ["read", "read:myorg/web-01", "read:myorg/web-01,myorg/web-02"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        let scope: Scope = "read:myorg/web-01".parse().unwrap();
        assert!(scope.admits(&"myorg/web-01".parse().unwrap()));
        assert!(!scope.admits(&"myorg/web-011".parse().unwrap()));
        assert!(Scope::read().admits(&"myorg/web-011".parse().unwrap()));
    }

    #[test]
    fn an_empty_or_unknown_scope_never_means_everything() {
        for text in ["", "read:", "read:,", "write", "read:myorg", "read:myorg/web-01,", "READ"] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
        assert!(Scope::read_only([]).is_err());
    }
}
