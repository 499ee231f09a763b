//! `GET /usage`: what hosts used in a month, and what it costs.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use kheeper_model::api::UsageRecord;
use kheeper_model::{HostName, OrgName};
use kheeper_store::Month;
use serde::Deserialize;

use super::caller::Caller;
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
    let (orgs, host) = match caller.own_namespace() {
        Some(own) => {
            let other_org = query.org.is_some_and(|org| org != own.org);
            let other_host = query.host.is_some_and(|host| host != own.host);
            if other_org || other_host {
                return Err(ProblemResponse::denied("a host sees its own usage only"));
            }
            (vec![own.org.clone()], Some(own.host.clone()))
        }
        None => match query.org {
            Some(org) => {
                caller.viewer_of(&org)?;
                (vec![org], query.host)
            }
            None => (caller.orgs()?, query.host),
        },
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
