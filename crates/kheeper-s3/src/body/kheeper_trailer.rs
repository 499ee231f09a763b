//! What the proxy tells the server about a body: `x-kheeper-*` headers before it, and trailers after it.
//!
//! The trailers are the permission to commit. The proxy sends the last chunk, and the trailers with it, only once every
//! promise of its client held; a body that ends without them is never stored.

use http::{HeaderMap, HeaderName, HeaderValue};
use kheeper_model::{AttemptId, Checksum, ChecksumAlgorithm, ChecksumKind, Crc64Nvme, Md5Digest};

use super::declared::is_checksum_value;
use super::verify::Verified;
use crate::header::single;
use crate::{S3Error, S3ErrorCode};

/// Which write this is, the same on each retry of it: 32 hex digits.
pub const ATTEMPT: HeaderName = HeaderName::from_static("x-kheeper-attempt");
/// Bytes of the payload, which HTTP does not say in a chunked message.
pub const LENGTH: HeaderName = HeaderName::from_static("x-kheeper-length");
/// Trailer: CRC-64/NVME of the payload, base64 of its eight bytes.
pub const CRC64NVME: HeaderName = HeaderName::from_static("x-kheeper-crc64nvme");
/// Trailer: MD5 of the payload, 32 hex digits.
pub const MD5: HeaderName = HeaderName::from_static("x-kheeper-md5");

/// Whether a header is ours, and so must never be taken from an S3 client.
pub fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-kheeper-")
}

/// The value of the `Trailer` header that announces the trailers.
pub fn announcement(checksum: Option<ChecksumAlgorithm>) -> HeaderValue {
    HeaderValue::from_static(match checksum {
        None => "x-kheeper-crc64nvme, x-kheeper-md5",
        Some(ChecksumAlgorithm::Crc32) => "x-kheeper-crc64nvme, x-kheeper-md5, x-amz-checksum-crc32",
        Some(ChecksumAlgorithm::Crc32c) => "x-kheeper-crc64nvme, x-kheeper-md5, x-amz-checksum-crc32c",
        Some(ChecksumAlgorithm::Crc64nvme) => "x-kheeper-crc64nvme, x-kheeper-md5, x-amz-checksum-crc64nvme",
        Some(ChecksumAlgorithm::Sha1) => "x-kheeper-crc64nvme, x-kheeper-md5, x-amz-checksum-sha1",
        Some(ChecksumAlgorithm::Sha256) => "x-kheeper-crc64nvme, x-kheeper-md5, x-amz-checksum-sha256",
    })
}

/// Whether a request's `Trailer` header announces a proxy's trailers.
pub fn is_announced(headers: &HeaderMap) -> bool {
    let values = headers.get_all(http::header::TRAILER).iter();
    let mut names = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(CRC64NVME.as_str().as_bytes()))
}

/// The attempt that a request belongs to; `None` for callers that do not retry.
pub fn attempt(headers: &HeaderMap) -> Result<Option<AttemptId>, S3Error> {
    let Some(text) = single(headers, ATTEMPT.as_str())? else { return Ok(None) };
    let attempt = text.parse().map_err(|_| S3Error::invalid_argument("Not an attempt id.", ATTEMPT.as_str(), text))?;
    Ok(Some(attempt))
}

/// Bytes of the payload that follows, as the proxy says.
pub fn length(headers: &HeaderMap) -> Result<Option<u64>, S3Error> {
    let Some(text) = single(headers, LENGTH.as_str())? else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if digits => Ok(Some(length)),
        _ => Err(S3Error::invalid_argument("Not a number of bytes.", LENGTH.as_str(), text)),
    }
}

/// What a proxy's trailers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyTrailers {
    /// CRC-64/NVME of the payload.
    pub crc64nvme: Crc64Nvme,
    /// MD5 of the payload, which becomes the ETag.
    pub md5: Md5Digest,
    /// The checksum that the client declared and that the proxy verified.
    pub checksum: Option<Checksum>,
}

impl ProxyTrailers {
    /// What to send once a payload was verified; `None` where its MD5 was not computed.
    pub fn of(verified: &Verified) -> Option<Self> {
        let Verified { crc64nvme, md5, checksum, .. } = verified;
        Some(Self { crc64nvme: *crc64nvme, md5: (*md5)?, checksum: checksum.clone() })
    }

    /// The trailers to send.
    pub fn to_trailers(&self) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("base64 and hex are valid header values");
        let mut trailers = HeaderMap::with_capacity(3);
        trailers.insert(CRC64NVME, value(&self.crc64nvme.to_base64()));
        trailers.insert(MD5, value(&self.md5.to_hex()));
        if let Some(checksum) = &self.checksum {
            trailers.insert(HeaderName::from_static(checksum.algorithm.header()), value(&checksum.value));
        }
        trailers
    }

    /// Reads the trailers that arrived; `MalformedTrailerError` where one is missing or malformed.
    pub fn from_trailers(trailers: &HeaderMap) -> Result<Self, S3Error> {
        let malformed = |name: &str| {
            S3Error::new(S3ErrorCode::MalformedTrailerError)
                .with_message(format!("The trailer {name} is missing or malformed."))
        };
        let text = |name: &str| single(trailers, name).map_err(|_| malformed(name));
        let crc64nvme =
            text(CRC64NVME.as_str())?.and_then(Crc64Nvme::from_base64).ok_or_else(|| malformed(CRC64NVME.as_str()))?;
        let md5 = text(MD5.as_str())?.and_then(Md5Digest::from_hex).ok_or_else(|| malformed(MD5.as_str()))?;
        let mut checksum = None;
        for algorithm in ChecksumAlgorithm::ALL {
            let Some(value) = text(algorithm.header())? else { continue };
            if checksum.is_some() || !is_checksum_value(algorithm, value) {
                return Err(malformed(algorithm.header()));
            }
            checksum = Some(Checksum { algorithm, kind: ChecksumKind::FullObject, value: value.to_owned() });
        }
        Ok(Self { crc64nvme, md5, checksum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(checksum: Option<Checksum>) -> ProxyTrailers {
        ProxyTrailers { crc64nvme: Crc64Nvme(0x0102_0304_0506_0708), md5: Md5Digest([0xab; 16]), checksum }
    }

    #[test]
    fn trailers_round_trip_with_and_without_a_checksum() {
        let crc32 = Checksum {
            algorithm: ChecksumAlgorithm::Crc32,
            kind: ChecksumKind::FullObject,
            value: "y/Q5Jg==".to_owned(),
        };
        for sent in [trailers(None), trailers(Some(crc32))] {
            assert_eq!(ProxyTrailers::from_trailers(&sent.to_trailers()), Ok(sent));
        }
    }

    #[test]
    fn every_trailer_that_is_sent_was_announced() {
        for algorithm in ChecksumAlgorithm::ALL {
            let checksum = Checksum { algorithm, kind: ChecksumKind::FullObject, value: "AAAA".to_owned() };
            let announced = announcement(Some(algorithm));
            let announced: Vec<&str> = announced.to_str().expect("ascii").split(", ").collect();
            let sent = trailers(Some(checksum)).to_trailers();
            assert!(sent.keys().all(|name| announced.contains(&name.as_str())), "{algorithm}");
            assert_eq!(announced.len(), sent.len());
        }
    }

    #[test]
    fn an_announcement_is_recognised_in_any_case() {
        let with = |value: HeaderValue| HeaderMap::from_iter([(http::header::TRAILER, value)]);
        assert!(is_announced(&with(announcement(None))));
        assert!(is_announced(&with(HeaderValue::from_static("X-Kheeper-MD5,X-Kheeper-CRC64NVME"))));
        assert!(!is_announced(&with(HeaderValue::from_static("x-amz-checksum-crc32"))));
        assert!(!is_announced(&HeaderMap::new()));
    }

    #[test]
    fn a_missing_or_malformed_trailer_is_no_permission_to_commit() {
        let good = trailers(None).to_trailers();
        for broken in [CRC64NVME, MD5] {
            let mut trailers = good.clone();
            trailers.remove(&broken);
            let error = ProxyTrailers::from_trailers(&trailers).expect_err("missing");
            assert_eq!(error.code, S3ErrorCode::MalformedTrailerError);
            trailers.insert(broken, HeaderValue::from_static("zz"));
            assert!(ProxyTrailers::from_trailers(&trailers).is_err());
        }
        let mut twice = good;
        twice.append(MD5, HeaderValue::from_static("abababababababababababababababab"));
        assert!(ProxyTrailers::from_trailers(&twice).is_err());
    }

    #[test]
    fn marks_are_read_strictly() {
        let with =
            |name: HeaderName, value: &'static str| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        assert_eq!(length(&with(LENGTH, "12")), Ok(Some(12)));
        assert_eq!(length(&HeaderMap::new()), Ok(None));
        assert!(length(&with(LENGTH, "+12")).is_err());
        assert!(attempt(&with(ATTEMPT, "xyz")).is_err());
        let id = attempt(&with(ATTEMPT, "000102030405060708090a0b0c0d0e0f")).expect("valid").expect("given");
        assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0e0f");
    }
}
