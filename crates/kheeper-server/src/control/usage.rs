//! `GET /usage`: what hosts used in a month, and what it costs.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use kheeper_model::api::UsageRecord;
use kheeper_model::{HostName, OrgName};
use kheeper_store::Month;
use serde::Deserialize;

use super::caller::{Caller, Sight};
use super::problem::ProblemResponse;
use crate::app::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    org: Option<OrgName>,
    host: Option<HostName>,
    month: Option<String>,
}

pub(crate) async fn usage(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Result<Json<Vec<UsageRecord>>, ProblemResponse> {
    let Query(query) = query?;
    let month = match &query.month {
        None => None,
        Some(text) => text
            .parse::<Month>()
            .map(Some)
            .map_err(|_| ProblemResponse::bad_request("bad-month", format!("{text:?} is no month such as 2026-11")))?,
    };
    let host_sees = "a host sees its own usage only";
    let (orgs, host) = match caller.sight(query.org, host_sees)? {
        Sight::Own(own) if query.host.as_ref().is_some_and(|host| *host != own.host) => {
            return Err(ProblemResponse::denied(host_sees));
        }
        Sight::Own(own) => (vec![own.org.clone()], Some(own.host.clone())),
        Sight::Orgs(orgs) => (orgs, query.host),
    };
    let mut records = Vec::new();
    for org in orgs {
        records.extend(app.store.usage(&org, host.as_ref(), month).await?);
    }
    if let Some(prices) = &app.prices {
        for record in &mut records {
            record.cost = Some(prices.cost(record));
        }
    }
    Ok(Json(records))
}
