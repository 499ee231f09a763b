//! The promise held against the bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest as Crc};
use http::HeaderMap;
use kheeper_model::{Checksum, ChecksumAlgorithm, ChecksumKind, Crc64Nvme, Md5Digest};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::declared::{Declared, DeclaredChecksum, is_checksum_value};
use crate::{S3Error, S3ErrorCode};

/// What to compute besides CRC-64/NVME and whatever was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compute {
    /// The MD5, which is the ETag.
    pub md5: bool,
}

/// What the bytes were found to be, once everything declared held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Bytes of the payload.
    pub length: u64,
    /// Their CRC-64/NVME.
    pub crc64nvme: Crc64Nvme,
    /// Their MD5, where it was asked for or declared.
    pub md5: Option<Md5Digest>,
    /// The additional checksum that was declared, or asked for.
    pub checksum: Option<Checksum>,
}

/// Computes over a payload what its headers declared, and says at the end whether it all holds.
#[derive(Debug)]
pub struct PayloadVerifier {
    declared: Declared,
    /// A checksum that nobody declared, and that shall be known all the same.
    asked: Option<ChecksumAlgorithm>,
    length: u64,
    crc64nvme: Crc,
    md5: Option<md5_simd::Md5>,
    sha256: Option<Sha256>,
    checksum: Option<Hasher>,
}

impl PayloadVerifier {
    /// A verifier of what `declared` promises.
    pub fn new(declared: &Declared, compute: Compute) -> Self {
        let needs_sha256 =
            declared.sha256.is_some() || declared.checksum_algorithm() == Some(ChecksumAlgorithm::Sha256);
        Self {
            asked: None,
            length: 0,
            crc64nvme: Crc::new(CrcAlgorithm::Crc64Nvme),
            md5: (compute.md5 || declared.content_md5.is_some()).then(md5_simd::Md5::new),
            sha256: needs_sha256.then(Sha256::new),
            checksum: declared.checksum_algorithm().and_then(Hasher::for_algorithm),
            declared: declared.clone(),
        }
    }

    /// Computes a checksum of this algorithm, of a payload whose headers declare none: what [`Verified::checksum`] will
    /// be. Call it before any bytes are taken.
    pub fn and_compute(mut self, algorithm: ChecksumAlgorithm) -> Self {
        assert!(self.declared.checksum.is_none() && self.length == 0, "one checksum, over all of the payload");
        self.asked = Some(algorithm);
        self.checksum = Hasher::for_algorithm(algorithm);
        if algorithm == ChecksumAlgorithm::Sha256 && self.sha256.is_none() {
            self.sha256 = Some(Sha256::new());
        }
        self
    }

    /// Takes the next bytes of the payload.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.crc64nvme.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
    }

    /// Bytes taken so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Judges the whole payload. `trailers` are those of the aws-chunked body, or of the message.
    ///
    /// `IncompleteBody` for another length, `XAmzContentSHA256Mismatch` and `BadDigest` for other bytes,
    /// `MalformedTrailerError` for a checksum that was announced and never came.
    pub fn finish(self, trailers: &HeaderMap) -> Result<Verified, S3Error> {
        let Self { declared, asked, length, crc64nvme, md5, sha256, checksum } = self;
        check_length(declared.length, length)?;
        let crc64nvme = Crc64Nvme(crc64nvme.finalize());
        let sha256: Option<[u8; 32]> = sha256.map(|sha256| sha256.finalize().into());
        if let (Some(promised), Some(found)) = (declared.sha256, sha256) {
            check_sha256(&promised, &found)?;
        }
        let md5 = md5.map(|md5| Md5Digest(md5.finalize()));
        if let (Some(promised), Some(found)) = (declared.content_md5, md5) {
            check_md5(promised, found)?;
        }
        let found = declared.checksum_algorithm().or(asked).map(|algorithm| {
            const MADE: &str = "what a checksum needs was made with the verifier";
            let value = match algorithm {
                ChecksumAlgorithm::Crc64nvme => crc64nvme.to_base64(),
                ChecksumAlgorithm::Sha256 => STANDARD.encode(sha256.expect(MADE)),
                ChecksumAlgorithm::Crc32 | ChecksumAlgorithm::Crc32c | ChecksumAlgorithm::Sha1 => {
                    checksum.expect(MADE).finish()
                }
            };
            Checksum { algorithm, kind: ChecksumKind::FullObject, value }
        });
        let checksum = match (&declared.checksum, found) {
            (Some(promised), Some(found)) => Some(check_checksum(promised, found, trailers)?),
            (_, found) => found,
        };
        Ok(Verified { length, crc64nvme, md5, checksum })
    }
}

/// The algorithms that nothing but a declared checksum needs.
#[derive(Debug)]
enum Hasher {
    Crc32(Crc),
    Sha1(Sha1),
}

impl Hasher {
    fn for_algorithm(algorithm: ChecksumAlgorithm) -> Option<Self> {
        match algorithm {
            ChecksumAlgorithm::Crc32 => Some(Self::Crc32(Crc::new(CrcAlgorithm::Crc32IsoHdlc))),
            ChecksumAlgorithm::Crc32c => Some(Self::Crc32(Crc::new(CrcAlgorithm::Crc32Iscsi))),
            ChecksumAlgorithm::Sha1 => Some(Self::Sha1(Sha1::new())),
            ChecksumAlgorithm::Crc64nvme | ChecksumAlgorithm::Sha256 => None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(crc) => crc.update(bytes),
            Self::Sha1(sha1) => sha1.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Crc32(crc) => {
                let crc = u32::try_from(crc.finalize()).expect("a 32-bit CRC fits in 32 bits");
                STANDARD.encode(crc.to_be_bytes())
            }
            Self::Sha1(sha1) => STANDARD.encode(sha1.finalize()),
        }
    }
}

fn check_length(promised: Option<u64>, found: u64) -> Result<(), S3Error> {
    match promised {
        Some(promised) if promised != found => Err(S3Error::new(S3ErrorCode::IncompleteBody)
            .with_message(format!("{promised} bytes were declared, and {found} arrived."))),
        _ => Ok(()),
    }
}

fn check_sha256(promised: &[u8; 32], found: &[u8; 32]) -> Result<(), S3Error> {
    if promised == found {
        return Ok(());
    }
    Err(S3Error::new(S3ErrorCode::XAmzContentSHA256Mismatch)
        .with_field("ClientComputedContentSHA256", hex::encode(promised))
        .with_field("S3ComputedContentSHA256", hex::encode(found)))
}

fn check_md5(promised: Md5Digest, found: Md5Digest) -> Result<(), S3Error> {
    if promised == found {
        return Ok(());
    }
    Err(S3Error::new(S3ErrorCode::BadDigest)
        .with_message("The Content-MD5 you specified did not match what we received.")
        .with_field("ExpectedDigest", promised.to_hex())
        .with_field("CalculatedDigest", found.to_hex()))
}

fn check_checksum(promised: &DeclaredChecksum, found: Checksum, trailers: &HeaderMap) -> Result<Checksum, S3Error> {
    let algorithm = found.algorithm;
    let promised = match promised {
        DeclaredChecksum::Header { value, .. } => value.as_str(),
        DeclaredChecksum::Trailer { .. } => checksum_of_trailers(algorithm, trailers)?,
    };
    if promised != found.value {
        let message = format!("The {algorithm} you specified did not match the calculated checksum.");
        return Err(S3Error::new(S3ErrorCode::BadDigest).with_message(message));
    }
    Ok(found)
}

fn checksum_of_trailers(algorithm: ChecksumAlgorithm, trailers: &HeaderMap) -> Result<&str, S3Error> {
    let name = algorithm.header();
    let Some(value) = trailers.get(name) else {
        let message = format!("The trailer {name} was announced and did not arrive.");
        return Err(S3Error::new(S3ErrorCode::MalformedTrailerError).with_message(message));
    };
    let value = value.to_str().unwrap_or_default().trim();
    if !is_checksum_value(algorithm, value) {
        return Err(S3Error::invalid_request(format!("Value for {name} trailing header is invalid.")));
    }
    Ok(value)
}

/// The CRC-64/NVME of two pieces one after the other, from theirs and the bytes of the second.
pub fn combine_crc64nvme(first: Crc64Nvme, second: Crc64Nvme, second_bytes: u64) -> Crc64Nvme {
    Crc64Nvme(crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, first.0, second.0, second_bytes))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const CHECK: &[u8] = b"123456789";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("valid"))
        };
        pairs.iter().map(header).collect()
    }

    fn verify(pairs: &[(&'static str, &str)], body: &[u8]) -> Result<Verified, S3ErrorCode> {
        let declared = Declared::from_headers(&headers(pairs)).expect("valid");
        let mut verifier = PayloadVerifier::new(&declared, Compute { md5: true });
        for piece in body.chunks(4) {
            verifier.update(piece);
        }
        verifier.finish(&HeaderMap::new()).map_err(|error| error.code)
    }

    /// Check values of the Catalogue of parametrised CRC algorithms, and digests of the same nine bytes.
    const CHECK_VALUES: [(&str, &str); 5] = [
        ("x-amz-checksum-crc32", "cbf43926"),
        ("x-amz-checksum-crc32c", "e3069283"),
        ("x-amz-checksum-crc64nvme", "ae8b14860a799888"),
        ("x-amz-checksum-sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ("x-amz-checksum-sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    ];

    #[test]
    fn every_algorithm_gives_its_check_value_for_123456789() {
        for (header, hexadecimal) in CHECK_VALUES {
            let value = STANDARD.encode(hex::decode(hexadecimal).expect("hex"));
            let verified = verify(&[(header, &value)], CHECK).expect(header);
            assert_eq!(verified.checksum.map(|checksum| checksum.value), Some(value));
            assert_eq!(verified.crc64nvme, Crc64Nvme(0xae8b_1486_0a79_9888));
            assert_eq!(verified.md5.map(Md5Digest::to_hex).as_deref(), Some("25f9e794323b453885f5181f1b624d0b"));
        }
    }

    #[test]
    fn a_checksum_that_was_asked_for_is_computed_without_being_declared() {
        let declared = Declared::from_headers(&HeaderMap::new()).expect("valid");
        for (algorithm, (_, hexadecimal)) in ChecksumAlgorithm::ALL.into_iter().zip(CHECK_VALUES) {
            let verifier = PayloadVerifier::new(&declared, Compute { md5: false });
            let mut verifier = verifier.and_compute(algorithm);
            verifier.update(CHECK);
            let verified = verifier.finish(&HeaderMap::new()).expect("nothing was declared");
            let value = STANDARD.encode(hex::decode(hexadecimal).expect("hex"));
            assert_eq!(verified.checksum.map(|checksum| checksum.value), Some(value), "{algorithm}");
        }
    }

    #[test]
    fn a_wrong_value_of_any_algorithm_is_a_bad_digest() {
        for algorithm in ChecksumAlgorithm::ALL {
            let value = STANDARD.encode(vec![0; algorithm.digest_bytes()]);
            assert_eq!(verify(&[(algorithm.header(), &value)], CHECK), Err(S3ErrorCode::BadDigest), "{algorithm}");
        }
        assert_eq!(verify(&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")], CHECK), Err(S3ErrorCode::BadDigest));
    }

    #[test]
    fn a_wrong_sha256_has_a_code_of_its_own() {
        let zero = "0".repeat(64);
        assert_eq!(verify(&[("x-amz-content-sha256", &zero)], CHECK), Err(S3ErrorCode::XAmzContentSHA256Mismatch));
        let right = CHECK_VALUES[4].1.to_uppercase();
        assert!(verify(&[("x-amz-content-sha256", &right)], CHECK).is_ok());
    }

    #[test]
    fn a_body_of_another_length_is_incomplete() {
        for length in ["8", "10"] {
            assert_eq!(verify(&[("content-length", length)], CHECK), Err(S3ErrorCode::IncompleteBody));
        }
        assert_eq!(verify(&[("content-length", "9")], CHECK).map(|verified| verified.length), Ok(9));
    }

    #[test]
    fn a_trailer_that_was_announced_must_come_and_match() {
        let declared = Declared::from_headers(&headers(&[
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-decoded-content-length", "9"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ]))
        .expect("valid");
        let finish = |trailers: &[(&'static str, &str)]| {
            let mut verifier = PayloadVerifier::new(&declared, Compute { md5: false });
            verifier.update(CHECK);
            verifier.finish(&headers(trailers)).map_err(|error| error.code)
        };
        assert!(finish(&[("x-amz-checksum-crc32", "y/Q5Jg==")]).is_ok());
        assert_eq!(finish(&[("x-amz-checksum-crc32", "AAAAAA==")]), Err(S3ErrorCode::BadDigest));
        assert_eq!(finish(&[("x-amz-checksum-crc32", "AAAA")]), Err(S3ErrorCode::InvalidRequest));
        assert_eq!(finish(&[]), Err(S3ErrorCode::MalformedTrailerError));
    }

    #[test]
    fn crcs_of_parts_combine_to_that_of_the_whole() {
        let crc = |bytes: &[u8]| Crc64Nvme(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes));
        assert_eq!(combine_crc64nvme(crc(b"1234"), crc(b"56789"), 5), crc(CHECK));
        assert_eq!(combine_crc64nvme(crc(CHECK), crc(b""), 0), crc(CHECK));
    }
}
