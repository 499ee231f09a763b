//! `/orgs`: every user may make one, and sees those they own.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use kheeper_model::OrgName;
use kheeper_model::api::{OrgCreate, OrgRecord, OrgSettings};

use super::caller::Caller;
use super::problem::ProblemResponse;
use crate::app::App;

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Result<Json<OrgCreate>, JsonRejection>,
) -> Result<(StatusCode, Json<OrgRecord>), ProblemResponse> {
    caller.user()?;
    let Json(OrgCreate { name }) = body?;
    let org = app.store.create_org(&caller.identity.store_caller(), name).await?;
    app.tokens.forget_all();
    Ok((StatusCode::CREATED, Json(org)))
}

pub(crate) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<OrgName>, PathRejection>,
    body: Result<Json<OrgSettings>, JsonRejection>,
) -> Result<Json<OrgRecord>, ProblemResponse> {
    let Path(org) = path?;
    caller.owner_of(&org)?;
    let Json(settings) = body?;
    Ok(Json(app.store.set_org(&caller.identity.store_caller(), &org, settings).await?))
}

pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Vec<OrgRecord>>, ProblemResponse> {
    caller.user()?;
    let mut orgs = Vec::new();
    for name in caller.orgs()? {
        orgs.extend(app.store.org(&name).await?);
    }
    Ok(Json(orgs))
}
