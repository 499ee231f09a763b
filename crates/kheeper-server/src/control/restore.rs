//! `POST /hosts/{org}/{host}/restore`: an owner brings back what was, one bounded batch at a time.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use kheeper_model::api::{RestorePage, RestoreRequest};
use kheeper_model::{HostName, Namespace, ObjectKey, OrgName};
use kheeper_store::RestoreTarget;

use super::caller::Caller;
use super::problem::ProblemResponse;
use crate::app::App;

pub(crate) async fn restore(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<(OrgName, HostName)>, PathRejection>,
    body: Result<Json<RestoreRequest>, JsonRejection>,
) -> Result<Json<RestorePage>, ProblemResponse> {
    let Path((org, host)) = path?;
    let namespace = Namespace { org, host };
    caller.owner_of(&namespace.org)?;
    let Json(RestoreRequest { prefix, at, keep_new, dry_run, after }) = body?;
    let prefix = format!("{}{prefix}", namespace.key_prefix());
    let target = match (at, keep_new) {
        (Some(at), false) => RestoreTarget::AsOf(at),
        (Some(at), true) => RestoreTarget::AsOfKeepingNew(at),
        (None, _) => RestoreTarget::Undelete,
    };
    let after = after.map(|after| after.parse::<ObjectKey>()).transpose();
    let after = after.map_err(|error| ProblemResponse::bad_request("bad-cursor", error.to_string()))?;
    let page = if dry_run {
        app.store.plan_restore(&namespace, &prefix, target, after).await?
    } else {
        app.store.restore(&caller.identity.store_caller(), &namespace, &prefix, target, after).await?
    };
    Ok(Json(page))
}
