//! What a request's headers promise about its body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use kheeper_model::{ChecksumAlgorithm, Md5Digest};

use crate::header::single;
use crate::operation::OperationKind;
use crate::{S3Error, S3ErrorCode};

/// How a body is framed, beneath HTTP's own framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The body is the payload.
    Plain,
    /// The body is aws-chunked, and [`crate::body::aws_chunked::Decoder`] gives the payload.
    AwsChunked,
}

/// The additional checksum that was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredChecksum {
    /// Its value stood in a header.
    Header {
        /// Which algorithm.
        algorithm: ChecksumAlgorithm,
        /// The value in base64, which decodes to a digest of the right size.
        value: String,
    },
    /// Its value will stand in a trailer.
    Trailer {
        /// Which algorithm.
        algorithm: ChecksumAlgorithm,
    },
}

impl DeclaredChecksum {
    /// Which algorithm.
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        match self {
            Self::Header { algorithm, .. } | Self::Trailer { algorithm } => *algorithm,
        }
    }
}

/// What a request's headers promise about its payload: the bytes after S3's own framing was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// How the body is framed. Decided by `x-amz-content-sha256` and by nothing else.
    pub framing: Framing,
    /// Bytes of the payload; `None` where HTTP's chunks alone will tell.
    pub length: Option<u64>,
    /// `Content-MD5`.
    pub content_md5: Option<Md5Digest>,
    /// `x-amz-content-sha256`, where it is a hash.
    pub sha256: Option<[u8; 32]>,
    /// The additional checksum, if any; S3 allows one.
    pub checksum: Option<DeclaredChecksum>,
}

impl Declared {
    /// Reads the promises of a PutObject, an UploadPart, or a document.
    ///
    /// `InvalidRequest` where headers contradict each other, above all for aws-chunked bodies that
    /// `x-amz-content-sha256` does not announce: stored as they are, they would be a backup with framing inside.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, S3Error> {
        let content_sha256 = ContentSha256::from_headers(headers)?;
        let framing = content_sha256.framing();
        if framing == Framing::Plain {
            refuse_unannounced_framing(headers)?;
        }
        Ok(Self {
            framing,
            length: length(headers, framing)?,
            content_md5: content_md5(headers)?,
            sha256: content_sha256.digest(),
            checksum: checksum(headers)?,
        })
    }

    /// Reads the promises of an operation's body. On CompleteMultipartUpload `x-amz-checksum-*` is the object's, not
    /// the document's; see [`crate::operation::CompleteMultipartUpload::object_checksum`].
    pub fn for_operation(operation: OperationKind, headers: &HeaderMap) -> Result<Self, S3Error> {
        if operation != OperationKind::CompleteMultipartUpload {
            return Self::from_headers(headers);
        }
        let mut of_body = headers.clone();
        for algorithm in ChecksumAlgorithm::ALL {
            of_body.remove(algorithm.header());
        }
        Self::from_headers(&of_body)
    }

    /// The promise of nothing but a length: of bytes that are not from a client.
    pub fn of_length(length: u64) -> Self {
        Self { framing: Framing::Plain, length: Some(length), content_md5: None, sha256: None, checksum: None }
    }

    /// The payload's length; `MissingContentLength` where nobody said.
    pub fn require_length(&self) -> Result<u64, S3Error> {
        self.length.ok_or_else(|| S3Error::new(S3ErrorCode::MissingContentLength))
    }

    /// The algorithm of the additional checksum, if one was promised.
    pub fn checksum_algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.checksum.as_ref().map(DeclaredChecksum::algorithm)
    }
}

/// `x-amz-content-sha256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentSha256 {
    Absent,
    Unsigned,
    Digest([u8; 32]),
    Streaming,
}

impl ContentSha256 {
    fn from_headers(headers: &HeaderMap) -> Result<Self, S3Error> {
        const HEADER: &str = "x-amz-content-sha256";
        let Some(value) = single(headers, HEADER)? else { return Ok(Self::Absent) };
        match value {
            "UNSIGNED-PAYLOAD" => return Ok(Self::Unsigned),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
            | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
            | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
            | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
            | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => return Ok(Self::Streaming),
            _ if value.starts_with("STREAMING-") => {
                return Err(S3Error::not_implemented(format!("{HEADER}: {value}")));
            }
            _ => {}
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(value, &mut digest).map_err(|_| {
            S3Error::invalid_argument(
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, one of the STREAMING- values, or a valid sha256 value.",
                HEADER,
                value,
            )
        })?;
        Ok(Self::Digest(digest))
    }

    fn framing(self) -> Framing {
        if self == Self::Streaming { Framing::AwsChunked } else { Framing::Plain }
    }

    fn digest(self) -> Option<[u8; 32]> {
        if let Self::Digest(digest) = self { Some(digest) } else { None }
    }
}

fn refuse_unannounced_framing(headers: &HeaderMap) -> Result<(), S3Error> {
    let refuse = |what: &str| {
        let message = format!("{what} needs an x-amz-content-sha256 that begins with STREAMING-.");
        Err(S3Error::invalid_request(message))
    };
    for header in ["x-amz-decoded-content-length", "x-amz-trailer"] {
        if headers.contains_key(header) {
            return refuse(header);
        }
    }
    let encodings = headers.get_all(http::header::CONTENT_ENCODING).iter();
    let mut codings = encodings.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    if codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"aws-chunked")) {
        return refuse("Content-Encoding: aws-chunked");
    }
    Ok(())
}

fn length(headers: &HeaderMap, framing: Framing) -> Result<Option<u64>, S3Error> {
    match framing {
        Framing::Plain => number(headers, "content-length"),
        Framing::AwsChunked => match number(headers, "x-amz-decoded-content-length")? {
            Some(length) => Ok(Some(length)),
            None => Err(S3Error::new(S3ErrorCode::MissingContentLength)
                .with_message("You must provide the x-amz-decoded-content-length HTTP header.")),
        },
    }
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, S3Error> {
    let Some(text) = single(headers, name)? else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(Some(number)),
        _ => Err(S3Error::invalid_argument("The header's value is not a number of bytes.", name, text)),
    }
}

fn content_md5(headers: &HeaderMap) -> Result<Option<Md5Digest>, S3Error> {
    let Some(text) = single(headers, "content-md5")? else { return Ok(None) };
    match Md5Digest::from_base64(text) {
        Some(digest) => Ok(Some(digest)),
        None => Err(S3Error::new(S3ErrorCode::InvalidDigest).with_field("Content-MD5", text)),
    }
}

fn checksum(headers: &HeaderMap) -> Result<Option<DeclaredChecksum>, S3Error> {
    let mut found = checksum_in_trailer(headers)?.map(|algorithm| DeclaredChecksum::Trailer { algorithm });
    for algorithm in ChecksumAlgorithm::ALL {
        let Some(value) = single(headers, algorithm.header())? else { continue };
        if found.is_some() {
            return Err(S3Error::invalid_request("Expecting a single x-amz-checksum- header"));
        }
        if !is_checksum_value(algorithm, value) {
            let message = format!("Value for {} header is invalid.", algorithm.header());
            return Err(S3Error::invalid_request(message));
        }
        found = Some(DeclaredChecksum::Header { algorithm, value: value.to_owned() });
    }
    Ok(found)
}

fn checksum_in_trailer(headers: &HeaderMap) -> Result<Option<ChecksumAlgorithm>, S3Error> {
    let mut found = None;
    for value in headers.get_all("x-amz-trailer") {
        let names = std::str::from_utf8(value.as_bytes()).unwrap_or_default();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let Some(algorithm) = ChecksumAlgorithm::from_header(&name.to_ascii_lowercase()) else {
                return Err(S3Error::invalid_request(
                    "The value specified in the x-amz-trailer header is not supported",
                ));
            };
            if found.replace(algorithm).is_some() {
                return Err(S3Error::invalid_request("Expecting a single x-amz-checksum- header"));
            }
        }
    }
    Ok(found)
}

/// Whether a text can be the value of a checksum of this algorithm.
pub(crate) fn is_checksum_value(algorithm: ChecksumAlgorithm, value: &str) -> bool {
    STANDARD.decode(value).is_ok_and(|digest| digest.len() == algorithm.digest_bytes())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn declared(pairs: &[(&'static str, &'static str)]) -> Result<Declared, S3ErrorCode> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Declared::from_headers(&headers).map_err(|error| error.code)
    }

    #[test]
    fn restic_and_kopia_announce_framing_by_content_sha256_alone() {
        let declared = declared(&[
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("x-amz-decoded-content-length", "66560"),
            ("content-length", "66824"),
        ])
        .expect("valid");
        assert_eq!((declared.framing, declared.length), (Framing::AwsChunked, Some(66_560)));
    }

    #[test]
    fn boto3_over_https_sends_an_unsigned_trailer_and_no_content_length() {
        let declared = declared(&[
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("content-encoding", "aws-chunked"),
            ("transfer-encoding", "chunked"),
            ("x-amz-decoded-content-length", "5"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ])
        .expect("valid");
        assert_eq!(declared.framing, Framing::AwsChunked);
        assert_eq!(declared.checksum, Some(DeclaredChecksum::Trailer { algorithm: ChecksumAlgorithm::Crc32 }));
    }

    #[test]
    fn wal_g_sends_a_hash_and_content_md5() {
        let declared = declared(&[
            ("x-amz-content-sha256", EMPTY_SHA256),
            ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
            ("content-length", "0"),
        ])
        .expect("valid");
        assert_eq!((declared.framing, declared.length), (Framing::Plain, Some(0)));
        assert_eq!(declared.content_md5.map(Md5Digest::to_hex).as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(declared.sha256.map(hex::encode).as_deref(), Some(EMPTY_SHA256));
    }

    #[test]
    fn framing_that_was_not_announced_is_refused() {
        for pair in [
            ("content-encoding", "aws-chunked"),
            ("content-encoding", "gzip, aws-chunked"),
            ("x-amz-decoded-content-length", "5"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ] {
            assert_eq!(declared(&[pair]), Err(S3ErrorCode::InvalidRequest), "{pair:?}");
            let unsigned = ("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
            assert_eq!(declared(&[unsigned, pair]), Err(S3ErrorCode::InvalidRequest), "{pair:?}");
        }
    }

    #[test]
    fn what_is_malformed_has_its_own_code() {
        use S3ErrorCode::*;
        let streaming = ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
        for (pairs, code) in [
            (&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg")][..], InvalidDigest),
            (&[("content-md5", "AAAA")], InvalidDigest),
            (&[("x-amz-content-sha256", "abc")], InvalidArgument),
            (&[("x-amz-content-sha256", "STREAMING-FANCY")], NotImplemented),
            (&[streaming], MissingContentLength),
            (&[streaming, ("x-amz-decoded-content-length", "-1")], InvalidArgument),
            (&[streaming, ("x-amz-decoded-content-length", "+1")], InvalidArgument),
            (
                &[streaming, ("x-amz-decoded-content-length", "5"), ("x-amz-decoded-content-length", "6")],
                InvalidArgument,
            ),
            (&[streaming, ("x-amz-decoded-content-length", "5"), ("x-amz-trailer", "x-foo")], InvalidRequest),
            (&[("x-amz-checksum-crc32", "AAAAAAAA")], InvalidRequest),
            (&[("x-amz-checksum-crc32", "not base64")], InvalidRequest),
            (&[("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "AAAAAA==")], InvalidRequest),
        ] {
            assert_eq!(declared(pairs), Err(code), "{pairs:?}");
        }
    }

    #[test]
    fn the_checksum_of_a_completed_upload_is_not_that_of_its_document() {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-amz-checksum-crc64nvme"),
            HeaderValue::from_static("AQIDBAUGBwg="),
        )]);
        let of = |operation| Declared::for_operation(operation, &headers).expect("valid").checksum_algorithm();
        assert_eq!(of(OperationKind::CompleteMultipartUpload), None);
        assert_eq!(of(OperationKind::PutObject), Some(ChecksumAlgorithm::Crc64nvme));
    }
}
