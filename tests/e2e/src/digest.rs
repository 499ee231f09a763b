//! Digests as the tests compute them: from other code than the product's own.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;

/// MD5 in hex: the ETag of a plain object, without quotes.
pub fn md5_hex(data: &[u8]) -> String {
    hex::encode(md5_simd::digest(data))
}

/// MD5 in base64, as `Content-MD5` carries it.
pub fn md5_base64(data: &[u8]) -> String {
    STANDARD.encode(md5_simd::digest(data))
}

/// SHA-256 in hex, as `x-amz-content-sha256` carries it.
pub fn sha256_hex(data: &[u8]) -> String {
    hex::encode(digest(&SHA256, data))
}

/// SHA-256 in base64, as `x-amz-checksum-sha256` carries it.
pub fn sha256_base64(data: &[u8]) -> String {
    STANDARD.encode(digest(&SHA256, data))
}

/// SHA-1 in base64, as `x-amz-checksum-sha1` carries it.
pub fn sha1_base64(data: &[u8]) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, data))
}

/// CRC32 in base64, as `x-amz-checksum-crc32` carries it.
pub fn crc32_base64(data: &[u8]) -> String {
    crc32(CrcAlgorithm::Crc32IsoHdlc, data)
}

/// CRC32C in base64, as `x-amz-checksum-crc32c` carries it.
pub fn crc32c_base64(data: &[u8]) -> String {
    crc32(CrcAlgorithm::Crc32Iscsi, data)
}

/// CRC64NVME in base64, as `x-amz-checksum-crc64nvme` carries it.
pub fn crc64nvme_base64(data: &[u8]) -> String {
    STANDARD.encode(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, data).to_be_bytes())
}

fn crc32(algorithm: CrcAlgorithm, data: &[u8]) -> String {
    let crc = u32::try_from(crc_fast::checksum(algorithm, data)).expect("a CRC32 has 32 bits");
    STANDARD.encode(crc.to_be_bytes())
}

/// The ETag of a multipart object, without quotes: the MD5 of its parts' MD5s, and how many there are.
pub fn multipart_etag(parts: &[&[u8]]) -> String {
    let md5s: Vec<u8> = parts.iter().flat_map(|part| md5_simd::digest(part)).collect();
    format!("{}-{}", md5_hex(&md5s), parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_agree_with_their_published_check_values() {
        assert_eq!(md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(crc32_base64(b"123456789"), STANDARD.encode(0xCBF4_3926_u32.to_be_bytes()));
        assert_eq!(crc32c_base64(b"123456789"), STANDARD.encode(0xE306_9283_u32.to_be_bytes()));
        assert_eq!(crc64nvme_base64(b"123456789"), STANDARD.encode(0xAE8B_1486_0A79_9888_u64.to_be_bytes()));
    }
}
