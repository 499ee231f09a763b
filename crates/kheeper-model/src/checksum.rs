//! Checksums: which there are, and what their values look like on the wire.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The checksum that follows every payload from the proxy to the disk: CRC-64/NVME.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Crc64Nvme(pub u64);

impl Crc64Nvme {
    /// Base64 of its eight bytes, the most significant first: how S3 writes it.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0.to_be_bytes())
    }

    /// Reads what [`Self::to_base64`] writes; `None` for anything else.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

/// An MD5 digest, which is a single PUT's ETag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Md5Digest(pub [u8; 16]);

impl Md5Digest {
    /// 32 lower-case hex digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Reads 32 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 16];
        hex::decode_to_slice(text, &mut digest).ok()?;
        Some(Self(digest))
    }

    /// Reads the value of a `Content-MD5` header.
    pub fn from_base64(text: &str) -> Option<Self> {
        Some(Self(STANDARD.decode(text).ok()?.try_into().ok()?))
    }
}

/// S3's additional checksum algorithms (Amazon S3 User Guide, "Checking object integrity").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChecksumAlgorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ChecksumAlgorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64nvme, Self::Sha1, Self::Sha256];

    /// The header or trailer that carries its value, for instance `x-amz-checksum-crc32`.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// Its element in XML, for instance `ChecksumCRC32`.
    pub fn xml_element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// The algorithm whose header this is; `name` in lower case.
    pub fn from_header(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.header() == name)
    }

    /// Bytes of its digest.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

impl fmt::Display for ChecksumAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        })
    }
}

impl FromStr for ChecksumAlgorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|algorithm| algorithm.to_string().eq_ignore_ascii_case(text)).ok_or(())
    }
}

/// Whether a checksum covers the object's bytes or the checksums of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChecksumKind {
    /// Over the object's bytes.
    FullObject,
    /// Over the parts' checksums; its text ends in `-<parts>`.
    Composite,
}

/// A checksum that a client declared and that was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// Which algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// What it covers.
    pub kind: ChecksumKind,
    /// Its value as S3 writes it: base64, with `-<parts>` where it is composite.
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc64nvme_round_trips_through_base64() {
        let crc = Crc64Nvme(0x0102_0304_0506_0708);
        assert_eq!(crc.to_base64(), "AQIDBAUGBwg=");
        assert_eq!(Crc64Nvme::from_base64("AQIDBAUGBwg="), Some(crc));
        assert_eq!(Crc64Nvme::from_base64("AQIDBAUGBw=="), None);
        assert_eq!(Crc64Nvme::from_base64("not base64"), None);
    }

    #[test]
    fn algorithms_are_named_as_s3_names_them() {
        for algorithm in ChecksumAlgorithm::ALL {
            assert_eq!(ChecksumAlgorithm::from_header(algorithm.header()), Some(algorithm));
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
    }
}
