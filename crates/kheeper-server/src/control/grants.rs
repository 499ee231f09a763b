//! `/grants`: an owner lets one host read another for a time. Both hosts see it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use kheeper_model::api::{GrantCreate, GrantRecord};
use kheeper_model::{GrantId, Namespace, OrgName};

use super::caller::{Caller, Sight, SightQuery};
use super::problem::ProblemResponse;
use crate::app::App;

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Result<Json<GrantCreate>, JsonRejection>,
) -> Result<(StatusCode, Json<GrantRecord>), ProblemResponse> {
    let Json(GrantCreate { org, host, to, secs }) = body?;
    caller.owner_of(&org)?;
    let of = Namespace { org, host };
    let grant = app.store.create_grant(&caller.identity.store_caller(), &of, &to, secs).await?;
    app.tokens.forget_all();
    Ok((StatusCode::CREATED, Json(grant)))
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<SightQuery>, QueryRejection>,
) -> Result<Json<Vec<GrantRecord>>, ProblemResponse> {
    let Query(SightQuery { org }) = query?;
    let orgs = match caller.sight(org, "a host sees the grants that concern it only")? {
        Sight::Own(own) => return Ok(Json(of_host(&app, own).await?)),
        Sight::Orgs(orgs) => orgs,
    };
    let mut grants = Vec::new();
    for org in orgs {
        grants.extend(app.store.grants(&org).await?);
    }
    Ok(Json(grants))
}

/// The grants that concern a host: what it may read, and who may read it.
pub(super) async fn of_host(app: &App, own: &Namespace) -> Result<Vec<GrantRecord>, ProblemResponse> {
    let mut grants = app.store.grants(&own.org).await?;
    grants.retain(|grant| grant.host == own.host || grant.to == own.host);
    Ok(grants)
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<(OrgName, GrantId)>, PathRejection>,
) -> Result<Json<GrantRecord>, ProblemResponse> {
    let Path((org, id)) = path?;
    caller.owner_of(&org)?;
    let grant = app.store.delete_grant(&caller.identity.store_caller(), &org, &id).await?;
    app.tokens.forget_all();
    Ok(Json(grant))
}
