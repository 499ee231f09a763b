//! `/hosts`: an owner makes, lists, ends and revives hosts; a host sees itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kheeper_identity::join_token::{JoinSecret, JoinToken};
use kheeper_model::api::{HostCreate, HostInvitation, HostRecord, HostSettings};
use kheeper_model::{HostName, Namespace, OrgName, Timestamp, limits};
use kheeper_store::{DeleteHost, HostCredential, NewJoinToken, NewKey, StoreError};
use serde::Deserialize;

use super::caller::{Caller, Sight, SightQuery};
use super::join::parse_public_key;
use super::problem::ProblemResponse;
use crate::app::App;

type HostPath = Result<Path<(OrgName, HostName)>, PathRejection>;

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Result<Json<HostCreate>, JsonRejection>,
) -> Result<(StatusCode, Json<HostInvitation>), ProblemResponse> {
    let Json(request) = body?;
    caller.owner_of(&request.org)?;
    let namespace = Namespace { org: request.org, host: request.host };
    let (credential, token) = match request.public_key_pem {
        Some(pem) => {
            let key = parse_public_key(&pem)?;
            (HostCredential::PublicKey(NewKey { key_id: key.key_id(), public_key: *key.as_bytes() }), None)
        }
        None => {
            let (token, shown) = join_token(&app, &namespace);
            (HostCredential::JoinToken(token), Some(shown))
        }
    };
    let host = app.store.create_host(&caller.identity.store_caller(), &namespace, credential).await?;
    Ok((StatusCode::CREATED, Json(invitation(host, token))))
}

/// A fresh join token for `namespace`: what the store keeps of it, and what the owner is shown, once.
fn join_token(app: &App, namespace: &Namespace) -> (NewJoinToken, ShownJoinToken) {
    let expires_at = app.clock.now().plus_secs(limits::JOIN_TOKEN_TTL_SECS);
    let secret = JoinSecret::random();
    let kept = NewJoinToken { secret_sha256: secret.sha256(), expires_at };
    let token = JoinToken { origin: app.origin().clone(), namespace: namespace.clone(), pin: app.ca_pin, secret };
    (kept, ShownJoinToken { text: token.reveal(), expires_at })
}

struct ShownJoinToken {
    text: String,
    expires_at: Timestamp,
}

fn invitation(host: HostRecord, token: Option<ShownJoinToken>) -> HostInvitation {
    let join_token_expires_at = token.as_ref().map(|token| token.expires_at);
    HostInvitation { host, join_token: token.map(|token| token.text), join_token_expires_at }
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<SightQuery>, QueryRejection>,
) -> Result<Json<Vec<HostRecord>>, ProblemResponse> {
    let Query(SightQuery { org }) = query?;
    let orgs = match caller.sight(org, "a host sees itself only")? {
        Sight::Own(own) => return Ok(Json(vec![find(&app, own).await?])),
        Sight::Orgs(orgs) => orgs,
    };
    let mut hosts = Vec::new();
    for org in orgs {
        hosts.extend(app.store.hosts(&org).await?);
    }
    Ok(Json(hosts))
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: HostPath,
) -> Result<Json<HostRecord>, ProblemResponse> {
    let Path((org, host)) = path?;
    let namespace = Namespace { org, host };
    caller.may_see(&namespace)?;
    Ok(Json(find(&app, &namespace).await?))
}

async fn find(app: &App, namespace: &Namespace) -> Result<HostRecord, ProblemResponse> {
    match app.store.host(namespace).await? {
        Some(host) => Ok(host),
        None => Err(StoreError::NoSuchHost(namespace.clone()).into()),
    }
}

/// `POST /hosts/{org}/{host}/{action}`: one file, because each action is one call of the store.
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<(OrgName, HostName, String)>, PathRejection>,
) -> Result<Response, ProblemResponse> {
    let Path((org, host, action)) = path?;
    let namespace = Namespace { org, host };
    let by = caller.identity.store_caller();
    // Resuming is the host's own act: run on the machine, it says that somebody looked at it.
    if action == "resume" && caller.own_namespace() == Some(&namespace) {
        let host = app.store.resume_host(&by, &namespace).await?;
        app.tokens.forget_all();
        return Ok(Json(host).into_response());
    }
    caller.owner_of(&namespace.org)?;
    let host = match action.as_str() {
        "rejoin" => {
            let (token, shown) = join_token(&app, &namespace);
            let host = app.store.rejoin_host(&by, &namespace, token).await?;
            return Ok(Json(invitation(host, Some(shown))).into_response());
        }
        "resume" => app.store.resume_host(&by, &namespace).await?,
        "disable" => app.store.disable_host(&by, &namespace).await?,
        "enable" => app.store.enable_host(&by, &namespace).await?,
        "revoke" => app.store.revoke_host_keys(&by, &namespace).await?,
        "undelete" => app.store.undelete_host(&by, &namespace).await?,
        _ => return Err(ProblemResponse::not_found("no-such-route", format!("hosts have no action {action:?}"))),
    };
    app.tokens.forget_all();
    Ok(Json(host).into_response())
}

/// `POST /hosts/{org}/{host}/set`: the owner's word on window, quota and overwriting.
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: HostPath,
    body: Result<Json<HostSettings>, JsonRejection>,
) -> Result<Json<HostRecord>, ProblemResponse> {
    let Path((org, host)) = path?;
    let namespace = Namespace { org, host };
    caller.owner_of(&namespace.org)?;
    let Json(settings) = body?;
    Ok(Json(app.store.set_host(&caller.identity.store_caller(), &namespace, settings).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteQuery {
    with_backups: Option<HostName>,
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: HostPath,
    query: Result<Query<DeleteQuery>, QueryRejection>,
) -> Result<Json<HostRecord>, ProblemResponse> {
    let Path((org, host)) = path?;
    let namespace = Namespace { org, host };
    caller.owner_of(&namespace.org)?;
    let Query(query) = query?;
    let with_backups = match query.with_backups {
        None => DeleteHost::IfEmpty,
        Some(name) if name == namespace.host => DeleteHost::WithBackups,
        Some(name) => {
            let detail = format!("--with-backups names {name}, and the host is {}", namespace.host);
            return Err(ProblemResponse::bad_request("name-mismatch", detail));
        }
    };
    Ok(Json(app.store.delete_host(&caller.identity.store_caller(), &namespace, with_backups).await?))
}
