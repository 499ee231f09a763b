//! One request and its answer, sent again where that is safe.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use kheeper_model::limits::CLOCK_SKEW_SECS_MAX;
use kheeper_s3::{S3Error, S3ErrorCode};

use super::request_head::RequestHead;
use super::tries::Tries;
use crate::clock_drift;
use crate::error::{Refusal, chain};
use crate::limits::{ERROR_BODY_BYTES_MAX, UPSTREAM_SILENCE_MAX};
use crate::proxy::Proxy;
use crate::upstream::{Lease, RequestBody};

/// The server's answer.
pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    pub(crate) body: AnswerSource,
}

/// Where the body of an answer comes from.
pub(crate) enum AnswerSource {
    /// From the server, as it arrives.
    Stream(Incoming),
    /// From memory: it is an error's, and was read to see what it says.
    Read(Bytes),
}

/// Which answers are read whole before they are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadWhole {
    /// Those that say what is wrong.
    Errors,
    /// All: the connection will be given up before a streamed one could end.
    Everything,
}

/// Sends a request whose body can be made any number of times, and waits for the head of its answer.
pub(crate) async fn exchange(
    proxy: &Proxy,
    request: &RequestHead,
    body: impl Fn() -> RequestBody,
) -> Result<Answer, Refusal> {
    let mut tries = Tries::default();
    loop {
        let lease = lease(proxy, &tries).await?;
        let reused = lease.reused;
        let authorization = proxy.tokens.authorization();
        let response = match within_silence(lease.send(request.request(body(), &authorization))).await? {
            Ok(response) => response,
            Err(error) if tries.replay(reused, request.only_reads()) => {
                tracing::debug!(
                    request = request.describe(),
                    error = chain(&error),
                    "sent again over a new connection"
                );
                proxy.metrics.replays.add(1);
                continue;
            }
            Err(error) => return Err(connection_lost(&error)),
        };
        let answer = read_answer(response, request, ReadWhole::Errors).await?;
        if !token_was_refused(proxy, request, &answer, &authorization, &mut tries)? {
            return Ok(answer);
        }
    }
}

/// A connection, or the 503 that says why there is none.
pub(crate) async fn lease(proxy: &Proxy, tries: &Tries) -> Result<Lease, Refusal> {
    proxy.pool.lease(tries.reuse()).await.map_err(|error| {
        let why = chain(&error);
        Refusal::unavailable(format!("The kheeper server cannot be reached: {why}.")).because(why)
    })
}

/// Waits for the server, and for nothing else, at most [`UPSTREAM_SILENCE_MAX`].
pub(crate) async fn within_silence<T>(answer: impl Future<Output = T>) -> Result<T, Refusal> {
    tokio::time::timeout(UPSTREAM_SILENCE_MAX, answer).await.map_err(|_| silent(UPSTREAM_SILENCE_MAX))
}

/// The 503 for a server that has not said anything.
pub(crate) fn silent(time: Duration) -> Refusal {
    Refusal::unavailable(format!("The kheeper server did not answer for {} s.", time.as_secs()))
}

/// The 503 for a connection that broke before an answer.
pub(crate) fn connection_lost(error: &hyper::Error) -> Refusal {
    Refusal::unavailable("The connection to the kheeper server was lost.").because(chain(error))
}

/// Reads as much of an answer as `whole` asks for, and logs what the server refused.
pub(crate) async fn read_answer(
    response: Response<Incoming>,
    request: &RequestHead,
    whole: ReadWhole,
) -> Result<Answer, Refusal> {
    let (head, body) = response.into_parts();
    let telling =
        head.status.is_server_error() || matches!(head.status, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN);
    if !telling && whole == ReadWhole::Errors {
        return Ok(Answer { head, body: AnswerSource::Stream(body) });
    }
    let read = within_silence(Limited::new(body, ERROR_BODY_BYTES_MAX).collect()).await?;
    let body = read.map_err(|error| {
        Refusal::unavailable("The answer of the kheeper server was cut off.").because(chain(&*error))
    })?;
    let body = body.to_bytes();
    if telling {
        let (code, why) = (element(&body, "Code"), element(&body, "Message"));
        tracing::warn!(request = request.describe(), status = head.status.as_u16(), code, why, "refused by the server");
    }
    Ok(Answer { head, body: AnswerSource::Read(body) })
}

/// Whether the request has to be sent again with a new token. The clocks are compared first: with one that is wrong, no
/// new token would be any better, and the person who reads the error must know by how much.
pub(crate) fn token_was_refused(
    proxy: &Proxy,
    request: &RequestHead,
    answer: &Answer,
    authorization: &HeaderValue,
    tries: &mut Tries,
) -> Result<bool, Refusal> {
    let verdict = TokenVerdict::of(request, answer);
    if verdict == TokenVerdict::Fine {
        return Ok(false);
    }
    if let Some(ahead_secs) = proxy.compare_clocks(&answer.head.headers)
        && ahead_secs.unsigned_abs() > CLOCK_SKEW_SECS_MAX
    {
        let message = format!("The clock of this machine is {}: set it right.", clock_drift::describe(ahead_secs));
        return Err(S3Error::new(S3ErrorCode::RequestTimeTooSkewed).with_message(message).into());
    }
    if verdict == TokenVerdict::PerhapsEarly {
        return Ok(false);
    }
    proxy.tokens.discard(authorization);
    Ok(tries.remint())
}

/// What an answer says of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenVerdict {
    /// Nothing against it.
    Fine,
    /// That it is over, or was issued in the future.
    Over,
    /// A 403 without a body, to a HEAD: nearly always a refusal for good, and a wrong clock only if the clocks differ.
    PerhapsEarly,
}

impl TokenVerdict {
    fn of(request: &RequestHead, answer: &Answer) -> Self {
        let status = answer.head.status;
        if request.is_head() {
            // No body says which 400 it is: a new token costs one more round trip, and only once.
            return match status {
                StatusCode::BAD_REQUEST => Self::Over,
                StatusCode::FORBIDDEN => Self::PerhapsEarly,
                _ => Self::Fine,
            };
        }
        let AnswerSource::Read(body) = &answer.body else { return Self::Fine };
        let code = element(body, "Code");
        let over =
            [S3ErrorCode::ExpiredToken, S3ErrorCode::RequestTimeTooSkewed].iter().any(|over| over.as_str() == code);
        if over { Self::Over } else { Self::Fine }
    }
}

/// The text of the first element of that name in an error document; empty when there is none.
fn element<'a>(document: &'a [u8], name: &str) -> &'a str {
    let text = std::str::from_utf8(document).unwrap_or_default();
    let inside = text.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    inside.split_once(&format!("</{name}>")).map_or("", |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_documents_code_is_found_and_nothing_else_is() {
        let document = b"<?xml version=\"1.0\"?>\n<Error><Code>ExpiredToken</Code><Message>m</Message></Error>";
        assert_eq!(element(document, "Code"), "ExpiredToken");
        assert_eq!(element(document, "Message"), "m");
        assert_eq!(element(document, "Resource"), "");
        assert_eq!(element(b"<Code>cut off", "Code"), "");
        assert_eq!(element(b"\xff", "Code"), "");
    }
}
