//! AWS Signature Version 4, for the stores that believe in it: peers, beside which kheeper is tested and measured.
//!
//! Requests with their queries, payloads of any kind, and the chunks and trailers of aws-chunked bodies. (Amazon S3 API
//! Reference, "Authenticating Requests (AWS Signature Version 4)".)

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use jiff::Timestamp;

/// What stands for the payload's hash where the payload is not signed.
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

const REGION: &str = "us-east-1";

/// A static credential, as peers have them.
#[derive(Debug, Clone, Copy)]
pub struct StaticKey {
    /// The access key's id.
    pub id: &'static str,
    /// Its secret.
    pub secret: &'static str,
}

/// A request that is about to be signed.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path as it goes on the wire.
    pub path: &'a str,
    /// Its query as it goes on the wire, without the question mark.
    pub query: &'a str,
    /// The headers to sign: names in lower case, `host` and `x-amz-content-sha256` among them, `x-amz-date` not.
    pub headers: &'a [(&'a str, &'a str)],
    /// The value of `x-amz-content-sha256`.
    pub payload: &'a str,
}

/// What a signed request carries more.
#[derive(Debug, Clone)]
pub struct Signature {
    /// `x-amz-date`.
    pub date: String,
    /// `authorization`.
    pub authorization: String,
    /// What the chunks of its body are signed with.
    pub chunks: ChunkSigner,
}

/// Signs a request.
pub fn sign(key: StaticKey, request: &Unsigned<'_>, now: Timestamp) -> Signature {
    let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = &date[..8];
    let mut headers = request.headers.to_vec();
    headers.push(("x-amz-date", &date));
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let Unsigned { method, payload, .. } = request;
    // A plus in a path is a plus, and its canonical spelling is the escape.
    let path = request.path.replace('+', "%2B");
    let canonical = format!("{method}\n{path}\n{}\n{lines}\n{names}\n{payload}", canonical_query(request.query));
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hash(canonical.as_bytes()));
    let first = format!("AWS4{}", key.secret).into_bytes();
    let signing = [day, REGION, "s3", "aws4_request"].iter().fold(first, |key, word| mac(&key, word));
    let signature = hex::encode(mac(&signing, &text));
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", key.id);
    Signature { authorization, chunks: ChunkSigner { signing, date: date.clone(), scope, previous: signature }, date }
}

/// Parameters sorted by their encoded names; a bare one gets its `=`. `+`, which stands for a space, is `%20` here.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.replace('+', "%20"), value.replace('+', "%20").replace('/', "%2F")))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Signs the chunks of an aws-chunked body, each with the signature before it.
#[derive(Debug, Clone)]
pub struct ChunkSigner {
    signing: Vec<u8>,
    date: String,
    scope: String,
    previous: String,
}

impl ChunkSigner {
    /// The signature of the next chunk.
    pub fn chunk(&mut self, bytes: &[u8]) -> String {
        self.next("AWS4-HMAC-SHA256-PAYLOAD", &format!("{}\n{}", hash(b""), hash(bytes)))
    }

    /// The signature of the trailers, each as `name:value` and a line feed.
    pub fn trailers(&mut self, lines: &str) -> String {
        self.next("AWS4-HMAC-SHA256-TRAILER", &hash(lines.as_bytes()))
    }

    fn next(&mut self, algorithm: &str, what: &str) -> String {
        let text = format!("{algorithm}\n{}\n{}\n{}\n{what}", self.date, self.scope, self.previous);
        self.previous = hex::encode(mac(&self.signing, &text));
        self.previous.clone()
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the examples in the S3 API Reference.
    const KEY: StaticKey = StaticKey { id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };

    fn then() -> Timestamp {
        "2013-05-24T00:00:00Z".parse().expect("a time")
    }

    /// What botocore 1.43 (`S3SigV4Auth`) makes of the same key, time and an unsigned payload.
    #[test]
    fn an_unsigned_payload_is_signed_as_botocore_does() {
        let request = Unsigned {
            method: "GET",
            path: "/bucket/a/b",
            query: "",
            headers: &[("host", "127.0.0.1:7070"), ("x-amz-content-sha256", UNSIGNED)],
            payload: UNSIGNED,
        };
        let signature = sign(KEY, &request, then());
        assert_eq!(signature.date, "20130524T000000Z");
        assert_eq!(
            signature.authorization,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=f18063f543cdd2cd2519b17ec5077b7de3bd7e3db40378820c95c479a66d6aae"
        );
    }

    #[test]
    fn aws_signature_version_4_example_get_bucket_list_objects() {
        const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let request = Unsigned {
            method: "GET",
            path: "/",
            query: "prefix=J&max-keys=2",
            headers: &[("host", "examplebucket.s3.amazonaws.com"), ("x-amz-content-sha256", EMPTY)],
            payload: EMPTY,
        };
        let authorization = sign(KEY, &request, then()).authorization;
        assert!(authorization.ends_with("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
    }

    #[test]
    fn aws_signature_version_4_example_chunked_upload() {
        const PAYLOAD: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
        let request = Unsigned {
            method: "PUT",
            path: "/examplebucket/chunkObject.txt",
            query: "",
            headers: &[
                ("content-encoding", "aws-chunked"),
                ("content-length", "66824"),
                ("host", "s3.amazonaws.com"),
                ("x-amz-content-sha256", PAYLOAD),
                ("x-amz-decoded-content-length", "66560"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            payload: PAYLOAD,
        };
        let mut signature = sign(KEY, &request, then());
        assert!(signature.authorization.ends_with("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"));
        let chunks = [&[b'a'; 65536][..], &[b'a'; 1024], &[]].map(|chunk| signature.chunks.chunk(chunk));
        assert_eq!(
            chunks,
            [
                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
            ]
        );
    }
}
