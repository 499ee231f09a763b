//! The head of the request to the server: what is let through of the client's, and what is ours.

use http::header::{AUTHORIZATION, CONTENT_ENCODING, EXPECT, HOST, HeaderName, TRAILER, TRANSFER_ENCODING, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use kheeper_model::{AttemptId, ChecksumAlgorithm, ETag};
use kheeper_s3::body::declared::Declared;
use kheeper_s3::body::kheeper_trailer::{self, ATTEMPT, LENGTH};
use kheeper_s3::header::{Policy, effective_headers, header_policy};
use kheeper_s3::operation::BodyKind;
use kheeper_s3::query::Query;
use kheeper_s3::{OperationKind, S3Error, S3ErrorCode, as_of, signature};

use super::declared_body;
use crate::upstream::RequestBody;

/// What describes the client's own body, and is false of the one that we send.
const FRAMING_HEADERS: [&str; 4] =
    ["content-length", "x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-trailer"];

/// The head of a request to the server, but for the token. It can be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct RequestHead {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl RequestHead {
    /// Lets through what the one policy list of `kheeper-s3` knows to mean something, and nothing else: a client's
    /// `Authorization`, `X-Forwarded-*`, `X-Kheeper-*` and hop-by-hop headers are not on it. The path stays as it is,
    /// byte for byte, and so does the query, less the parameters of a signature and those that count as headers.
    pub(crate) fn new(
        head: &Parts,
        authority: &HeaderValue,
        kind: OperationKind,
        attempt: Option<AttemptId>,
    ) -> Result<(Self, Declared), S3Error> {
        let query = Query::parse(head.uri.query())?;
        let received = effective_headers(&query, &head.headers)?;
        let declared = declared_body(kind, &received)?;
        let mut headers = HeaderMap::with_capacity(received.len() + 6);
        headers.insert(HOST, authority.clone());
        for (name, value) in received.iter().filter(|(name, _)| goes_through(name, kind.body())) {
            if *name != CONTENT_ENCODING {
                headers.append(name.clone(), value.clone());
            } else if let Some(value) = without_aws_chunked(value) {
                headers.append(CONTENT_ENCODING, value);
            }
        }
        if let Some(attempt) = attempt {
            headers.insert(ATTEMPT, text_value(&attempt.to_string()));
        }
        if kind.body() == BodyKind::Payload {
            headers.insert(LENGTH, HeaderValue::from(declared.require_length()?));
            headers.insert(TRAILER, kheeper_trailer::announcement(declared.checksum_algorithm()));
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let uri = origin_form(head.uri.path(), forwarded_query(head.uri.query()).as_deref())?;
        Ok((Self { method: head.method.clone(), uri, headers }, declared))
    }

    /// Asks for what there was then. It stays with the request when it is sent again or resumed.
    pub(crate) fn look_at(&mut self, at: &HeaderValue) {
        self.headers.insert(as_of::AT, at.clone());
    }

    /// The request with a body and the token. One that has to wait for the server's permission to send says so.
    pub(crate) fn request(&self, body: RequestBody, authorization: &HeaderValue) -> Request<RequestBody> {
        let streamed = matches!(body, RequestBody::Streamed(_));
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        if streamed {
            request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        request
    }

    /// The same GET for the rest of the same bytes: from `first` to `last`, and only if the object is still `etag`.
    pub(crate) fn resume(&self, etag: &ETag, first: u64, last: u64) -> Self {
        let mut resumed = self.clone();
        for name in ["if-none-match", "if-modified-since", "if-unmodified-since", "if-range"] {
            resumed.headers.remove(name);
        }
        // The part that was asked for is known by now as a range, and S3 takes one or the other.
        if let Ok(uri) = origin_form(self.uri.path(), without_part_number(self.uri.query()).as_deref()) {
            resumed.uri = uri;
        }
        resumed.headers.insert(http::header::IF_MATCH, text_value(&etag.quoted()));
        resumed.headers.insert(http::header::RANGE, text_value(&format!("bytes={first}-{last}")));
        resumed
    }

    /// Whether sending it twice is the same as sending it once, whatever became of the first.
    pub(crate) fn only_reads(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// Whether the answer has no body to tell an error's code from.
    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Its method and path, for the log.
    pub(crate) fn describe(&self) -> String {
        format!("{} {}", self.method, self.uri.path())
    }
}

fn goes_through(name: &HeaderName, body: BodyKind) -> bool {
    let text = name.as_str();
    if FRAMING_HEADERS.contains(&text) {
        return false;
    }
    // The payload's checksums were verified here and go as trailers. A document is small: the server looks again.
    if body == BodyKind::Payload && (text == "content-md5" || ChecksumAlgorithm::from_header(text).is_some()) {
        return false;
    }
    *name == USER_AGENT || !matches!(header_policy(text), Policy::Ignore)
}

/// `Content-Encoding` less the `aws-chunked` that was removed from the body; `None` when nothing is left of it.
fn without_aws_chunked(value: &HeaderValue) -> Option<HeaderValue> {
    let is_aws_chunked = |coding: &&[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"aws-chunked");
    let codings: Vec<&[u8]> = value.as_bytes().split(|&byte| byte == b',').collect();
    if !codings.iter().any(is_aws_chunked) {
        return Some(value.clone());
    }
    let kept: Vec<&[u8]> =
        codings.into_iter().filter(|coding| !is_aws_chunked(coding)).map(<[u8]>::trim_ascii).collect();
    let kept = kept.join(&b","[..]);
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept).ok() }
}

/// The query less what a signature left in it, and less what was made a header of.
fn forwarded_query(raw: Option<&str>) -> Option<String> {
    let unsigned = signature::strip_query(raw)?;
    let is_header = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = percent_encoding::percent_decode_str(name).collect::<Vec<u8>>();
        name.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"x-amz-"))
    };
    let kept: Vec<&str> = unsigned.split('&').filter(|pair| !is_header(pair)).collect();
    if kept.is_empty() { None } else { Some(kept.join("&")) }
}

fn without_part_number(query: Option<&str>) -> Option<String> {
    let kept: Vec<&str> = query?.split('&').filter(|pair| pair.split('=').next() != Some("partNumber")).collect();
    if kept.is_empty() { None } else { Some(kept.join("&")) }
}

fn origin_form(path: &str, query: Option<&str>) -> Result<Uri, S3Error> {
    let text = match query {
        None => path.to_owned(),
        Some(query) => format!("{path}?{query}"),
    };
    Uri::try_from(text).map_err(|_| S3Error::new(S3ErrorCode::InvalidURI))
}

fn text_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<(RequestHead, Declared), S3Error> {
        let request = headers.iter().fold(Request::builder().method(method).uri(uri), |r, (n, v)| r.header(*n, *v));
        let head = request.body(()).expect("valid").into_parts().0;
        let operation = kheeper_s3::Operation::parse(&head.method, head.uri.path(), head.uri.query(), &head.headers)?;
        let authority = HeaderValue::from_static("backup.example.com:443");
        RequestHead::new(&head, &authority, operation.kind(), Some(AttemptId([7; 16])))
    }

    fn names(head: &RequestHead) -> Vec<&str> {
        let mut names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn nothing_a_client_says_becomes_identity() {
        let (head, _) = forwarded(
            "GET",
            "/myorg/web-01/a?X-Amz-Credential=AKIA&X-Amz-Signature=x",
            &[
                ("host", "localhost:5000"),
                ("authorization", "Bearer forged"),
                ("connection", "authorization, x-kheeper-attempt"),
                ("x-forwarded-for", "10.0.0.1"),
                ("forwarded", "for=10.0.0.1"),
                ("x-kheeper-length", "1"),
                ("x-kheeper-at", "1"),
                ("x-amz-date", "20260101T000000Z"),
                ("x-amz-security-token", "secret"),
                ("cookie", "a=b"),
                ("te", "trailers"),
                ("proxy-authorization", "Basic x"),
                ("range", "bytes=0-1"),
                ("user-agent", "wal-g"),
            ],
        )
        .expect("valid");
        assert_eq!(names(&head), ["host", "range", "user-agent", "x-kheeper-attempt"]);
        assert_eq!(head.headers[HOST], "backup.example.com:443");
        assert_eq!(head.headers[ATTEMPT], "07070707070707070707070707070707");
        assert_eq!(head.uri, "/myorg/web-01/a");
        let request = head.request(RequestBody::Empty, &HeaderValue::from_static("Bearer ours"));
        assert_eq!(request.headers().get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), ["Bearer ours"]);
    }

    #[test]
    fn path_and_query_go_through_byte_for_byte() {
        for target in [
            "/myorg/web-01/a%2Fb//../.%2e/c+d%20e.",
            "/myorg?list-type=2&prefix=a+b%2Bc&delimiter=%2f&encoding-type=url",
            "/myorg/?uploads=",
        ] {
            assert_eq!(forwarded("GET", target, &[]).expect(target).0.uri.to_string(), target);
        }
        let (head, _) =
            forwarded("PUT", "/myorg/web-01/a?X-Amz-Algorithm=x&x-id=PutObject", &[("content-length", "1")])
                .expect("valid");
        assert_eq!(head.uri, "/myorg/web-01/a?x-id=PutObject");
    }

    #[test]
    fn an_upload_is_chunked_and_announces_its_trailers() {
        let (head, declared) = forwarded(
            "PUT",
            "/myorg/web-01/a",
            &[
                ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
                ("content-encoding", "aws-chunked,gzip"),
                ("content-length", "99"),
                ("x-amz-decoded-content-length", "66560"),
                ("x-amz-trailer", "x-amz-checksum-crc32"),
                ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
                ("x-amz-meta-mtime", "1"),
                ("x-amz-storage-class", "STANDARD"),
                ("expect", "100-continue"),
            ],
        )
        .expect("valid");
        assert_eq!(declared.length, Some(66_560));
        assert_eq!(head.headers[LENGTH], "66560");
        assert_eq!(head.headers[TRAILER], "x-kheeper-crc64nvme, x-kheeper-md5, x-amz-checksum-crc32");
        assert_eq!(head.headers[CONTENT_ENCODING], "gzip");
        let expected = [
            "content-encoding",
            "host",
            "trailer",
            "transfer-encoding",
            "x-amz-meta-mtime",
            "x-amz-storage-class",
            "x-kheeper-attempt",
            "x-kheeper-length",
        ];
        assert_eq!(names(&head), expected);
        assert!(!head.request(RequestBody::Empty, &HeaderValue::from_static("x")).headers().contains_key(EXPECT));
        let (_sender, body) = RequestBody::streamed();
        assert_eq!(head.request(body, &HeaderValue::from_static("x")).headers()[EXPECT], "100-continue");
    }

    #[test]
    fn aws_chunked_alone_leaves_no_content_encoding() {
        let encoding = |value| without_aws_chunked(&HeaderValue::from_static(value));
        assert_eq!(encoding("aws-chunked"), None);
        assert_eq!(encoding("gzip , AWS-Chunked"), Some(HeaderValue::from_static("gzip")));
        assert_eq!(encoding("gzip, br"), Some(HeaderValue::from_static("gzip, br")));
    }

    #[test]
    fn a_presigned_header_in_the_query_becomes_a_header() {
        let target = "/myorg/web-01/a?X-Amz-Storage-Class=STANDARD&X-Amz-Signature=0&x-amz-checksum-crc32=AAAAAA%3D%3D";
        let (head, declared) = forwarded("PUT", target, &[("content-length", "0")]).expect("valid");
        assert_eq!(head.uri, "/myorg/web-01/a");
        assert_eq!(head.headers["x-amz-storage-class"], "STANDARD");
        assert_eq!(declared.checksum_algorithm(), Some(ChecksumAlgorithm::Crc32));
        let framed =
            "/myorg/web-01/a?X-Amz-Content-Sha256=STREAMING-AWS4-HMAC-SHA256-PAYLOAD&X-Amz-Decoded-Content-Length=3";
        let (head, declared) = forwarded("PUT", framed, &[("content-length", "90")]).expect("valid");
        assert_eq!(head.uri, "/myorg/web-01/a");
        assert_eq!(declared.length, Some(3));
    }

    #[test]
    fn an_upload_of_unknown_length_is_refused() {
        let error = forwarded("PUT", "/myorg/web-01/a", &[("transfer-encoding", "chunked")]).expect_err("no length");
        assert_eq!(error.code, S3ErrorCode::MissingContentLength);
    }

    #[test]
    fn a_resumed_get_asks_for_the_rest_of_the_same_object() {
        let (head, _) = forwarded(
            "GET",
            "/myorg/web-01/a",
            &[("range", "bytes=0-99"), ("if-none-match", "\"x\""), ("x-amz-checksum-mode", "ENABLED")],
        )
        .expect("valid");
        let resumed = head.resume(&ETag::new("abc"), 40, 99);
        assert_eq!(resumed.headers["range"], "bytes=40-99");
        assert_eq!(resumed.headers["if-match"], "\"abc\"");
        assert!(!resumed.headers.contains_key("if-none-match"));
        let (head, _) = forwarded("GET", "/myorg/web-01/a?partNumber=2&x-id=GetObject", &[]).expect("valid");
        assert_eq!(head.resume(&ETag::new("abc"), 40, 99).uri, "/myorg/web-01/a?x-id=GetObject");
    }
}
