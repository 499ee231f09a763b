//! Answers: bodies, errors, and the headers that every answer carries.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use kheeper_model::Timestamp;
use kheeper_s3::S3Error;
use kheeper_s3::range::unsatisfied_content_range;
use kheeper_store::{ReadGrant, Written};

/// The body of any answer. An error in it cuts the connection: a body that ends cleanly is whole.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// The header that names a request, in answers and in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// The header that names the host whose objects are read by a grant.
const GRANT_OF: HeaderName = HeaderName::from_static("x-kheeper-grant-of");
/// The header that says for how many seconds more.
const GRANT_SECS_LEFT: HeaderName = HeaderName::from_static("x-kheeper-grant-secs-left");

/// A body of no bytes.
pub(crate) fn empty() -> ResponseBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of these bytes.
pub(crate) fn full(bytes: Bytes) -> ResponseBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// An answer without a body. (204 must not even say that its length is zero.)
pub(crate) fn status(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

/// 200 with an XML document.
pub(crate) fn xml(document: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(full(document));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// The answer to a request that failed: XML, but for HEAD and for 304, which have no body.
pub(crate) fn error(error: &S3Error, is_head: bool, resource: &str, request_id: &str) -> Response<ResponseBody> {
    let body = if is_head || !error.has_body() { empty() } else { full(error.to_xml(resource, request_id)) };
    let mut response = Response::new(body);
    *response.status_mut() = error.status();
    // RFC 9110, section 15.5.17: a client that asked for too much learns how much there is.
    if let Some((_, total)) = error.fields.iter().find(|(name, _)| *name == "ActualObjectSize")
        && let Ok(total) = total.parse()
    {
        set(&mut response, CONTENT_RANGE, &unsatisfied_content_range(total));
    }
    if error.has_body() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    }
    response
}

/// Tells the client that the connection ends with this answer, because the request's body was not read to its end.
pub(crate) fn close_after(response: &mut Response<ResponseBody>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Sets a header whose value is text that may hold anything; what no header can hold is left out.
pub(crate) fn set(response: &mut Response<ResponseBody>, name: HeaderName, value: &str) {
    match HeaderValue::from_bytes(value.as_bytes()) {
        Ok(value) => {
            response.headers_mut().insert(name, value);
        }
        Err(_) => tracing::warn!(%name, "a stored header cannot be sent and was left out"),
    }
}

/// Says by which grant something was read, and how long it still lasts: a proxy warns before its end.
pub(crate) fn add_grant(response: &mut Response<ResponseBody>, grant: &ReadGrant, now: Timestamp) {
    let Ok(host) = HeaderValue::from_str(grant.host.as_str()) else { return };
    let secs_left = (grant.ends_at.as_secs() - now.as_secs()).max(0);
    response.headers_mut().append(GRANT_OF, host);
    response.headers_mut().append(GRANT_SECS_LEFT, HeaderValue::from(secs_left));
}

/// Beside an answer, for the audit log: the write hid another version of its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overwrote;

/// Notes with the answer to a write whether it was an overwrite.
pub(crate) fn note_overwrite(response: &mut Response<ResponseBody>, written: &Written) {
    if written.hid_another {
        response.extensions_mut().insert(Overwrote);
    }
}

/// Sets the length of a body that is streamed.
pub(crate) fn set_length(response: &mut Response<ResponseBody>, bytes: u64) {
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
}

/// A body with something that must live as long as it does, for instance a permit.
pub(crate) struct Holding<T> {
    body: ResponseBody,
    _held: T,
}

impl<T: Send + Unpin + 'static> Holding<T> {
    /// `body`, which drops `held` when it is done.
    pub(crate) fn until_sent(body: ResponseBody, held: T) -> ResponseBody {
        Self { body, _held: held }.boxed_unsync()
    }
}

impl<T: Unpin> Body for Holding<T> {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
