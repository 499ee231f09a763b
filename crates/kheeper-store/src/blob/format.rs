//! Blob format v1.
//!
//! ```text
//! offset  bytes  what
//!      0      8  magic "KHEEPBLB"
//!      8      4  version, 1
//!     12      4  payload bytes of a chunk, 65536
//!     16     20  content id: day, random
//!     36      4  part number
//!     40     16  zeros
//!     56      8  CRC-64/NVME of the 56 bytes before
//!     64         chunks: 65536 bytes of payload (the last one fewer), then CRC-64/NVME over
//!                blob name ‖ chunk number (8 bytes) ‖ the chunk's payload
//! ```
//!
//! All numbers are big endian. Because the CRC covers the name and the number, a chunk of another blob or from another
//! place fails, too. The payload's length is in the index; the file's length follows from it.

use crc_fast::{CrcAlgorithm, Digest};

use super::BlobName;

/// Bytes before the first chunk.
pub(crate) const HEADER_BYTES: usize = 64;
/// Payload bytes of every chunk but the last.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of the CRC that follows each chunk.
pub(crate) const CRC_BYTES: usize = 8;
/// Bytes of a whole chunk in the file.
pub(crate) const STORED_CHUNK_BYTES: usize = CHUNK_BYTES + CRC_BYTES;

const MAGIC: &[u8; 8] = b"KHEEPBLB";
const VERSION: u32 = 1;

/// The header of a blob.
pub(crate) fn header(name: &BlobName) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_be_bytes());
    header[12..16].copy_from_slice(&(CHUNK_BYTES as u32).to_be_bytes());
    header[16..20].copy_from_slice(&name.content.day.to_be_bytes());
    header[20..36].copy_from_slice(&name.content.random);
    header[36..40].copy_from_slice(&name.part.to_be_bytes());
    let crc = crc_fast::crc64_nvme(&header[..56]);
    header[56..].copy_from_slice(&crc.to_be_bytes());
    header
}

/// The CRCs of a blob's chunks, one after another.
pub(crate) struct ChunkCrc {
    name: String,
}

impl ChunkCrc {
    pub(crate) fn new(name: &BlobName) -> Self {
        Self { name: name.to_string() }
    }

    /// A CRC that has taken in everything but the payload of chunk `number`.
    pub(crate) fn begin(&self, number: u64) -> Digest {
        let mut crc = Digest::new(CrcAlgorithm::Crc64Nvme);
        crc.update(self.name.as_bytes());
        crc.update(&number.to_be_bytes());
        crc
    }

    /// Whether `stored`, a chunk's payload and its CRC, is chunk `number` of this blob.
    pub(crate) fn verifies(&self, number: u64, stored: &[u8]) -> bool {
        let Some((payload, crc)) = stored.split_last_chunk::<CRC_BYTES>() else {
            return false;
        };
        let mut expected = self.begin(number);
        expected.update(payload);
        expected.finalize().to_be_bytes() == *crc
    }
}

/// Bytes of the file of a blob with this payload.
pub(crate) fn file_bytes(payload_bytes: u64) -> u64 {
    HEADER_BYTES as u64 + payload_bytes + payload_bytes.div_ceil(CHUNK_BYTES as u64) * CRC_BYTES as u64
}

/// Bytes of the payload of a file, if a blob's file may have that length.
pub(crate) fn payload_bytes(file_bytes: u64) -> Option<u64> {
    let stored = file_bytes.checked_sub(HEADER_BYTES as u64)?;
    let payload = stored.checked_sub(stored.div_ceil(STORED_CHUNK_BYTES as u64) * CRC_BYTES as u64)?;
    (self::file_bytes(payload) == file_bytes).then_some(payload)
}

/// Where chunk `number` begins in the file.
pub(crate) fn chunk_offset(number: u64) -> u64 {
    HEADER_BYTES as u64 + number * STORED_CHUNK_BYTES as u64
}

#[cfg(test)]
mod tests {
    use kheeper_model::{ContentId, Timestamp};

    use super::*;

    fn name() -> BlobName {
        BlobName { content: ContentId { day: 20_261_122, random: [1; 16] }, part: 3, suffix: [2; 8] }
    }

    #[test]
    fn lengths_of_payload_and_file_follow_from_one_another() {
        for payload in [0, 1, 65_535, 65_536, 65_537, 131_072, 5 << 30] {
            assert_eq!(payload_bytes(file_bytes(payload)), Some(payload), "{payload}");
        }
        assert_eq!(file_bytes(0), 64);
        assert_eq!(file_bytes(65_537), 64 + 65_536 + 8 + 1 + 8);
        for impossible in [0, 63, 65, 71, 64 + 65_544 + 8] {
            assert_eq!(payload_bytes(impossible), None, "{impossible}");
        }
    }

    #[test]
    fn the_header_of_version_1_never_changes() {
        let crc = crc_fast::crc64_nvme(&header(&name())[..56]);
        let expected = format!(
            "4b48454550424c42{:08x}{:08x}0135290201010101010101010101010101010101{:08x}{}{crc:016x}",
            1,
            65_536,
            3,
            "0".repeat(32)
        );
        assert_eq!(hex::encode(header(&name())), expected);
    }

    #[test]
    fn a_chunk_of_another_blob_or_place_or_with_a_flipped_bit_fails() {
        let crc = ChunkCrc::new(&name());
        let mut digest = crc.begin(5);
        digest.update(b"payload");
        let mut stored = b"payload".to_vec();
        stored.extend_from_slice(&digest.finalize().to_be_bytes());
        assert!(crc.verifies(5, &stored));
        assert!(!crc.verifies(6, &stored));
        let other =
            BlobName::random(&crate::options::SystemRandomness, ContentId::random(Timestamp::from_secs(0)), 3, 0);
        assert!(!ChunkCrc::new(&other).verifies(5, &stored));
        stored[2] ^= 1;
        assert!(!crc.verifies(5, &stored));
        assert!(!crc.verifies(5, b"short"));
    }
}
