//! What a case runs against: kheeper through a host's proxy, or the peer. Requests are the same bytes, but for who signs.

use std::io::{BufReader, ErrorKind, Read as _};
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use kheeper_e2e::s3::{DUMMY_AUTHORIZATION, Streaming, complete_body, percent, xml_values};
use kheeper_e2e::sigv4::{self, ChunkSigner};
use kheeper_e2e::{Body, Request, Response, digest, http};

use crate::peer::PEER_KEY;
use crate::stage::{Kheeper, Stage};

/// The bucket of both.
pub(crate) const BUCKET: &str = "myorg";

/// A store, and a prefix in it that no other case uses.
pub(crate) struct Subject {
    stage: Arc<Stage>,
    peer: bool,
    prefix: String,
}

/// Hashes bytes, and writes the hash as its header has it.
pub(crate) type HashValue = fn(&[u8]) -> String;

/// The seven ways of hashing a body that a request may promise: header, and the value for some bytes.
pub(crate) const PROMISES: [(&str, HashValue); 7] = [
    ("Content-MD5", digest::md5_base64),
    ("x-amz-checksum-crc32", digest::crc32_base64),
    ("x-amz-checksum-crc32c", digest::crc32c_base64),
    ("x-amz-checksum-crc64nvme", digest::crc64nvme_base64),
    ("x-amz-checksum-sha1", digest::sha1_base64),
    ("x-amz-checksum-sha256", digest::sha256_base64),
    ("x-amz-content-sha256", digest::sha256_hex),
];

impl Subject {
    pub(crate) fn kheeper(stage: Arc<Stage>) -> Self {
        let prefix = format!("web-01/{}/", stage.next_case());
        Self { stage, peer: false, prefix }
    }

    pub(crate) fn peer(stage: Arc<Stage>) -> Self {
        let prefix = format!("web-01/{}/", stage.next_case());
        Self { stage, peer: true, prefix }
    }

    /// What is kheeper's alone; `None` for the peer.
    pub(crate) fn own(&self) -> Option<&Kheeper> {
        (!self.peer).then(|| self.stage.kheeper())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        if self.peer { self.stage.peer().address } else { self.stage.kheeper().proxy.address() }
    }

    /// The prefix of this case's keys.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key called `name`.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The path of the key called `name`, encoded as clients do it.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("/{BUCKET}/{}", percent(&self.key(name)))
    }

    /// The path of an object that this caller may not write.
    pub(crate) fn forbidden_path(&self) -> String {
        if self.peer { "/nobodys-bucket/x".into() } else { format!("/{BUCKET}/web-02/x") }
    }

    /// With credentials: made up for kheeper, and signed for the peer, which also gives what signs chunks.
    pub(crate) fn signed(&self, mut request: Request) -> (Request, Option<ChunkSigner>) {
        let has =
            |request: &Request, name: &str| request.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
        if !has(&request, "host") {
            request = request.header("Host", &self.address().to_string());
        }
        if !has(&request, "x-amz-content-sha256") {
            request = request.header("x-amz-content-sha256", sigv4::UNSIGNED);
        }
        if !self.peer {
            let request = if has(&request, "authorization") {
                request
            } else {
                request.header("Authorization", DUMMY_AUTHORIZATION)
            };
            return (request, None);
        }
        let signature = {
            let lower: Vec<(String, &str)> =
                request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.trim())).collect();
            let headers: Vec<(&str, &str)> = lower
                .iter()
                .map(|(name, value)| (name.as_str(), *value))
                .filter(|(name, _)| name.starts_with("x-amz-") || *name == "host" || *name == "content-md5")
                .collect();
            let payload = headers.iter().find(|(name, _)| *name == "x-amz-content-sha256").expect("added above").1;
            let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
            let unsigned = sigv4::Unsigned { method: &request.method, path, query, headers: &headers, payload };
            sigv4::sign(PEER_KEY, &unsigned, Timestamp::now())
        };
        // A client that writes its own form of the header has it replaced, in the same form.
        let own_form = request.headers.iter().position(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let authorization = match own_form {
            Some(at) if request.headers.remove(at).1.contains(",SignedHeaders") => {
                signature.authorization.replace(", ", ",")
            }
            _ => signature.authorization,
        };
        let request = request.header("x-amz-date", &signature.date).header("Authorization", &authorization);
        (request, Some(signature.chunks))
    }

    /// Sends a request with credentials.
    #[track_caller]
    pub(crate) fn send(&self, request: Request) -> Response {
        self.signed(request).0.send(self.address())
    }

    #[track_caller]
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Response {
        self.send(Request::new("PUT", &self.path(name)).body(bytes))
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.send(Request::new("GET", target))
    }

    #[track_caller]
    pub(crate) fn head(&self, target: &str) -> Response {
        self.send(Request::new("HEAD", target))
    }

    #[track_caller]
    pub(crate) fn delete(&self, target: &str) -> Response {
        self.send(Request::new("DELETE", target))
    }

    /// POST of a document with its Content-MD5.
    #[track_caller]
    pub(crate) fn post(&self, target: &str, document: &str) -> Response {
        let md5 = digest::md5_base64(document.as_bytes());
        self.send(Request::new("POST", target).header("Content-MD5", &md5).body(document))
    }

    /// Starts an upload and returns its id.
    #[track_caller]
    pub(crate) fn create_upload(&self, name: &str) -> String {
        let answer = self.send(Request::new("POST", &format!("{}?uploads=", self.path(name))).body("")).expect(200);
        xml_values(&answer.text(), "UploadId").pop().expect("an upload has an id")
    }

    /// Sends a part and returns its ETag, quotes included.
    #[track_caller]
    pub(crate) fn part(&self, name: &str, upload: &str, number: u32, bytes: &[u8]) -> String {
        let target = format!("{}?partNumber={number}&uploadId={upload}", self.path(name));
        let answer = self.send(Request::new("PUT", &target).body(bytes)).expect(200);
        answer.header("etag").expect("a part has an ETag").to_owned()
    }

    /// Completes an upload.
    #[track_caller]
    pub(crate) fn complete(&self, name: &str, upload: &str, parts: &[(u32, &str)]) -> Response {
        let target = format!("{}?uploadId={upload}", self.path(name));
        self.send(Request::new("POST", &target).body(complete_body(parts)))
    }

    /// A listing of this case's keys, with further parameters (`&name=value…`).
    #[track_caller]
    pub(crate) fn list(&self, parameters: &str) -> String {
        let prefix = percent(&self.prefix);
        self.get(&format!("/{BUCKET}?list-type=2&prefix={prefix}{parameters}")).expect(200).text()
    }

    /// An aws-chunked PUT of `payload` in chunks of `chunk_bytes`, with further headers; `frame` puts the framed body into a message.
    pub(crate) fn stream(
        &self,
        kind: Streaming,
        name: &str,
        payload: &[u8],
        chunk_bytes: usize,
        headers: &[(&str, &str)],
        frame: impl FnOnce(Vec<u8>) -> Body,
    ) -> Request {
        let mut request = Request::new("PUT", &self.path(name)).header("x-amz-content-sha256", kind.sentinel());
        if kind != Streaming::Signed {
            request = request.header("x-amz-trailer", "x-amz-checksum-crc32");
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if !headers.iter().any(|(name, _)| *name == "x-amz-decoded-content-length") {
            request = request.header("x-amz-decoded-content-length", &payload.len().to_string());
        }
        let (request, signer) = self.signed(request);
        let body = match signer {
            None => kind.encode(payload, chunk_bytes, payload),
            Some(signer) => signed_chunks(kind, payload, chunk_bytes, signer),
        };
        request.framed(frame(body))
    }

    /// Everything that comes back on the connection, to its end.
    pub(crate) fn raw_answer(&self, request: Request) -> Vec<u8> {
        let (request, _) = self.signed(request.header("Connection", "close"));
        let mut stream = request.open(self.address()).expect("it listens");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the connection is closed after the answer");
        answer
    }

    /// Sends the head of `request`, which has its credentials, and not a byte of its body. The first status that comes; where
    /// that is 100, nothing else has come, the body is sent, and this is the answer to it.
    #[track_caller]
    pub(crate) fn ask_first(&self, request: Request) -> (u16, Option<Response>) {
        let request = request.header("Expect", "100-continue");
        let mut stream = request.open(self.address()).expect("it listens");
        let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
        let (status, _) = http::read_head(&mut reader).expect("an answer before the body");
        if status != 100 {
            return (status, None);
        }
        stream.set_nonblocking(true).expect("a socket");
        let more = stream.peek(&mut [0]).map_err(|error| error.kind());
        assert!(
            reader.buffer().is_empty() && more == Err(ErrorKind::WouldBlock),
            "an answer to a body that was not sent"
        );
        stream.set_nonblocking(false).expect("a socket");
        request.write_body(&mut stream).expect("the body is wanted");
        (status, Some(http::read_response(&mut reader, &request.method).expect("an answer")))
    }
}

fn signed_chunks(kind: Streaming, payload: &[u8], chunk_bytes: usize, mut signer: ChunkSigner) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in payload.chunks(chunk_bytes).chain([&[][..]]) {
        let signature = match kind {
            Streaming::UnsignedTrailer => String::new(),
            Streaming::Signed | Streaming::SignedTrailer => format!(";chunk-signature={}", signer.chunk(chunk)),
        };
        body.extend(format!("{:x}{signature}\r\n", chunk.len()).bytes());
        if !chunk.is_empty() {
            body.extend(chunk);
            body.extend(b"\r\n");
        }
    }
    let checksum = format!("x-amz-checksum-crc32:{}", digest::crc32_base64(payload));
    if kind != Streaming::Signed {
        body.extend(format!("{checksum}\r\n").bytes());
    }
    if kind == Streaming::SignedTrailer {
        let signature = signer.trailers(&format!("{checksum}\n"));
        body.extend(format!("x-amz-trailer-signature:{signature}\r\n").bytes());
    }
    body.extend(b"\r\n");
    body
}
