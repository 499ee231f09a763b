//! What a caller may read: hosts of one org.

use std::collections::BTreeSet;

use kheeper_model::{HostName, ObjectKey, OrgName};

use crate::index::Range;

/// The namespaces of one org that a caller may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadScope {
    /// All of the org: an owner's.
    Org(OrgName),
    /// Some hosts of the org: a host's own, or what a narrowed token names.
    Hosts(OrgName, BTreeSet<HostName>),
}

impl ReadScope {
    /// The org, which is the bucket.
    pub fn org(&self) -> &OrgName {
        match self {
            Self::Org(org) | Self::Hosts(org, _) => org,
        }
    }

    /// Whether a key lies in it. `web-01` does not hold `web-011/x`, nor the key `web-01` itself.
    pub fn holds(&self, key: &ObjectKey) -> bool {
        let Some((host, _)) = key.as_str().split_once('/') else {
            return false;
        };
        match self {
            Self::Org(_) => true,
            Self::Hosts(_, hosts) => hosts.iter().any(|name| name.as_str() == host),
        }
    }

    /// The ranges of keys that begin with `prefix` and lie in the scope: ascending, apart.
    pub(crate) fn ranges(&self, prefix: &[u8]) -> Vec<Range> {
        match self {
            Self::Org(_) => vec![Range::of_prefix(prefix)],
            Self::Hosts(_, hosts) => {
                // The order of keys is not the order of names: `web-01/` sorts before `web/`.
                let mut own: Vec<Vec<u8>> = hosts.iter().map(|host| format!("{host}/").into_bytes()).collect();
                own.sort();
                own.into_iter()
                    .filter_map(|own| {
                        if own.starts_with(prefix) {
                            Some(Range::of_prefix(&own))
                        } else {
                            prefix.starts_with(&own).then(|| Range::of_prefix(prefix))
                        }
                    })
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> ReadScope {
        ReadScope::Hosts("myorg".parse().unwrap(), names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn a_scope_of_hosts_holds_their_keys_and_no_others() {
        let scope = hosts(&["web-01"]);
        let holds = |key: &str| scope.holds(&key.parse().unwrap());
        assert!(holds("web-01/a"));
        for foreign in ["web-011/a", "web-0/a", "web-01", "/web-01/a", "web-01-/a"] {
            assert!(!holds(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_parent_prefix_is_narrowed_to_what_the_scope_holds() {
        let scope = hosts(&["web", "web-01"]);
        let starts = |prefix: &[u8]| -> Vec<Vec<u8>> { scope.ranges(prefix).into_iter().map(|r| r.start).collect() };
        assert_eq!(starts(b""), [b"web-01/".to_vec(), b"web/".to_vec()]);
        assert_eq!(starts(b"web-0"), [b"web-01/".to_vec()]);
        assert_eq!(starts(b"web/x"), [b"web/x".to_vec()]);
        assert!(starts(b"db").is_empty());
        assert!(starts(b"web-011/").is_empty());
    }
}
