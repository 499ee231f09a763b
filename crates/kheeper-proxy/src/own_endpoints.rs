//! `/-/healthz`, `/-/readyz` and `/-/metrics`: about the proxy itself, for whoever the local guard admits.
//!
//! Nothing else under `/-/` exists here. The server's control API in particular is not forwarded: an S3 client with
//! dummy credentials must not manage hosts with this identity.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use kheeper_s3::{S3Error, S3ErrorCode};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::{Refusal, chain};
use crate::forward::AnswerBody;
use crate::limits::{CONNECT_TIME_MAX, READINESS_TIME};
use crate::proxy::Proxy;
use crate::upstream::{RequestBody, Reuse};

/// The last word on whether the server can be reached, kept for [`READINESS_TIME`]. Those who ask meanwhile wait for
/// one answer together.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Result<(), String>)>>);

/// Whether a path is the proxy's own, and never forwarded. An escaped `-` counts: the server must not be left to decide
/// it in another way.
pub(crate) fn is_own(path: &str) -> bool {
    let first = path.strip_prefix('/').unwrap_or(path).split('/').next().unwrap_or_default();
    first == "-" || first.eq_ignore_ascii_case("%2d")
}

/// Answers a request for one of our own paths.
pub(crate) async fn answer(proxy: &Arc<Proxy>, head: &Parts) -> Result<Response<AnswerBody>, Refusal> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(S3Error::new(S3ErrorCode::MethodNotAllowed).into());
    }
    let (status, text) = match head.uri.path() {
        "/-/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/-/metrics" => (StatusCode::OK, proxy.metrics.render(proxy.drift.ahead_secs())),
        "/-/readyz" => match readiness(proxy).await {
            Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        _ => {
            let message = "The proxy has /-/healthz, /-/readyz and /-/metrics, and forwards nothing else under /-/.";
            return Err(Refusal::denied(message));
        }
    };
    let mut response = Response::new(AnswerBody::whole(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

async fn readiness(proxy: &Proxy) -> Result<(), String> {
    let mut last = proxy.readiness.0.lock().await;
    match &*last {
        Some((at, answer)) if at.elapsed() < READINESS_TIME => answer.clone(),
        _ => {
            let asked = tokio::time::timeout(2 * CONNECT_TIME_MAX, ask_server(proxy)).await;
            let answer = asked.unwrap_or_else(|_| Err("the server did not answer in time".to_owned()));
            *last = Some((Instant::now(), answer.clone()));
            answer
        }
    }
}

/// Without a token: the server's own `/-/readyz` needs none.
async fn ask_server(proxy: &Proxy) -> Result<(), String> {
    let lease = proxy.pool.lease(Reuse::Never).await;
    let lease = lease.map_err(|error| format!("the server cannot be reached: {}", chain(&error)))?;
    let request = Request::get("/-/readyz")
        .header(header::HOST, &proxy.authority)
        .body(RequestBody::Empty)
        .map_err(|error| error.to_string())?;
    let response =
        lease.send(request).await.map_err(|error| format!("the server did not answer: {}", chain(&error)))?;
    proxy.compare_clocks(response.headers());
    let status = response.status();
    // Read to its end, so that the connection can be used again.
    let _ = http_body_util::Limited::new(response.into_body(), 64 * 1024).collect().await;
    if status.is_success() { Ok(()) } else { Err(format!("the server says {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_our_own_prefix_is_forwarded() {
        for path in ["/-", "/-/", "/-/healthz", "/-/api/v1/hosts", "/%2D/api/v1/hosts", "/%2d/x"] {
            assert!(is_own(path), "{path}");
        }
        for path in ["/", "/-a/x", "/myorg/-/x", "/myorg"] {
            assert!(!is_own(path), "{path}");
        }
    }
}
