//! `GET /whoami`: what the server thinks of the caller.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kheeper_model::Namespace;
use kheeper_model::api::{Subject, Whoami};
use kheeper_store::CallerSubject;

use super::caller::Caller;
use super::grants;
use super::problem::ProblemResponse;
use crate::app::App;

pub(crate) async fn whoami(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Whoami>, ProblemResponse> {
    let grants = match caller.own_namespace() {
        Some(own) => grants::of_host(&app, own).await?,
        None => Vec::new(),
    };
    let record = caller.identity.record;
    let subject = match record.subject {
        CallerSubject::Host { id, namespace: Namespace { org, host }, state, .. } => {
            Subject::Host { id, org, host, state }
        }
        CallerSubject::User { id, name, owns, audits, .. } => Subject::User { id, name, owns, audits },
    };
    Ok(Json(Whoami {
        subject,
        key_id: record.key_id,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        server_time: app.clock.now(),
        grants,
    }))
}
