//! Whether there is room for the request: a connection and a place of its caller's share, and a body of a length that is
//! allowed.

use std::sync::Arc;

use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use kheeper_model::limits;
use kheeper_s3::body::kheeper_trailer;
use kheeper_s3::{Operation, OperationClass, S3Error, S3ErrorCode};
use kheeper_store::CallerId;

use super::places::{Demand, Excess, Place};
use crate::app::App;
use crate::connections::Connection;

/// Notes whose connection this is, and takes a place, to be held until the answer was sent.
///
/// A refusal has no `Retry-After`: the request has waited here already, and wal-g adds it to its own back-off instead of
/// waiting only so long.
pub(crate) async fn admit(app: &App, caller: &CallerId, demand: Demand, head: &Parts) -> Result<Place, S3Error> {
    let connection = head.extensions.get::<Arc<Connection>>();
    if connection.is_some_and(|connection| !connection.belongs_to(caller)) {
        return Err(slow_down(caller, "connections", "This caller has too many connections open."));
    }
    app.places.take(caller, demand).await.map_err(|excess| {
        let message = match excess {
            Excess::Server => "The server has too many requests under way. Try again.",
            Excess::Requests => "This caller has too many requests under way.",
            Excess::Lists => "This caller has too many listings under way.",
            Excess::BodyBytes => "This caller's uploads under way are too large together.",
        };
        slow_down(caller, excess.reason(), message)
    })
}

fn slow_down(caller: &CallerId, reason: &'static str, message: &'static str) -> S3Error {
    metrics::counter!("kheeper_refused_total", "reason" => reason).increment(1);
    tracing::debug!(caller = caller.as_str(), reason, "a request was refused: too much at once");
    S3Error::new(S3ErrorCode::SlowDown).with_message(message)
}

/// What a request takes up; one that is of no operation takes up its place only.
pub(crate) fn demand(operation: Option<&Operation>, headers: &HeaderMap) -> Demand {
    let body_bytes = kheeper_trailer::length(headers).ok().flatten().or_else(|| declared_length(headers));
    Demand {
        is_list: operation.is_some_and(|operation| operation.class() == OperationClass::List),
        body_bytes: operation.and(body_bytes).unwrap_or(0),
    }
}

/// Refuses a body that is too long before a byte of it is read, so that a client that waits for `100 Continue` does not
/// send it.
pub(crate) fn check_length(operation: &Operation, headers: &HeaderMap) -> Result<(), S3Error> {
    let bytes_max = match operation {
        Operation::PutObject(_) => limits::PUT_BYTES_MAX,
        Operation::UploadPart(_) => limits::PART_BYTES_MAX,
        _ => limits::XML_BODY_BYTES_MAX as u64,
    };
    // Framed bodies are longer than their payload by their framing; the payload's own length is checked as it arrives.
    let framing_allowance = bytes_max / 64;
    if declared_length(headers).is_some_and(|declared| declared > bytes_max + framing_allowance) {
        return Err(S3Error::new(S3ErrorCode::EntityTooLarge));
    }
    Ok(())
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok())
}
