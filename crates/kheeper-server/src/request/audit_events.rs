//! Which requests leave a word in the audit log although they change nothing, and in whose.

use std::net::IpAddr;

use http::{Method, StatusCode};
use kheeper_model::audit::AuditAct;
use kheeper_model::{KeyId, Namespace, OrgName};
use kheeper_s3::path::{Target, parse_path};
use kheeper_s3::{S3Error, S3ErrorCode};
use kheeper_store::{AuditBy, CallerRecord, CallerSubject, ReadGrant, StoreError};

use super::audit_trail::{Budget, Event};
use super::authenticate::Identity;
use crate::app::App;
use crate::error::Refusal;

/// A request of somebody who is not let in at all. Of those whom nobody knows only the server's own chain speaks.
pub(crate) fn refused(app: &App, refusal: &Refusal, from: IpAddr, method: &Method, path: &str) {
    match refusal {
        Refusal::Denied { who, .. } => note_denied(app, who, Some(from), method.as_str(), path),
        Refusal::Unauthenticated(_) | Refusal::SigV4 => {
            let event = denial(AuditBy::Nobody(Some(from)), "the server".to_owned(), method.as_str());
            app.audit.note(None, Budget::Strangers, event, path);
        }
        Refusal::TokenExpired | Refusal::ClockAhead { .. } | Refusal::Quarantined(_) | Refusal::Unavailable(_) => {}
    }
}

/// A call of the control API by somebody who may make others.
pub(crate) fn denied(app: &App, identity: &Identity, method: &Method, path: &str) {
    note_denied(app, &identity.record, identity.from, method.as_str(), path);
}

/// A request of somebody who may do other things: one that they may not make, or that would have changed what nobody can,
/// such as versions, lifecycles and locks. Of those that only ask, clients that look around make many, and they harm nothing.
pub(crate) fn refused_to(app: &App, identity: &Identity, error: &S3Error, method: &Method, path: &str) {
    let operation = match error.code {
        _ if error.status() == StatusCode::FORBIDDEN => method.to_string(),
        S3ErrorCode::NotImplemented if !method.is_safe() => format!("{method}: {}", error.message),
        _ => return,
    };
    note_denied(app, &identity.record, identity.from, &operation, path);
}

/// A write that hid another version: many by one host in a short time are what ransomware does.
pub(crate) fn overwritten(app: &App, identity: &Identity, operation: &str, path: &str) {
    let (Some(org), on) = target(path) else { return };
    let event = Event {
        act: AuditAct::ObjectsOverwrite,
        by: by(&identity.record, identity.from),
        on,
        operation: operation.to_owned(),
        denied: false,
    };
    app.audit.note(Some(&org), Budget::Overwrites, event, path);
}

/// A read of what a grant lends.
pub(crate) fn lent(app: &App, identity: &Identity, grant: &ReadGrant, operation: &str, path: &str) {
    let CallerSubject::Host { namespace, .. } = &identity.record.subject else { return };
    let lender = Namespace { org: namespace.org.clone(), host: grant.host.clone() };
    let event = Event {
        act: AuditAct::GrantUse,
        by: by(&identity.record, identity.from),
        on: format!("{lender} by {}", grant.id),
        operation: operation.to_owned(),
        denied: false,
    };
    app.audit.note(Some(&namespace.org), Budget::Grants, event, path);
}

/// A machine that showed a join token and did not become a host by it: the org that made the token is told, whoever has
/// it now.
pub(crate) async fn join_refused(app: &App, secret_sha256: [u8; 32], key: &KeyId, from: IpAddr, why: &StoreError) {
    let refused = matches!(
        why,
        StoreError::JoinTokenUsed
            | StoreError::JoinTokenExpired
            | StoreError::HostState(_)
            | StoreError::KeyRevoked
            | StoreError::KeyTaken
    );
    if !refused {
        return;
    }
    let of = match app.store.host_of_join_token(secret_sha256).await {
        Ok(Some(of)) => of,
        Ok(None) => return,
        Err(error) => return tracing::warn!(%error, "failed to find out whose join token was refused"),
    };
    let event = Event {
        act: AuditAct::HostJoin,
        by: AuditBy::Joining(Some(from)),
        on: of.to_string(),
        operation: why.to_string(),
        denied: true,
    };
    app.audit.note(Some(&of.org), Budget::Joins, event, &format!("key {key}"));
}

/// In the chains of the caller's own orgs, and of the org that was named.
fn note_denied(app: &App, who: &CallerRecord, from: Option<IpAddr>, operation: &str, path: &str) {
    let own: Vec<OrgName> = match &who.subject {
        CallerSubject::Host { namespace, .. } => vec![namespace.org.clone()],
        CallerSubject::User { owns, audits, .. } => owns.iter().chain(audits).cloned().collect(),
    };
    let (named, on) = target(path);
    for org in &own {
        app.audit.note(Some(org), Budget::Own, denial(by(who, from), on.clone(), operation), path);
    }
    if let Some(org) = named.filter(|org| !own.contains(org)) {
        app.audit.note(Some(&org), Budget::Strangers, denial(by(who, from), on, operation), path);
    }
}

fn denial(by: AuditBy, on: String, operation: &str) -> Event {
    Event { act: AuditAct::RequestDenied, by, on, operation: operation.to_owned(), denied: true }
}

fn by(who: &CallerRecord, from: Option<IpAddr>) -> AuditBy {
    AuditBy::from(&who.caller(from))
}

/// The org that a path names, and as much of the path as events that are alike share.
fn target(path: &str) -> (Option<OrgName>, String) {
    if path.starts_with("/-/") {
        let mut segments = path.split('/').skip(5);
        let named = segments.next().and_then(|org| org.parse().ok());
        return (named, path.split('/').take(5).collect::<Vec<_>>().join("/"));
    }
    match parse_path(path) {
        Ok(Target::Object { bucket, key }) => {
            let host = key.as_str().split('/').next().unwrap_or_default();
            let on = format!("{bucket}/{host}");
            (Some(bucket), on)
        }
        Ok(Target::Bucket { name }) => (Some(name.clone()), name.to_string()),
        Ok(Target::Service) | Err(_) => (None, "/".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_org_and_what_is_alike_of_it() {
        let of = |path| {
            let (org, on) = target(path);
            (org.map(|org| org.to_string()), on)
        };
        assert_eq!(of("/myorg/web-01/a/b"), (Some("myorg".into()), "myorg/web-01".into()));
        assert_eq!(of("/myorg"), (Some("myorg".into()), "myorg".into()));
        assert_eq!(of("/-/api/v1/hosts/myorg/web-01"), (Some("myorg".into()), "/-/api/v1/hosts".into()));
        assert_eq!(of("/-/api/v1/usage"), (None, "/-/api/v1/usage".into()));
        assert_eq!(of("/NOT/x"), (None, "/".into()));
    }
}
