//! A namespace: the keys one host owns.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{HostName, NameError, ObjectKey, OrgName};

/// The keys under `<org>/<host>/`: what one host owns, and all it can touch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Namespace {
    /// The org, which is the bucket.
    pub org: OrgName,
    /// The host, which is the first segment of each of its keys.
    pub host: HostName,
}

impl Namespace {
    /// The prefix that every key of the namespace begins with: `host/`.
    pub fn key_prefix(&self) -> String {
        format!("{}/", self.host)
    }

    /// Whether `key` lies inside the namespace. `web-01` does not own `web-011/x`, nor `web-01` itself.
    pub fn owns(&self, key: &ObjectKey) -> bool {
        key.as_str().strip_prefix(self.host.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.host)
    }
}

/// Why `org/host` did not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    /// No slash, or more than one.
    #[error("expected ORG/HOST, for instance myorg/web-01")]
    Shape,
    /// The org's name is not one.
    #[error("invalid org name: {0}")]
    Org(NameError),
    /// The host's name is not one.
    #[error("invalid host name: {0}")]
    Host(NameError),
}

impl FromStr for Namespace {
    type Err = NamespaceError;

    fn from_str(text: &str) -> Result<Self, NamespaceError> {
        let (org, host) = text.split_once('/').ok_or(NamespaceError::Shape)?;
        if host.contains('/') {
            return Err(NamespaceError::Shape);
        }
        Ok(Self { org: org.parse().map_err(NamespaceError::Org)?, host: host.parse().map_err(NamespaceError::Host)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_01_does_not_own_the_keys_of_web_011() {
        let namespace: Namespace = "myorg/web-01".parse().expect("valid");
        let owns = |key: &str| namespace.owns(&key.parse().expect("valid"));
        assert!(owns("web-01/a"));
        assert!(owns("web-01/"));
        assert!(!owns("web-011/a"));
        assert!(!owns("web-01"));
        assert!(!owns("web-0/1"));
        assert!(!owns("/web-01/a"));
    }
}
