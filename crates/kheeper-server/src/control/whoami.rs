//! `GET /whoami`: what the server thinks of the caller.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kheeper_model::api::{Subject, Whoami};
use kheeper_store::CallerSubject;

use super::caller::Caller;
use crate::app::App;

pub(crate) async fn whoami(State(app): State<Arc<App>>, Caller(identity): Caller) -> Json<Whoami> {
    let subject = match identity.record.subject {
        CallerSubject::Host { id, namespace, state, .. } => {
            Subject::Host { id, org: namespace.org, host: namespace.host, state }
        }
        CallerSubject::User { id, name, owns, .. } => Subject::User { id, name, owns },
    };
    Json(Whoami {
        subject,
        key_id: identity.record.key_id,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        server_time: app.clock.now(),
    })
}
