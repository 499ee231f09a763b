//! `/keys` and `/hosts/{org}/{host}/keys`: people look after their own keys, and a host changes its own.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use kheeper_model::api::{HostRecord, KeyAdd, KeyRecord, KeysRetire};
use kheeper_model::{HostName, KeyId, Namespace, OrgName};
use kheeper_store::{NewKey, StoreError};

use super::caller::Caller;
use super::join::parse_public_key;
use super::problem::ProblemResponse;
use crate::app::App;

type HostPath = Result<Path<(OrgName, HostName)>, PathRejection>;

/// The caller's own keys, revoked ones included.
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Vec<KeyRecord>>, ProblemResponse> {
    if let Some(own) = caller.own_namespace() {
        let host = app.store.host(own).await?.ok_or_else(|| StoreError::NoSuchHost(own.clone()))?;
        return Ok(Json(host.keys));
    }
    let id = caller.user()?;
    let user = app.store.user(id).await?.ok_or_else(|| StoreError::NoSuchUser(id.clone()))?;
    Ok(Json(user.keys))
}

pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<KeyId>, PathRejection>,
) -> Result<Json<KeyRecord>, ProblemResponse> {
    let Path(key_id) = path?;
    caller.user()?;
    let key = app.store.revoke_own_key(&caller.identity.store_caller(), &key_id).await?;
    app.tokens.forget_all();
    Ok(Json(key))
}

pub(crate) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: HostPath,
    body: Result<Json<KeyAdd>, JsonRejection>,
) -> Result<Json<HostRecord>, ProblemResponse> {
    let namespace = own(&caller, path)?;
    let Json(KeyAdd { public_key_pem }) = body?;
    let key = parse_public_key(&public_key_pem)?;
    let key = NewKey { key_id: key.key_id(), public_key: *key.as_bytes() };
    Ok(Json(app.store.add_host_key(&caller.identity.store_caller(), &namespace, key).await?))
}

pub(crate) async fn retire(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: HostPath,
    body: Result<Json<KeysRetire>, JsonRejection>,
) -> Result<Json<HostRecord>, ProblemResponse> {
    let namespace = own(&caller, path)?;
    let Json(KeysRetire { secs }) = body?;
    let host = app.store.retire_host_keys(&caller.identity.store_caller(), &namespace, secs).await?;
    app.tokens.forget_all();
    Ok(Json(host))
}

/// The host that is named, if it is the one that calls with all its rights.
fn own(caller: &Caller, path: HostPath) -> Result<Namespace, ProblemResponse> {
    let Path((org, host)) = path?;
    let namespace = Namespace { org, host };
    if caller.own_namespace() == Some(&namespace) && caller.identity.scope.is_none() {
        Ok(namespace)
    } else {
        Err(ProblemResponse::denied("a host changes its own keys, and nobody else does"))
    }
}
