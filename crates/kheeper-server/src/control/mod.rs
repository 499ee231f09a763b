//! The control API, `/-/api/v1/…`: JSON in and out, errors as RFC 9457 problems, described by `openapi.json`.

mod audit;
mod caller;
mod grants;
mod hosts;
mod join;
mod keys;
mod members;
mod objects;
mod orgs;
mod problem;
mod restore;
mod usage;
mod whoami;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post, put};
use kheeper_model::limits;

use crate::app::App;
pub(crate) use caller::CallSeen;
use problem::ProblemResponse;

/// Every route below `/-/`, but for none of S3's.
pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/openapi.json", get(openapi))
        .route("/whoami", get(whoami::whoami))
        .route("/orgs", get(orgs::list).post(orgs::create))
        .route("/orgs/{org}/set", post(orgs::set))
        .route("/orgs/{org}/members", get(members::list))
        .route("/orgs/{org}/members/{user}", put(members::put).merge(delete(members::remove)))
        .route("/hosts", get(hosts::list).post(hosts::create))
        .route("/hosts/{org}/{host}", get(hosts::get).merge(delete(hosts::delete)))
        .route("/hosts/{org}/{host}/objects", get(objects::list))
        .route("/hosts/{org}/{host}/restore", post(restore::restore))
        .route("/hosts/{org}/{host}/set", post(hosts::set))
        .route("/hosts/{org}/{host}/keys", post(keys::add))
        .route("/hosts/{org}/{host}/keys/retire", post(keys::retire))
        .route("/keys", get(keys::list))
        .route("/keys/{key_id}/revoke", post(keys::revoke))
        .route("/hosts/{org}/{host}/{action}", post(hosts::act))
        .route("/audit", get(audit::page))
        .route("/grants", get(grants::list).post(grants::create))
        .route("/grants/{org}/{id}", delete(grants::delete))
        .route("/join", post(join::join))
        .route("/usage", get(usage::usage));
    Router::new()
        .nest("/-/api/v1", api)
        .route("/-/healthz", get(|| async { "ok\n" }))
        .route("/-/readyz", get(ready))
        .route("/-/metrics", get(metrics))
        .fallback(|| async {
            ProblemResponse::not_found("no-such-route", "there is no such route; see /-/api/v1/openapi.json")
        })
        .method_not_allowed_fallback(|| async {
            ProblemResponse::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this route has no such method")
        })
        .layer(DefaultBodyLimit::max(limits::CONTROL_BODY_BYTES_MAX))
        .with_state(app)
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}

/// Ready is: the index answers, and nothing has made it stop taking writes.
async fn ready(app: axum::extract::State<Arc<App>>) -> impl IntoResponse {
    match app.readiness().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

async fn metrics(app: axum::extract::State<Arc<App>>) -> impl IntoResponse {
    app.note_upkeep().await;
    // Of requests, and of no caller in particular: what tells a refusal that came in time from one that looked first.
    metrics::counter!("kheeper_store_operations_total").absolute(app.store.operations());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}
