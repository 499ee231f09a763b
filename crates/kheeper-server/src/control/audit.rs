//! `GET /audit`: a part of an org's audit chain.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use kheeper_model::OrgName;
use kheeper_model::audit::AuditPage;
use kheeper_model::limits::AUDIT_PAGE_MAX;
use serde::Deserialize;

use super::caller::Caller;
use super::problem::ProblemResponse;
use crate::app::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    org: OrgName,
    after: Option<u64>,
    max: Option<usize>,
}

pub(crate) async fn page(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<AuditPage>, ProblemResponse> {
    let Query(AuditQuery { org, after, max }) = query?;
    caller.viewer_of(&org)?;
    Ok(Json(app.store.audit_page(Some(&org), after.unwrap_or(0), max.unwrap_or(AUDIT_PAGE_MAX)).await?))
}
