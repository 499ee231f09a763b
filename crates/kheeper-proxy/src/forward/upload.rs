//! PUT of an object or a part.
//!
//! The server commits only on the trailers, and they are sent only when everything that the client declared holds. A
//! small body is read whole first, so that it can be sent again. A large one waits for the server's 100: until then not
//! a byte of it was read, so that a refusal costs nothing and a stale connection can be replaced.

use std::pin::pin;
use std::sync::Arc;

use http::Response;
use hyper::body::Incoming;
use kheeper_model::limits::REPLAY_BYTES_MAX;
use kheeper_s3::body::declared::Declared;
use kheeper_s3::{S3Error, S3ErrorCode};
use tokio::sync::Notify;

use super::client_body::{ClientBody, Payload, read_whole};
use super::exchange::{
    Answer, ReadWhole, connection_lost, exchange, lease, read_answer, silent, token_was_refused, within_silence,
};
use super::request_head::RequestHead;
use super::tries::Tries;
use crate::error::{Refusal, chain};
use crate::limits::UPSTREAM_SILENCE_MAX;
use crate::proxy::Proxy;
use crate::upstream::{BodySender, RequestBody};

/// Sends an upload and waits for the head of its answer.
pub(crate) async fn upload(
    proxy: &Proxy,
    request: RequestHead,
    declared: &Declared,
    body: &mut ClientBody,
) -> Result<Answer, Refusal> {
    if declared.require_length()? > REPLAY_BYTES_MAX as u64 {
        return stream(proxy, &request, declared, body).await;
    }
    let (data, trailers) = read_whole(body, declared, REPLAY_BYTES_MAX, &proxy.metrics).await?;
    let trailers = trailers.to_trailers();
    exchange(proxy, &request, || RequestBody::Verified {
        data: (!data.is_empty()).then(|| data.clone()),
        trailers: Some(trailers.clone()),
    })
    .await
}

async fn stream(
    proxy: &Proxy,
    request: &RequestHead,
    declared: &Declared,
    body: &mut ClientBody,
) -> Result<Answer, Refusal> {
    let mut tries = Tries::default();
    loop {
        let lease = lease(proxy, &tries).await?;
        let reused = lease.reused;
        let authorization = proxy.tokens.authorization();
        // Dropped without trailers, `sender` breaks the request off: on every way out of here but the good one.
        let (sender, request_body) = RequestBody::streamed();
        let mut sent = request.request(request_body, &authorization);
        let continued = Arc::new(Notify::new());
        notify_on_continue(&mut sent, Arc::clone(&continued));
        let mut response = pin!(lease.send(sent));
        let refused = tokio::select! {
            biased;
            response = &mut response => response,
            () = continued.notified() => {
                let payload = Payload::new(body, declared, &proxy.metrics);
                return relay(response, payload, sender, request).await;
            }
            () = tokio::time::sleep(UPSTREAM_SILENCE_MAX) => return Err(silent(UPSTREAM_SILENCE_MAX)),
        };
        match refused {
            Err(error) if tries.replay(reused, request.only_reads()) => {
                tracing::debug!(
                    request = request.describe(),
                    error = chain(&error),
                    "sent again over a new connection"
                );
                proxy.metrics.replays.add(1);
            }
            Err(error) => return Err(connection_lost(&error)),
            Ok(response) => {
                let answer = early_answer(response, request).await?;
                if !token_was_refused(proxy, request, &answer, &authorization, &mut tries)? {
                    return Ok(answer);
                }
            }
        }
    }
}

fn notify_on_continue(request: &mut http::Request<RequestBody>, continued: Arc<Notify>) {
    hyper::ext::on_informational(request, move |response| {
        if response.status() == http::StatusCode::CONTINUE {
            continued.notify_one();
        }
    });
}

/// Moves the payload while watching for an answer that comes before its end.
async fn relay(
    mut response: std::pin::Pin<&mut impl Future<Output = hyper::Result<Response<Incoming>>>>,
    payload: Payload<'_>,
    sender: BodySender,
    request: &RequestHead,
) -> Result<Answer, Refusal> {
    let mut pump = pin!(pump(payload, sender));
    let pumped = tokio::select! {
        biased;
        early = &mut response => {
            // The pump still holds the sender: the connection lives until the answer was read.
            return early_answer(early.map_err(|error| connection_lost(&error))?, request).await;
        }
        pumped = &mut pump => pumped,
    };
    match pumped {
        Ok(Pumped::Whole) => {
            let response = within_silence(response).await?.map_err(|error| connection_lost(&error))?;
            read_answer(response, request, ReadWhole::Errors).await
        }
        // The server stopped reading: what it has to say about that follows, or nothing does.
        Ok(Pumped::Stopped) => {
            let response = within_silence(response).await?.map_err(|error| connection_lost(&error))?;
            early_answer(response, request).await
        }
        Err(refusal) => Err(refusal),
    }
}

enum Pumped {
    /// All of it was sent, verified, trailers and all.
    Whole,
    /// The connection took no more.
    Stopped,
}

async fn pump(mut payload: Payload<'_>, sender: BodySender) -> Result<Pumped, Refusal> {
    while let Some(piece) = payload.next().await? {
        if within_silence(sender.send(piece)).await?.is_err() {
            return Ok(Pumped::Stopped);
        }
    }
    let trailers = payload.verify().await?.to_trailers();
    match within_silence(sender.finish(trailers)).await? {
        Ok(()) => Ok(Pumped::Whole),
        Err(_) => Ok(Pumped::Stopped),
    }
}

/// An answer that came before the trailers were sent. It can only be a refusal: success would be a lie.
async fn early_answer(response: Response<Incoming>, request: &RequestHead) -> Result<Answer, Refusal> {
    if response.status().is_success() {
        return Err(Refusal::from(S3Error::new(S3ErrorCode::InternalError))
            .because("the server said success before it had the whole upload"));
    }
    read_answer(response, request, ReadWhole::Everything).await
}
