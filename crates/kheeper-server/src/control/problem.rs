//! Errors of the control API as RFC 9457 problem documents.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kheeper_model::api::Problem;
use kheeper_store::{GrantRefusal, StoreError};

use crate::error::Refusal;

/// A problem, ready to be sent.
#[derive(Debug)]
pub(crate) struct ProblemResponse {
    status: StatusCode,
    kind: &'static str,
    detail: String,
}

impl ProblemResponse {
    /// A problem of this status and kind; `detail` says what happened and what to do.
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into() }
    }

    /// 400.
    pub(crate) fn bad_request(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    /// 403. Also for what is not the caller's, existing or not.
    pub(crate) fn denied(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "access-denied", detail)
    }

    /// 404.
    pub(crate) fn not_found(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, detail)
    }

    /// 409.
    pub(crate) fn conflict(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, detail)
    }
}

impl IntoResponse for ProblemResponse {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: format!("{}{}", Problem::KIND_PREFIX, self.kind),
            title: self.kind.replace('-', " "),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, axum::Json(problem)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<StoreError> for ProblemResponse {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NameTaken => Self::conflict("name-taken", "that name is taken"),
            StoreError::NoSuchHost(host) => Self::not_found("no-such-host", format!("there is no host {host}")),
            StoreError::NoSuchOrg(org) => Self::not_found("no-such-org", format!("there is no org {org}")),
            StoreError::NoSuchUser(user) => Self::not_found("no-such-user", format!("there is no user {user}")),
            StoreError::LastOwner => Self::conflict(
                "last-owner",
                "an org must keep an owner who is let in: make somebody else an owner first",
            ),
            StoreError::UnknownKey(key) => Self::not_found("no-such-key", format!("{key} is no key of yours")),
            StoreError::TooManyKeys => Self::conflict("too-many-keys", error.to_string()),
            StoreError::TooManyMembers => Self::conflict("too-many-members", error.to_string()),
            StoreError::NoSuchGrant(grant) => Self::not_found("no-such-grant", format!("there is no grant {grant}")),
            StoreError::Grant(refusal @ GrantRefusal::TooMany) => {
                Self::conflict("too-many-grants", refusal.to_string())
            }
            StoreError::Grant(refusal) => Self::bad_request("bad-grant", refusal.to_string()),
            StoreError::HostHasBackups { objects, bytes, newest } => Self::conflict(
                "host-has-backups",
                format!(
                    "the host has {objects} current objects of {bytes} bytes (newest: {}): \
                     name the host once more with --with-backups to delete them too",
                    newest.as_deref().unwrap_or("unknown")
                ),
            ),
            StoreError::JoinTokenInvalid => Self::new(
                StatusCode::FORBIDDEN,
                "join-token-invalid",
                "the join token is not known here, or a newer one replaced it; \
                 make another with kheeper hosts create or kheeper hosts rejoin",
            ),
            StoreError::JoinTokenExpired => Self::new(
                StatusCode::FORBIDDEN,
                "join-token-expired",
                "the join token has expired; make another with kheeper hosts rejoin",
            ),
            StoreError::JoinTokenUnused => Self::conflict("join-token-unused", "nobody has joined with this token yet"),
            StoreError::JoinTokenUsed => Self::conflict(
                "join-token-used",
                "another key has joined with this token; if that was not this host, revoke it with kheeper hosts revoke",
            ),
            StoreError::KeyRevoked => {
                Self::conflict("key-revoked", "this key was revoked, and a revoked key is never registered again")
            }
            StoreError::KeyTaken => Self::conflict("key-taken", "this key is registered already"),
            StoreError::HostState(state) => {
                Self::conflict("wrong-state", format!("the host is {state}, and this does not apply to it"))
            }
            StoreError::TimeNotPast(_) => Self::bad_request("time-not-past", error.to_string()),
            StoreError::Denied(why) => Self::denied(why.to_string()),
            StoreError::StorageFull => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage-full", "the server's disk is full")
            }
            StoreError::Quarantined(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "quarantined", error.to_string()),
            StoreError::Unavailable(why) => {
                tracing::error!(%why, "the store is unavailable");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the store cannot answer now; try again")
            }
            _ => {
                tracing::error!(%error, "a control request failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "the server's log says why")
            }
        }
    }
}

impl From<Refusal> for ProblemResponse {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::TokenExpired => "token-expired",
            Refusal::ClockAhead { .. } => "clock-ahead",
            Refusal::Quarantined(_) => "quarantined",
            Refusal::Unavailable(_) => "unavailable",
            Refusal::Unauthenticated(_) | Refusal::SigV4 | Refusal::Denied { .. } => "access-denied",
        };
        let error = refusal.into_s3_error();
        Self::new(error.status(), kind, error.message)
    }
}

impl From<JsonRejection> for ProblemResponse {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "malformed-body", rejection.body_text())
    }
}

impl From<QueryRejection> for ProblemResponse {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request("malformed-query", rejection.body_text())
    }
}

impl From<PathRejection> for ProblemResponse {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request("malformed-path", rejection.body_text())
    }
}
