//! S3 as a test speaks it: through a [`Door`], which is a server (with a token) or a proxy (with dummy credentials).

use std::net::SocketAddr;

use base64::Engine as _;

use crate::digest;
use crate::http::{Body, Request, Response};
use crate::wait::{self, secs};

/// The credentials a client of the proxy makes up.
pub const DUMMY_AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=dummy/20261101/us-east-1/s3/aws4_request, \
     SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
     Signature=0000000000000000000000000000000000000000000000000000000000000000";

/// A place that speaks S3, and what to show there.
#[derive(Debug, Clone)]
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    /// The `Authorization` header, if any.
    pub authorization: Option<String>,
}

impl Door {
    /// The server itself, with a token.
    pub fn direct(address: SocketAddr, token: &str) -> Self {
        Self { address, authorization: Some(format!("Bearer {token}")) }
    }

    /// A proxy, with dummy credentials.
    pub fn proxy(address: SocketAddr) -> Self {
        Self { address, authorization: Some(DUMMY_AUTHORIZATION.into()) }
    }

    /// Anything, without credentials.
    pub fn anonymous(address: SocketAddr) -> Self {
        Self { address, authorization: None }
    }

    /// A request with this door's credentials.
    pub fn request(&self, method: &str, target: &str) -> Request {
        let request = Request::new(method, target);
        match &self.authorization {
            Some(value) => request.header("Authorization", value),
            None => request,
        }
    }

    /// Sends `request` here.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        request.send(self.address)
    }

    /// PUT, unsigned payload, plain body.
    #[track_caller]
    pub fn put(&self, target: &str, bytes: &[u8]) -> Response {
        self.put_request(target, bytes).send(self.address)
    }

    /// The same, into a store that was full and has room again: it looks at its disk once a second at most.
    #[track_caller]
    pub fn put_into_new_room(&self, target: &str, bytes: &[u8]) -> Response {
        wait::until("the store to see its room", secs(20), || {
            let answer = self.put(target, bytes);
            (answer.status != 507).then_some(answer)
        })
    }

    /// The request of [`Door::put`], to add to.
    pub fn put_request(&self, target: &str, bytes: &[u8]) -> Request {
        self.request("PUT", target).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD").body(bytes)
    }

    /// GET.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.request("GET", target).send(self.address)
    }

    /// HEAD.
    #[track_caller]
    pub fn head(&self, target: &str) -> Response {
        self.request("HEAD", target).send(self.address)
    }

    /// DELETE.
    #[track_caller]
    pub fn delete(&self, target: &str) -> Response {
        self.request("DELETE", target).send(self.address)
    }

    /// POST with a body and its Content-MD5.
    #[track_caller]
    pub fn post(&self, target: &str, body: &str) -> Response {
        let md5 = digest::md5_base64(body.as_bytes());
        self.request("POST", target).header("Content-MD5", &md5).body(body).send(self.address)
    }

    /// Every key below `prefix` of `bucket`, page by page of `page` keys.
    pub fn keys(&self, bucket: &str, prefix: &str, page: usize) -> Vec<String> {
        self.listed(bucket, prefix, page, "Key")
    }

    /// The size of every object below `prefix` of `bucket`.
    pub fn sizes(&self, bucket: &str, prefix: &str) -> Vec<u64> {
        let sizes = self.listed(bucket, prefix, 1000, "Size");
        sizes.iter().map(|size| size.parse().expect("a size is a number")).collect()
    }

    /// The text of `element` of every object below `prefix` of `bucket`.
    fn listed(&self, bucket: &str, prefix: &str, page: usize, element: &str) -> Vec<String> {
        let mut texts = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut target = format!("/{bucket}?list-type=2&max-keys={page}&prefix={}", percent(prefix));
            if let Some(token) = &token {
                target += &format!("&continuation-token={}", percent(token));
            }
            let text = self.get(&target).expect(200).text();
            let found = xml_values(&text, element);
            assert!(found.len() <= page, "a page of {page} holds {}", found.len());
            texts.extend(found);
            let next = xml_values(&text, "NextContinuationToken").pop();
            let truncated = xml_values(&text, "IsTruncated") == ["true"];
            assert_eq!(truncated, next.is_some(), "{text}");
            match next {
                Some(_) if next == token => panic!("the same continuation token twice"),
                Some(next) => token = Some(next),
                None => return texts,
            }
        }
    }

    /// Starts an upload and returns its id.
    #[track_caller]
    pub fn create_upload(&self, target: &str) -> String {
        let answer = self.request("POST", &format!("{target}?uploads")).body("").send(self.address).expect(200);
        xml_values(&answer.text(), "UploadId").pop().expect("an upload has an id")
    }

    /// Sends a part and returns its ETag, quotes included.
    #[track_caller]
    pub fn part(&self, target: &str, upload: &str, number: u32, bytes: &[u8]) -> String {
        let target = format!("{target}?partNumber={number}&uploadId={upload}");
        let answer = self.put(&target, bytes).expect(200);
        answer.header("etag").expect("a part has an ETag").to_owned()
    }

    /// Completes an upload.
    #[track_caller]
    pub fn complete(&self, target: &str, upload: &str, parts: &[(u32, &str)]) -> Response {
        let body = complete_body(parts);
        self.request("POST", &format!("{target}?uploadId={upload}")).body(body).send(self.address)
    }
}

/// The body of CompleteMultipartUpload.
pub fn complete_body(parts: &[(u32, &str)]) -> String {
    let parts: String = parts
        .iter()
        .map(|(number, etag)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"))
        .collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

/// The body of DeleteObjects.
pub fn delete_body<S: AsRef<str>>(keys: impl IntoIterator<Item = S>, quiet: bool) -> String {
    let objects: String =
        keys.into_iter().map(|key| format!("<Object><Key>{}</Key></Object>", escape(key.as_ref()))).collect();
    format!("<Delete><Quiet>{quiet}</Quiet>{objects}</Delete>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The texts of every `<tag>` of `xml`, in order.
pub fn xml_values(xml: &str, tag: &str) -> Vec<String> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut values = Vec::new();
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once(&open) {
        let Some((value, after)) = after.split_once(&close) else { break };
        values.push(unescape(value));
        rest = after;
    }
    values
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&#34;", "\"").replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&")
}

/// `text` percent-encoded, so that it can stand in a path or a query; slashes stay.
pub fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// How an aws-chunked body is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streaming {
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`: what restic and kopia send over http.
    Signed,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER`: what aws-sdk-rust sends over http.
    SignedTrailer,
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`: what boto3 sends over https.
    UnsignedTrailer,
}

impl Streaming {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Signed, Self::SignedTrailer, Self::UnsignedTrailer];

    /// The value of `x-amz-content-sha256`.
    pub fn sentinel(self) -> &'static str {
        match self {
            Self::Signed => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            Self::SignedTrailer => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            Self::UnsignedTrailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        }
    }

    /// `payload` in chunks of `chunk_bytes`, with a CRC32 trailer of `trailer_of` where this kind has trailers.
    pub fn encode(self, payload: &[u8], chunk_bytes: usize, trailer_of: &[u8]) -> Vec<u8> {
        self.encode_with(payload, chunk_bytes, &[("x-amz-checksum-crc32", &digest::crc32_base64(trailer_of))])
    }

    /// The same with trailers of the test's choice.
    pub fn encode_with(self, payload: &[u8], chunk_bytes: usize, trailers: &[(&str, &str)]) -> Vec<u8> {
        let signature = match self {
            Self::UnsignedTrailer => String::new(),
            Self::Signed | Self::SignedTrailer => format!(";chunk-signature={}", "0".repeat(64)),
        };
        let mut out = Vec::new();
        for chunk in payload.chunks(chunk_bytes) {
            out.extend(format!("{:x}{signature}\r\n", chunk.len()).bytes());
            out.extend(chunk);
            out.extend(b"\r\n");
        }
        out.extend(format!("0{signature}\r\n").bytes());
        if self != Self::Signed {
            out.extend(trailers.iter().flat_map(|(name, value)| format!("{name}:{value}\r\n").into_bytes()));
        }
        if self == Self::SignedTrailer {
            out.extend(format!("x-amz-trailer-signature:{}\r\n", "0".repeat(64)).bytes());
        }
        out.extend(b"\r\n");
        out
    }

    /// A PUT of an already encoded body, declared to decode to `decoded_length` bytes.
    pub fn put(self, door: &Door, target: &str, encoded: Vec<u8>, decoded_length: usize) -> Request {
        self.put_announcing(door, target, encoded, decoded_length, "x-amz-checksum-crc32")
    }

    /// The same, which announces a trailer of the test's choice where this kind has trailers.
    pub fn put_announcing(
        self,
        door: &Door,
        target: &str,
        encoded: Vec<u8>,
        decoded_length: usize,
        trailer: &str,
    ) -> Request {
        let request = door
            .request("PUT", target)
            .header("x-amz-content-sha256", self.sentinel())
            .header("x-amz-decoded-content-length", &decoded_length.to_string());
        let request = if self == Self::Signed { request } else { request.header("x-amz-trailer", trailer) };
        request.framed(Body::Sized(encoded))
    }
}

/// The base64 of `bytes`.
pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
