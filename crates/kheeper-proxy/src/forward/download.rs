//! The way back: the server's answer to the client, and a GET that goes on where it was interrupted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use kheeper_model::ETag;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::answer::{AnswerBody, client_head};
use super::exchange::{Answer, AnswerSource, exchange};
use super::request_head::RequestHead;
use crate::error::chain;
use crate::limits::{RESUMES_MAX, UPSTREAM_SILENCE_MAX};
use crate::proxy::Proxy;
use crate::upstream::RequestBody;

/// An answer that could not be completed: the client's connection is aborted, so that it cannot be taken for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was interrupted: {0}")]
pub(crate) struct Interrupted(String);

/// Turns the server's answer into the client's. `request` is the GET that may be resumed, if it may.
pub(crate) fn deliver(
    proxy: &Arc<Proxy>,
    request: Option<RequestHead>,
    answer: Answer,
    slot: OwnedSemaphorePermit,
) -> Response<AnswerBody> {
    let Answer { head, body } = answer;
    let plan = request.and_then(|request| ResumePlan::of(request, head.status, &head.headers));
    let client = client_head(head);
    match body {
        AnswerSource::Read(bytes) => {
            proxy.metrics.sent_bytes.add(bytes.len() as u64);
            client.map(|()| AnswerBody::whole(bytes))
        }
        AnswerSource::Stream(incoming) if incoming.is_end_stream() => client.map(|()| AnswerBody::whole(Bytes::new())),
        AnswerSource::Stream(incoming) => {
            let bytes_left = incoming.size_hint().exact();
            let download = Download {
                state: State::Streaming(incoming),
                plan,
                bytes_left,
                fresh_bytes: false,
                resumes: 0,
                silence: None,
                proxy: Arc::clone(proxy),
                _slot: slot,
            };
            client.map(|()| AnswerBody::download(download))
        }
    }
}

/// What it takes to ask for the rest of the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    etag: ETag,
    /// The next byte of the object to ask for.
    next: u64,
    /// The last byte to ask for.
    last: u64,
    /// Bytes of the whole object.
    total: u64,
}

#[derive(Debug)]
struct ResumePlan {
    request: RequestHead,
    span: Span,
}

impl ResumePlan {
    fn of(request: RequestHead, status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        Some(Self { request, span: Span::of(status, headers)? })
    }
}

impl Span {
    /// Which bytes of which object an answer holds; `None` where it does not say so exactly.
    fn of(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let etag = headers.get(ETAG)?.to_str().ok()?;
        // A weak tag does not promise the same bytes.
        let etag = etag.starts_with('"').then(|| ETag::new(etag))?;
        match status {
            StatusCode::OK => {
                let total: u64 = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
                Some(Self { etag, next: 0, last: total.checked_sub(1)?, total })
            }
            StatusCode::PARTIAL_CONTENT => {
                let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
                let (range, total) = range.split_once('/')?;
                let (first, last) = range.split_once('-')?;
                let span =
                    Self { etag, next: first.parse().ok()?, last: last.parse().ok()?, total: total.parse().ok()? };
                (span.next <= span.last && span.last < span.total).then_some(span)
            }
            _ => None,
        }
    }
}

type Resumption = Pin<Box<dyn Future<Output = Result<Incoming, String>> + Send>>;

enum State {
    Streaming(Incoming),
    Resuming(Resumption),
    Ended,
}

/// A body on its way from the server to a client.
pub(crate) struct Download {
    state: State,
    plan: Option<ResumePlan>,
    bytes_left: Option<u64>,
    /// Whether anything arrived since the last resumption.
    fresh_bytes: bool,
    resumes: u32,
    /// Runs while the server is waited for. A client that does not read is not polled for, so its time is not counted.
    silence: Option<Pin<Box<Sleep>>>,
    proxy: Arc<Proxy>,
    _slot: OwnedSemaphorePermit,
}

impl Download {
    /// Bytes to come, where the server said how many.
    pub(crate) fn bytes_left(&self) -> Option<u64> {
        self.bytes_left
    }

    /// The next bytes; `None` at the end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Interrupted>>> {
        loop {
            match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::Resuming(resumption) => match ready!(resumption.as_mut().poll(cx)) {
                    Ok(incoming) => self.state = State::Streaming(incoming),
                    Err(why) => return self.abort(why),
                },
                State::Streaming(incoming) => match Pin::new(incoming).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        self.silence = None;
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(self.arrived(data))));
                        }
                    }
                    Poll::Ready(Some(Err(error))) => {
                        if let Err(why) = self.interrupted(&chain(&error)) {
                            return self.abort(why);
                        }
                    }
                    Poll::Ready(None) => {
                        self.state = State::Ended;
                        return Poll::Ready(None);
                    }
                    Poll::Pending => {
                        ready!(self.poll_silence(cx));
                        let why = format!("the server was silent for {} s", UPSTREAM_SILENCE_MAX.as_secs());
                        if let Err(why) = self.interrupted(&why) {
                            return self.abort(why);
                        }
                    }
                },
            }
        }
    }

    fn arrived(&mut self, data: Bytes) -> Bytes {
        let bytes = data.len() as u64;
        self.proxy.metrics.sent_bytes.add(bytes);
        self.fresh_bytes = true;
        self.bytes_left = self.bytes_left.map(|left| left.saturating_sub(bytes));
        if let Some(plan) = &mut self.plan {
            plan.span.next += bytes;
        }
        data
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = || Box::pin(tokio::time::sleep_until(Instant::now() + UPSTREAM_SILENCE_MAX));
        self.silence.get_or_insert_with(deadline).as_mut().poll(cx)
    }

    /// Begins to resume, or says why not.
    fn interrupted(&mut self, why: &str) -> Result<(), String> {
        self.silence = None;
        let Some(plan) = &self.plan else { return Err(why.to_owned()) };
        if !self.fresh_bytes || self.resumes == RESUMES_MAX {
            return Err(format!("{why}, after {} resumptions", self.resumes));
        }
        tracing::info!(request = plan.request.describe(), at = plan.span.next, why, "resuming an interrupted download");
        self.resumes += 1;
        self.fresh_bytes = false;
        self.proxy.metrics.resumes.add(1);
        let request = plan.request.resume(&plan.span.etag, plan.span.next, plan.span.last);
        self.state = State::Resuming(Box::pin(resume(Arc::clone(&self.proxy), request, plan.span.clone())));
        Ok(())
    }

    fn abort(&mut self, why: String) -> Poll<Option<Result<Bytes, Interrupted>>> {
        let request = self.plan.as_ref().map(|plan| plan.request.describe()).unwrap_or_default();
        tracing::warn!(request, why, "a download was interrupted");
        self.proxy.metrics.upstream_failures.add(1);
        self.state = State::Ended;
        Poll::Ready(Some(Err(Interrupted(why))))
    }
}

/// Asks for the rest. Anything but 206 with the same ETag, the same end and the same total is another object.
async fn resume(proxy: Arc<Proxy>, request: RequestHead, expected: Span) -> Result<Incoming, String> {
    let answer = exchange(&proxy, &request, || RequestBody::Empty).await;
    let Answer { head, body } = answer.map_err(|refusal| refusal.error.to_string())?;
    match body {
        AnswerSource::Stream(incoming)
            if head.status == StatusCode::PARTIAL_CONTENT && Span::of(head.status, &head.headers) == Some(expected) =>
        {
            Ok(incoming)
        }
        _ => Err(format!("the server answered the resumption with {} and other bytes", head.status)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn span(status: u16, headers: &[(&'static str, &'static str)]) -> Option<Span> {
        let headers =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        Span::of(StatusCode::from_u16(status).expect("valid"), &headers.collect())
    }

    #[test]
    fn a_span_is_what_the_answer_says_it_holds() {
        let expected = |next, last, total| Some(Span { etag: ETag::new("a"), next, last, total });
        assert_eq!(span(200, &[("etag", "\"a\""), ("content-length", "10")]), expected(0, 9, 10));
        assert_eq!(span(206, &[("etag", "\"a\""), ("content-range", "bytes 3-7/10")]), expected(3, 7, 10));
    }

    #[test]
    fn an_answer_that_is_not_exact_is_never_resumed() {
        let etag = ("etag", "\"a\"");
        assert_eq!(span(200, &[("content-length", "10")]), None);
        assert_eq!(span(200, &[etag]), None);
        assert_eq!(span(200, &[etag, ("content-length", "0")]), None);
        assert_eq!(span(200, &[("etag", "W/\"a\""), ("content-length", "10")]), None);
        assert_eq!(span(404, &[etag, ("content-length", "10")]), None);
        for range in ["bytes 3-7/*", "bytes */10", "bytes 7-3/10", "bytes 3-10/10", "3-7/10"] {
            let headers = [
                (http::header::ETAG, HeaderValue::from_static("\"a\"")),
                (CONTENT_RANGE, HeaderValue::from_static(range)),
            ];
            assert_eq!(Span::of(StatusCode::PARTIAL_CONTENT, &headers.into_iter().collect()), None, "{range}");
        }
    }
}
