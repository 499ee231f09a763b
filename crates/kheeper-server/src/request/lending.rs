//! By which grants an answer was had: each of them is told to the reader, and written down.

use std::collections::BTreeSet;

use kheeper_model::Timestamp;
use kheeper_s3::Operation;
use kheeper_store::{CallerSubject, ListEntry, ListPage, ReadGrant};

use super::authenticate::Identity;

/// The hosts whose keys a listing shows, for who is asked afterwards by what right it did. Left in the response.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShownHosts(BTreeSet<String>);

impl ShownHosts {
    /// Those of a page. A common prefix that ends within a host's name is no host's.
    pub(crate) fn of(page: &ListPage) -> Self {
        let names = page.entries.iter().map(|entry| match entry {
            ListEntry::Object(object) => object.key.as_str(),
            ListEntry::CommonPrefix(prefix) => prefix,
        });
        let mut shown = BTreeSet::new();
        for host in names.filter_map(host_of) {
            if !shown.contains(host) {
                shown.insert(host.to_owned());
            }
        }
        Self(shown)
    }
}

/// The grant by which a host reads what an operation names; none where it is the host's own, or a user who asks. Of
/// several the one that lasts longest, which is why it may have ended.
pub(crate) fn grant_for<'a>(identity: &'a Identity, operation: &Operation) -> Option<&'a ReadGrant> {
    let named = match operation {
        Operation::ListObjectsV1(list) => list.prefix.as_str(),
        Operation::ListObjectsV2(list) => list.prefix.as_str(),
        _ => operation.key()?.as_str(),
    };
    grant_of(identity, host_of(named)?)
}

/// The grants by which an answer was had: that of what was named, and those of what a listing shows whose prefix is
/// shorter than a host's name.
pub(crate) fn grants_used(
    identity: &Identity,
    named: Option<ReadGrant>,
    shown: Option<&ShownHosts>,
    now: Timestamp,
) -> Vec<ReadGrant> {
    let mut used: Vec<ReadGrant> = named.into_iter().collect();
    for grant in shown.into_iter().flat_map(|shown| &shown.0).filter_map(|host| grant_of(identity, host)) {
        if now < grant.ends_at && !used.contains(grant) {
            used.push(grant.clone());
        }
    }
    used
}

fn grant_of<'a>(identity: &'a Identity, host: &str) -> Option<&'a ReadGrant> {
    let CallerSubject::Host { namespace, grants, .. } = &identity.record.subject else { return None };
    let lends = |grant: &&ReadGrant| grant.host.as_str() == host && grant.host != namespace.host;
    grants.iter().filter(lends).max_by_key(|grant| grant.ends_at)
}

fn host_of(name: &str) -> Option<&str> {
    name.split_once('/').map(|(host, _)| host)
}
