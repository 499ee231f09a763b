//! ETag and checksum of a completed upload, from those of its parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use kheeper_model::{Checksum, ChecksumAlgorithm, ChecksumKind, Crc64Nvme, ETag, Md5Digest};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// A part, as far as the sums need it.
pub(crate) struct PartSums {
    pub(crate) bytes: u64,
    pub(crate) md5: Md5Digest,
    pub(crate) crc64nvme: Crc64Nvme,
    pub(crate) checksum: Option<Checksum>,
}

/// `md5(md5 of part 1 ‖ md5 of part 2 ‖ …)-<parts>`.
pub(crate) fn etag(parts: &[PartSums]) -> ETag {
    let digests: Vec<u8> = parts.iter().flat_map(|part| part.md5.0).collect();
    let mut md5 = md5_simd::Md5::new();
    md5.update(&digests);
    ETag::new(&format!("{}-{}", hex::encode(md5.finalize()), parts.len()))
}

/// CRC-64/NVME of the whole, combined from the parts'.
pub(crate) fn crc64nvme(parts: &[PartSums]) -> Crc64Nvme {
    let combine =
        |sum, part: &PartSums| crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, sum, part.crc64nvme.0, part.bytes);
    let Some((first, rest)) = parts.split_first() else { return Crc64Nvme(0) };
    Crc64Nvme(rest.iter().fold(first.crc64nvme.0, combine))
}

/// What an upload that named no algorithm has all the same, as in S3.
const DEFAULT: (ChecksumAlgorithm, ChecksumKind) = (ChecksumAlgorithm::Crc64nvme, ChecksumKind::FullObject);

/// The kind of checksum that the object will have.
pub(crate) fn kind(asked: Option<(ChecksumAlgorithm, ChecksumKind)>) -> ChecksumKind {
    asked.unwrap_or(DEFAULT).1
}

/// The checksum that the upload was created with, if every part has one of its algorithm.
pub(crate) fn checksum(asked: Option<(ChecksumAlgorithm, ChecksumKind)>, parts: &[PartSums]) -> Option<Checksum> {
    let (algorithm, kind) = asked.unwrap_or(DEFAULT);
    let value = match (algorithm, kind) {
        (ChecksumAlgorithm::Crc64nvme, _) => {
            let kind = ChecksumKind::FullObject;
            return Some(Checksum { algorithm, kind, value: crc64nvme(parts).to_base64() });
        }
        (_, ChecksumKind::FullObject) => full(algorithm, parts)?,
        (_, ChecksumKind::Composite) => composite(algorithm, parts)?,
    };
    Some(Checksum { algorithm, kind, value })
}

/// The digest of each part, if all have one of this algorithm.
pub(crate) fn digests(algorithm: ChecksumAlgorithm, parts: &[PartSums]) -> Option<Vec<Vec<u8>>> {
    let digest = |part: &PartSums| {
        if algorithm == ChecksumAlgorithm::Crc64nvme {
            return Some(part.crc64nvme.0.to_be_bytes().to_vec());
        }
        let checksum = part.checksum.as_ref().filter(|checksum| checksum.algorithm == algorithm)?;
        STANDARD.decode(&checksum.value).ok().filter(|digest| digest.len() == algorithm.digest_bytes())
    };
    parts.iter().map(digest).collect()
}

/// The checksums whose digests stand one after the other, as a content's row keeps them.
pub(crate) fn unpack_digests(algorithm: ChecksumAlgorithm, packed: &[u8]) -> Vec<Checksum> {
    let checksum = |digest| Checksum { algorithm, kind: ChecksumKind::FullObject, value: STANDARD.encode(digest) };
    packed.chunks_exact(algorithm.digest_bytes()).map(checksum).collect()
}

/// The checksum of the bytes, which only CRCs can be combined to.
fn full(algorithm: ChecksumAlgorithm, parts: &[PartSums]) -> Option<String> {
    let crc = match algorithm {
        ChecksumAlgorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        ChecksumAlgorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
        ChecksumAlgorithm::Crc64nvme | ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => return None,
    };
    let number = |digest: &Vec<u8>| digest.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let digests = digests(algorithm, parts)?;
    let mut sums = digests.iter().map(number).zip(parts);
    let (first, _) = sums.next()?;
    let sum = sums.fold(first, |sum, (next, part)| crc_fast::checksum_combine(crc, sum, next, part.bytes));
    Some(STANDARD.encode((sum as u32).to_be_bytes()))
}

/// The checksum of the parts' checksums, and how many there are.
fn composite(algorithm: ChecksumAlgorithm, parts: &[PartSums]) -> Option<String> {
    let all = digests(algorithm, parts)?.concat();
    let digest = match algorithm {
        ChecksumAlgorithm::Crc32 => crc_fast::crc32_iso_hdlc(&all).to_be_bytes().to_vec(),
        ChecksumAlgorithm::Crc32c => crc_fast::crc32_iscsi(&all).to_be_bytes().to_vec(),
        ChecksumAlgorithm::Crc64nvme => crc_fast::crc64_nvme(&all).to_be_bytes().to_vec(),
        ChecksumAlgorithm::Sha1 => Sha1::digest(&all).to_vec(),
        ChecksumAlgorithm::Sha256 => Sha256::digest(&all).to_vec(),
    };
    Some(format!("{}-{}", STANDARD.encode(digest), parts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(bytes: &[u8]) -> PartSums {
        let mut md5 = md5_simd::Md5::new();
        md5.update(bytes);
        let value = STANDARD.encode(crc_fast::crc32_iso_hdlc(bytes).to_be_bytes());
        PartSums {
            bytes: bytes.len() as u64,
            md5: Md5Digest(md5.finalize()),
            crc64nvme: Crc64Nvme(crc_fast::crc64_nvme(bytes)),
            checksum: Some(Checksum { algorithm: ChecksumAlgorithm::Crc32, kind: ChecksumKind::FullObject, value }),
        }
    }

    #[test]
    fn an_etag_of_parts_is_the_md5_of_their_md5s() {
        // printf of the binary MD5s of "abc" and "def" | md5sum
        assert_eq!(etag(&[part(b"abc"), part(b"def")]).as_str(), "4c8e93283780e078db9e0c6b9b3f8043-2");
    }

    #[test]
    fn crcs_of_parts_combine_to_the_crc_of_the_whole() {
        let parts = [part(b"hello, "), part(b""), part(b"world")];
        assert_eq!(crc64nvme(&parts), Crc64Nvme(crc_fast::crc64_nvme(b"hello, world")));
        let full = checksum(Some((ChecksumAlgorithm::Crc32, ChecksumKind::FullObject)), &parts).unwrap();
        assert_eq!(full.value, STANDARD.encode(crc_fast::crc32_iso_hdlc(b"hello, world").to_be_bytes()));
        let composite = checksum(Some((ChecksumAlgorithm::Crc32, ChecksumKind::Composite)), &parts).unwrap();
        assert!(composite.value.ends_with("==-3"));
        let default = checksum(None, &parts).unwrap();
        assert_eq!(default.value, crc64nvme(&parts).to_base64());
        assert_eq!(checksum(Some((ChecksumAlgorithm::Sha256, ChecksumKind::Composite)), &parts), None);
    }
}
