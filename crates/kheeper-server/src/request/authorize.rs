//! What the caller may do with what it named: a handle that cannot name anything else, or 403.

use std::collections::BTreeSet;

use http::request::Parts;
use kheeper_model::api::HostState;
use kheeper_model::{HostName, ObjectKey, OrgName, Timestamp};
use kheeper_s3::operation::CopySource;
use kheeper_s3::path::{Target, parse_path};
use kheeper_s3::{Operation, OperationClass, OperationKind, S3Error, S3ErrorCode};
use kheeper_store::{CallerSubject, HostStore, ReadGrant, ReadScope, ReadStore, Store, StoreError};

use super::authenticate::Identity;
use super::lending::grant_for;
use crate::error::store_error;

/// What a handler gets to work with. There is no way from one of these to a namespace it was not made for.
pub(crate) enum Access {
    /// Nothing but the names of the orgs that the caller sees.
    Orgs(Vec<OrgName>),
    /// Nothing but the fact that the bucket is the caller's org.
    Bucket,
    /// Objects to read.
    Read(ReadStore),
    /// One namespace, to read and write.
    Write(HostStore),
    /// One namespace to write, and what a copy may read.
    Copy {
        /// Where the copy goes.
        target: HostStore,
        /// Where it comes from.
        source: ReadStore,
    },
}

/// Decides. The answer is the same whether what was named exists or not. `at` is when the caller looks at, if not now.
pub(crate) fn authorize(
    store: &Store,
    identity: &Identity,
    operation: &Operation,
    now: Timestamp,
    at: Option<Timestamp>,
) -> Result<Access, S3Error> {
    if at.is_some() && matches!(identity.record.subject, CallerSubject::Host { .. }) {
        // Whoever took a host over must not learn what it has forgotten, nor mistake the past for what is there.
        return Err(denied("a host sees what is current, and its owner sees its history"));
    }
    let Some(bucket) = operation.bucket() else {
        return Ok(Access::Orgs(orgs(identity)));
    };
    let scope = read_scope(identity, bucket, now)?;
    match operation.kind() {
        OperationKind::HeadBucket
        | OperationKind::CreateBucket
        | OperationKind::DeleteBucket
        | OperationKind::GetBucketLocation
        | OperationKind::GetBucketVersioning => return Ok(Access::Bucket),
        _ => {}
    }
    match operation {
        // Uploads belong to who writes: their listing names ids that complete and abort them.
        Operation::ListMultipartUploads(list) => {
            may_list(&standing_scope(identity, bucket)?, &list.prefix)?;
            own_namespace(store, identity).map(Access::Write)
        }
        Operation::ListParts(list) => {
            let own = own_namespace(store, identity)?;
            owns(&own, Some(&list.key))?;
            Ok(Access::Write(own))
        }
        Operation::ListObjectsV1(list) => {
            may_list(&scope, &list.prefix).map_err(|error| ended(identity, operation, now).unwrap_or(error))?;
            reader(store, scope, at).map(Access::Read)
        }
        Operation::ListObjectsV2(list) => {
            may_list(&scope, &list.prefix).map_err(|error| ended(identity, operation, now).unwrap_or(error))?;
            reader(store, scope, at).map(Access::Read)
        }
        Operation::GetObject(_)
        | Operation::HeadObject(_)
        | Operation::GetObjectAttributes(_)
        | Operation::GetObjectTagging(_) => {
            holds(&scope, operation.key()).map_err(|error| ended(identity, operation, now).unwrap_or(error))?;
            reader(store, scope, at).map(Access::Read)
        }
        Operation::CopyObject(_) | Operation::UploadPartCopy(_) => {
            let target = writer(store, identity)?;
            owns(&target, operation.key())?;
            let source = operation.copy_source().ok_or(denied("a copy without a source"))?;
            // A grant is for reading: what it lends is not copied into the host's own namespace by the store.
            let scope = standing_scope(identity, &source.bucket)?;
            holds(&scope, Some(&source.key))?;
            Ok(Access::Copy { target, source: store.read_store(scope) })
        }
        // The keys of DeleteObjects are in its body: the handle refuses the first that it does not own, before any.
        Operation::DeleteObjects(_) => writer(store, identity).map(Access::Write),
        _ => {
            let target = writer(store, identity)?;
            owns(&target, operation.key())?;
            Ok(Access::Write(target))
        }
    }
}

fn denied(why: &str) -> S3Error {
    S3Error::new(S3ErrorCode::AccessDenied).with_message(format!("Access denied: {why}."))
}

fn orgs(identity: &Identity) -> Vec<OrgName> {
    let orgs = match &identity.record.subject {
        CallerSubject::Host { namespace, .. } => vec![namespace.org.clone()],
        CallerSubject::User { owns, .. } => owns.clone(),
    };
    match identity.scope.as_ref().and_then(|scope| scope.namespaces()) {
        Some(namespaces) => orgs.into_iter().filter(|org| namespaces.iter().any(|n| n.org == *org)).collect(),
        None => orgs,
    }
}

/// What of `bucket` the caller may read now, by grants too; 403 when it is nothing.
fn read_scope(identity: &Identity, bucket: &OrgName, now: Timestamp) -> Result<ReadScope, S3Error> {
    scope_with(identity, bucket, |grant| now < grant.ends_at)
}

/// What of `bucket` the caller may read without any grant; 403 when it is nothing.
fn standing_scope(identity: &Identity, bucket: &OrgName) -> Result<ReadScope, S3Error> {
    scope_with(identity, bucket, |_| false)
}

fn scope_with(
    identity: &Identity,
    bucket: &OrgName,
    counts: impl Fn(&ReadGrant) -> bool,
) -> Result<ReadScope, S3Error> {
    let scope = match &identity.record.subject {
        CallerSubject::Host { namespace, grants, .. } if namespace.org == *bucket => {
            let granted = grants.iter().filter(|grant| counts(grant)).map(|grant| grant.host.clone());
            ReadScope::Hosts(bucket.clone(), granted.chain([namespace.host.clone()]).collect())
        }
        CallerSubject::User { owns, .. } if owns.contains(bucket) => ReadScope::Org(bucket.clone()),
        _ => return Err(denied("the bucket is not yours")),
    };
    let Some(narrowed) = identity.scope.as_ref().and_then(|scope| scope.namespaces()) else {
        return Ok(scope);
    };
    let admits = |host: &HostName| match &scope {
        ReadScope::Org(_) => true,
        ReadScope::Hosts(_, hosts) => hosts.contains(host),
    };
    let hosts: BTreeSet<HostName> =
        narrowed.iter().filter(|n| n.org == *bucket && admits(&n.host)).map(|n| n.host.clone()).collect();
    if hosts.is_empty() {
        Err(denied("the token is for other hosts"))
    } else {
        Ok(ReadScope::Hosts(bucket.clone(), hosts))
    }
}

/// Whether a key may be read now: asked again while a long answer is on its way.
pub(crate) fn may_read(identity: &Identity, bucket: &OrgName, key: &ObjectKey, now: Timestamp) -> bool {
    read_scope(identity, bucket, now).is_ok_and(|scope| scope.holds(key))
}

/// What is told of a read that a grant allowed until lately: an operator in the middle of a restore has to know.
fn ended(identity: &Identity, operation: &Operation, now: Timestamp) -> Option<S3Error> {
    let grant = grant_for(identity, operation).filter(|grant| grant.ends_at <= now)?;
    Some(denied(&format!("the grant to read {} ended at {}", grant.host, grant.ends_at)))
}

/// What lies in the scope, now or as of a time.
fn reader(store: &Store, scope: ReadScope, at: Option<Timestamp>) -> Result<ReadStore, S3Error> {
    match at {
        None => Ok(store.read_store(scope)),
        Some(at) => store.read_store_at(scope, at).map_err(|error| store_error(&error)),
    }
}

/// The caller's own namespace, to write to.
fn writer(store: &Store, identity: &Identity) -> Result<HostStore, S3Error> {
    match &identity.record.subject {
        CallerSubject::Host { state: HostState::ReadOnly, .. } => Err(store_error(&StoreError::ReadOnlyHost)),
        _ => own_namespace(store, identity),
    }
}

/// The caller's own namespace. A host that may only read still sees its uploads.
fn own_namespace(store: &Store, identity: &Identity) -> Result<HostStore, S3Error> {
    if identity.scope.is_some() {
        return Err(denied("this token is for reading only"));
    }
    match &identity.record.subject {
        CallerSubject::Host { namespace, namespace_id, .. } => {
            Ok(store.host_store(identity.store_caller(), namespace.clone(), namespace_id.clone()))
        }
        CallerSubject::User { .. } => Err(denied("owners read, and only the host itself writes its backups")),
    }
}

/// What is told of a request that did not parse: what was wrong with it, if all that it named is the caller's, and 403 if
/// not. Else an upload id could be tried on a foreign key, and the answer would depend on the id.
pub(crate) fn explain(identity: &Identity, head: &Parts, now: Timestamp, error: S3Error) -> S3Error {
    let allowed = match parse_path(head.uri.path()) {
        Ok(Target::Object { bucket, key }) => {
            read_scope(identity, &bucket, now).and_then(|scope| holds(&scope, Some(&key)))
        }
        Ok(Target::Bucket { name }) => read_scope(identity, &name, now).map(drop),
        Ok(Target::Service) | Err(_) => Ok(()),
    };
    let allowed = allowed.and_then(|()| match CopySource::named(&head.headers) {
        Some(source) => standing_scope(identity, &source.bucket).and_then(|scope| holds(&scope, Some(&source.key))),
        None => Ok(()),
    });
    allowed.err().unwrap_or(error)
}

fn owns(target: &HostStore, key: Option<&ObjectKey>) -> Result<(), S3Error> {
    match key {
        Some(key) if target.namespace().owns(key) => Ok(()),
        _ => Err(denied("the key is not in this host's own namespace")),
    }
}

fn holds(scope: &ReadScope, key: Option<&ObjectKey>) -> Result<(), S3Error> {
    match key {
        Some(key) if scope.holds(key) => Ok(()),
        _ => Err(denied("the key is not yours to read")),
    }
}

/// Whether a listing of `prefix` could show anything of the scope. A proper parent of it (`""`, `web-0`) may be listed,
/// and shows what is in the scope; a prefix beside it is denied.
fn may_list(scope: &ReadScope, prefix: &str) -> Result<(), S3Error> {
    let overlaps = match scope {
        ReadScope::Org(_) => true,
        ReadScope::Hosts(_, hosts) => hosts.iter().any(|host| {
            let own = format!("{host}/");
            prefix.starts_with(&own) || own.starts_with(prefix)
        }),
    };
    if overlaps { Ok(()) } else { Err(denied("the prefix is not yours to list")) }
}

/// What a class of operations is called in metrics.
pub(crate) fn class_name(class: OperationClass) -> &'static str {
    match class {
        OperationClass::Write => "write",
        OperationClass::Read => "read",
        OperationClass::List => "list",
        OperationClass::Delete => "delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> ReadScope {
        let hosts = BTreeSet::from([name.parse().expect("a name")]);
        ReadScope::Hosts("myorg".parse().expect("a name"), hosts)
    }

    #[test]
    fn a_host_lists_its_own_prefix_and_proper_parents_of_it() {
        for prefix in ["", "w", "web-0", "web-01", "web-01/", "web-01/wal_005/"] {
            assert!(may_list(&host("web-01"), prefix).is_ok(), "{prefix:?}");
        }
        for prefix in ["web-011", "web-011/", "web-02/", "web-01-", "/", "../", "web-0/"] {
            assert!(may_list(&host("web-01"), prefix).is_err(), "{prefix:?}");
        }
    }

    #[test]
    fn an_owner_lists_anything_of_the_org() {
        let org = ReadScope::Org("myorg".parse().expect("a name"));
        assert!(may_list(&org, "web-02/x").is_ok());
        assert!(may_list(&org, "").is_ok());
    }
}
