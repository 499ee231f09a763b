//! What SigV4 and SigV2 leave in a request: recognised, so that it can be dropped or refused. Never verified.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Headers that carry a signature, a credential, or exist only for them. The proxy forwards none of these.
pub const HEADERS: [&str; 4] = ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-region-set"];

/// SigV4's query parameters; compared without regard to case.
const QUERY_V4: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-region-set",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// SigV2's query parameters; compared as they are. `Expires` and `Signature` mean nothing in S3 otherwise.
const QUERY_V2: [&str; 3] = ["AWSAccessKeyId", "Expires", "Signature"];

/// Whether a query parameter belongs to a signature.
pub fn is_query_parameter(name: &str) -> bool {
    QUERY_V4.iter().any(|known| name.eq_ignore_ascii_case(known)) || QUERY_V2.contains(&name)
}

/// Whether the request has an `Authorization` of scheme `AWS4-…` or `AWS`.
pub fn in_headers(headers: &HeaderMap) -> bool {
    headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let scheme = value.split(' ').next().unwrap_or_default();
        scheme == "AWS" || scheme.starts_with("AWS4-")
    })
}

/// Whether the query is presigned, by SigV4 or SigV2.
pub fn in_query(raw_query: Option<&str>) -> bool {
    raw_query.unwrap_or_default().split('&').map(decoded_name).any(|name| {
        name.eq_ignore_ascii_case("x-amz-signature")
            || name.eq_ignore_ascii_case("x-amz-credential")
            || name == "AWSAccessKeyId"
    })
}

/// The query without its signature, and everything else byte for byte as it was; `None` when nothing is left.
pub fn strip_query(raw_query: Option<&str>) -> Option<String> {
    let kept: Vec<&str> =
        raw_query?.split('&').filter(|pair| !pair.is_empty() && !is_query_parameter(&decoded_name(pair))).collect();
    if kept.is_empty() { None } else { Some(kept.join("&")) }
}

fn decoded_name(pair: &str) -> String {
    let name = pair.split('=').next().unwrap_or_default();
    percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn both_signature_versions_are_recognised_in_authorization() {
        let with = |value: &'static str| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        assert!(in_headers(&with(
            "AWS4-HMAC-SHA256 Credential=AKIA/20130524/us-east-1/s3/aws4_request,SignedHeaders=h"
        )));
        assert!(in_headers(&with("AWS4-ECDSA-P256-SHA256 Credential=x")));
        assert!(in_headers(&with("AWS AKIAIOSFODNN7EXAMPLE:qgk2+6Sv9/oM7G3qLEjTH1a1l1g=")));
        assert!(!in_headers(&with("Bearer eyJ")));
        assert!(!in_headers(&with("AWSX key")));
        assert!(!in_headers(&HeaderMap::new()));
    }

    #[test]
    fn a_presigned_query_loses_its_signature_and_nothing_else() {
        let raw = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20130524&X-Amz-Date=20130524T000000Z\
                   &partNumber=1&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&uploadId=a%2Bb&X-Amz-Signature=aeee";
        assert!(in_query(Some(raw)));
        assert_eq!(strip_query(Some(raw)).as_deref(), Some("partNumber=1&uploadId=a%2Bb"));
        assert_eq!(strip_query(Some("AWSAccessKeyId=AKIA&Expires=1&Signature=x%3D")), None);
        assert_eq!(strip_query(Some("prefix=a+b%20&delimiter=%2f")).as_deref(), Some("prefix=a+b%20&delimiter=%2f"));
        assert_eq!(strip_query(None), None);
    }

    #[test]
    fn an_escaped_parameter_name_hides_nothing() {
        assert!(in_query(Some("X-Amz-%53ignature=aeee")));
        assert_eq!(strip_query(Some("X-Amz-%43redential=x&a=b")).as_deref(), Some("a=b"));
    }
}
