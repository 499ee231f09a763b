//! The answer to a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, response};
use http_body::{Body, Frame, SizeHint};

use super::download::{Download, Interrupted};
use crate::metrics::Present;

/// The body of an answer.
pub(crate) struct AnswerBody {
    kind: Kind,
    _present: Option<Present>,
}

enum Kind {
    Whole(Bytes),
    Download(Box<Download>),
}

impl AnswerBody {
    /// A body from memory; an empty one is none.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { kind: Kind::Whole(bytes), _present: None }
    }

    /// A body from the server.
    pub(crate) fn download(download: Download) -> Self {
        Self { kind: Kind::Download(Box::new(download)), _present: None }
    }

    /// The same body, which is counted until it ends.
    pub(crate) fn holding(self, present: Present) -> Self {
        Self { _present: Some(present), ..self }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        match &mut self.kind {
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Download(download) => download.poll_data(cx).map(|next| next.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.kind, Kind::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Download(download) => download.bytes_left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

/// The server's answer head for the client: all of it but what concerns the connection it came over.
pub(crate) fn client_head(head: response::Parts) -> Response<()> {
    let mut answer = Response::new(());
    *answer.status_mut() = head.status;
    let mut headers = head.headers;
    remove_hop_by_hop(&mut headers);
    *answer.headers_mut() = headers;
    answer
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    let fixed = [CONNECTION, KEEP_ALIVE, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    for name in listed.iter().chain(&fixed) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_concerns_the_servers_connection_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-internal"),
            ("x-internal", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x"),
            ("etag", "\"abc\""),
            ("content-length", "5"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "etag"]);
    }
}
