//! As much of AWS Signature Version 4 as a peer asks of a client that leaves the payload unsigned.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use jiff::Timestamp;

/// What stands for the payload's hash.
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

const REGION: &str = "us-east-1";
const SIGNED_HEADERS: &str = "host;x-amz-content-sha256;x-amz-date";

/// A static credential, as peers have them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StaticKey {
    /// The access key's id.
    pub(crate) id: &'static str,
    /// Its secret.
    pub(crate) secret: &'static str,
}

/// The two headers that a signed request carries beside [`UNSIGNED`].
#[derive(Debug)]
pub(crate) struct Signature {
    /// `x-amz-date`.
    pub(crate) date: String,
    /// `authorization`.
    pub(crate) authorization: String,
}

/// Signs a request without a query, whose path needs no encoding.
pub(crate) fn sign(key: StaticKey, method: &str, host: &str, path: &str, now: Timestamp) -> Signature {
    let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = &date[..8];
    let canonical = format!(
        "{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{UNSIGNED}\nx-amz-date:{date}\n\n{SIGNED_HEADERS}\n{UNSIGNED}"
    );
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(digest(&SHA256, canonical.as_bytes())));
    let first = format!("AWS4{}", key.secret).into_bytes();
    let signing = [day, REGION, "s3", "aws4_request"].iter().fold(first, |key, word| mac(&key, word));
    let signature = hex::encode(mac(&signing, &text));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={SIGNED_HEADERS}, Signature={signature}",
        key.id
    );
    Signature { date, authorization }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What botocore 1.43 (`S3SigV4Auth`) makes of the same key, time and an unsigned payload.
    #[test]
    fn an_unsigned_payload_is_signed_as_botocore_does() {
        let key = StaticKey { id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
        let now: Timestamp = "2013-05-24T00:00:00Z".parse().expect("a time");
        let signature = sign(key, "GET", "127.0.0.1:7070", "/bucket/a/b", now);
        assert_eq!(signature.date, "20130524T000000Z");
        assert_eq!(
            signature.authorization,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=f18063f543cdd2cd2519b17ec5077b7de3bd7e3db40378820c95c479a66d6aae"
        );
    }
}
