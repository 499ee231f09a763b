//! Where the bytes of a content are: the manifest.

use bytes::Bytes;
use kheeper_model::ContentId;

use crate::blob::BlobName;
use crate::error::StoreError;

/// Where the bytes of a content are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentBody {
    /// In the index itself.
    Inline(Bytes),
    /// In blobs.
    Blobs(Manifest),
}

impl ContentBody {
    /// The one blob of a body that has just been written; none where its bytes are in the index.
    pub(crate) fn only_blob(&self) -> Option<BlobName> {
        match self {
            Self::Inline(_) => None,
            Self::Blobs(manifest) => manifest.segments.first().map(|segment| segment.blob),
        }
    }
}

/// The blobs of a content, in the order of its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    segments: Vec<Segment>,
}

/// One blob's share of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The blob.
    pub blob: BlobName,
    /// Where its bytes begin in the content.
    pub offset: u64,
    /// Its payload's bytes.
    pub bytes: u64,
}

/// Bytes of one packed segment: part, the blob's random suffix, offset, bytes.
const PACKED_SEGMENT_BYTES: usize = 4 + 8 + 8 + 8;
/// The first byte of a packed manifest: its version.
const PACKED_VERSION: u8 = 1;

impl Manifest {
    /// The blobs in order, each with its payload's bytes.
    pub fn new(blobs: impl IntoIterator<Item = (BlobName, u64)>) -> Self {
        let mut offset = 0;
        let segments = blobs
            .into_iter()
            .map(|(blob, bytes)| {
                let segment = Segment { blob, offset, bytes };
                offset += bytes;
                segment
            })
            .collect();
        Self { segments }
    }

    /// The segments, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes of the whole content.
    pub fn bytes(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.offset + last.bytes)
    }

    /// The manifest as its row holds it. Blob names begin with the content's id, which the row has already.
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(1 + self.segments.len() * PACKED_SEGMENT_BYTES);
        packed.push(PACKED_VERSION);
        for segment in &self.segments {
            packed.extend_from_slice(&segment.blob.part.to_be_bytes());
            packed.extend_from_slice(&segment.blob.suffix);
            packed.extend_from_slice(&segment.offset.to_be_bytes());
            packed.extend_from_slice(&segment.bytes.to_be_bytes());
        }
        packed
    }

    /// Reads what [`Self::pack`] wrote for `content`.
    pub fn unpack(content: ContentId, packed: &[u8]) -> Result<Self, StoreError> {
        let damaged = |what| StoreError::Damaged { blob: format!("manifest of {content}").into(), what };
        let Some((&PACKED_VERSION, rest)) = packed.split_first() else {
            return Err(damaged("its version is unknown"));
        };
        if rest.len() % PACKED_SEGMENT_BYTES != 0 {
            return Err(damaged("it is cut off"));
        }
        let mut blobs = Vec::with_capacity(rest.len() / PACKED_SEGMENT_BYTES);
        let mut expected_offset = 0_u64;
        for segment in rest.chunks_exact(PACKED_SEGMENT_BYTES) {
            let (part, segment) = segment.split_at(4);
            let (suffix, segment) = segment.split_at(8);
            let (offset, bytes) = segment.split_at(8);
            let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            if number(offset) != expected_offset {
                return Err(damaged("its offsets do not follow one another"));
            }
            let part = u32::try_from(number(part)).map_err(|_| damaged("a part number is out of range"))?;
            let suffix = suffix.try_into().map_err(|_| damaged("it is cut off"))?;
            expected_offset += number(bytes);
            blobs.push((BlobName { content, part, suffix }, number(bytes)));
        }
        Ok(Self::new(blobs))
    }
}

#[cfg(test)]
mod tests {
    use kheeper_model::Timestamp;

    use super::*;

    fn manifest() -> (ContentId, Manifest) {
        let content = ContentId::random(Timestamp::from_secs(1_700_000_000));
        let blob = |part| BlobName { content, part, suffix: [7; 8] };
        (content, Manifest::new([(blob(1), 10), (blob(2), 5), (blob(7), 1)]))
    }

    #[test]
    fn a_manifest_unpacks_to_what_was_packed() {
        let (content, manifest) = manifest();
        assert_eq!(manifest.bytes(), 16);
        assert_eq!(manifest.segments()[2].offset, 15);
        assert_eq!(Manifest::unpack(content, &manifest.pack()).unwrap(), manifest);
    }

    #[test]
    fn a_damaged_manifest_is_refused() {
        let (content, manifest) = manifest();
        let packed = manifest.pack();
        assert!(Manifest::unpack(content, &packed[..packed.len() - 1]).is_err());
        assert!(Manifest::unpack(content, &[]).is_err());
        assert!(Manifest::unpack(content, &[9]).is_err());
        let mut moved = packed;
        moved[1 + PACKED_SEGMENT_BYTES + 19] ^= 1;
        assert!(Manifest::unpack(content, &moved).is_err());
    }
}
