//! Names of blobs: the content's id, the part's number, 64 random bits. Never a key, nor anything a client chose.

use std::fmt;
use std::str::FromStr;

use kheeper_model::ContentId;

use crate::options::Randomness;

/// The name of a blob: `20261122-<32 hex digits>.<part>.<16 hex digits>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName {
    /// The content whose bytes it holds.
    pub content: ContentId,
    /// The part's number; 0 for a content that was written by one PUT.
    pub part: u32,
    /// What tells the tries for one part from one another. Its first byte is the shard the blob lies in.
    pub suffix: [u8; 8],
}

impl BlobName {
    /// A name that was never used, in the shard that new blobs go to now.
    pub(crate) fn random(randomness: &dyn Randomness, content: ContentId, part: u32, shard: u8) -> Self {
        let mut suffix = [0; 8];
        randomness.fill(&mut suffix);
        suffix[0] = shard;
        Self { content, part, suffix }
    }

    /// The directory within its day that the blob lies in.
    pub(crate) fn shard(&self) -> u8 {
        self.suffix[0]
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:05}.{}", self.content, self.part, hex::encode(self.suffix))
    }
}

/// Not the name of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotABlobName;

impl FromStr for BlobName {
    type Err = NotABlobName;

    fn from_str(text: &str) -> Result<Self, NotABlobName> {
        let mut fields = text.split('.');
        let (Some(content), Some(part), Some(digits), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(NotABlobName);
        };
        let mut suffix = [0; 8];
        hex::decode_to_slice(digits, &mut suffix).map_err(|_| NotABlobName)?;
        let name = Self {
            content: content.parse().map_err(|_| NotABlobName)?,
            part: part.parse().map_err(|_| NotABlobName)?,
            suffix,
        };
        if name.to_string() == text { Ok(name) } else { Err(NotABlobName) }
    }
}

#[cfg(test)]
mod tests {
    use kheeper_model::Timestamp;

    use super::*;
    use crate::options::SystemRandomness;

    #[test]
    fn a_name_round_trips_and_only_its_own_spelling_parses() {
        let name = BlobName::random(&SystemRandomness, ContentId::random(Timestamp::from_secs(1_700_000_000)), 12, 3);
        let text = name.to_string();
        assert_eq!(text.parse(), Ok(name));
        assert!(text.starts_with("20231114-") && text.contains(".00012.03"));
        for wrong in [text.to_uppercase(), format!("{text}.x"), text.replace(".00012.", ".12."), "x".to_owned()] {
            assert_eq!(wrong.parse::<BlobName>(), Err(NotABlobName), "{wrong}");
        }
    }
}
