//! `POST /join`: a machine becomes a host. The join token is the only credential.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::{Extension, Json};
use kheeper_identity::join_token::JoinSecret;
use kheeper_identity::key::PublicKey;
use kheeper_model::api::{JoinRequest, Joined};
use kheeper_store::{JoinMode, NewKey, StoreError};

use super::caller::CallSeen;
use super::problem::ProblemResponse;
use crate::app::App;
use crate::request::audit_events;

pub(crate) async fn join(
    State(app): State<Arc<App>>,
    Extension(seen): Extension<CallSeen>,
    body: Result<Json<JoinRequest>, JsonRejection>,
) -> Result<Json<Joined>, ProblemResponse> {
    let Json(request) = body?;
    let key = parse_public_key(&request.public_key_pem)?;
    let key = NewKey { key_id: key.key_id(), public_key: *key.as_bytes() };
    let key_id = key.key_id.clone();
    let mode = if request.confirm { JoinMode::Confirm } else { JoinMode::Join };
    let joined = match request.secret.parse::<JoinSecret>() {
        Ok(secret) => {
            let joined = app.store.join_from(secret.sha256(), key, mode, Some(seen.from)).await;
            if let Err(error) = &joined {
                audit_events::join_refused(&app, secret.sha256(), &key_id, seen.from, error).await;
            }
            joined
        }
        Err(_) => Err(StoreError::JoinTokenInvalid),
    };
    if let Err(StoreError::JoinTokenInvalid) = &joined {
        app.refusals.next().await;
    }
    Ok(Json(joined?))
}

/// Reads an Ed25519 public key in PEM.
pub(super) fn parse_public_key(pem: &str) -> Result<PublicKey, ProblemResponse> {
    PublicKey::from_spki_pem(pem.as_bytes()).map_err(|error| {
        ProblemResponse::bad_request("bad-public-key", format!("the public key is not usable: {error}"))
    })
}
