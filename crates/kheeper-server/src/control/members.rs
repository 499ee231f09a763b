//! `/orgs/{org}/members`: who owns an org, and who looks after it without seeing its objects.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use kheeper_model::api::{MemberPut, MemberRecord};
use kheeper_model::{OrgName, UserId};

use super::caller::Caller;
use super::problem::ProblemResponse;
use crate::app::App;

type Members = Result<Json<Vec<MemberRecord>>, ProblemResponse>;

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<OrgName>, PathRejection>,
) -> Members {
    let Path(org) = path?;
    caller.viewer_of(&org)?;
    Ok(Json(app.store.members(&org).await?))
}

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<(OrgName, UserId)>, PathRejection>,
    body: Result<Json<MemberPut>, JsonRejection>,
) -> Members {
    let Path((org, user)) = path?;
    caller.owner_of(&org)?;
    let Json(MemberPut { role }) = body?;
    let members = app.store.put_member(Some(&caller.identity.store_caller()), &org, &user, role).await?;
    app.tokens.forget_all();
    Ok(Json(members))
}

pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<(OrgName, UserId)>, PathRejection>,
) -> Members {
    let Path((org, user)) = path?;
    caller.owner_of(&org)?;
    let members = app.store.remove_member(&caller.identity.store_caller(), &org, &user).await?;
    app.tokens.forget_all();
    Ok(Json(members))
}
