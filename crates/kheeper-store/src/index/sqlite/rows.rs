//! Values as rows hold them, and back.

use std::error::Error;
use std::str::FromStr;

use kheeper_model::{Checksum, ContentId, ETag, ObjectHeaders, ObjectKey, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Row, RowIndex};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blob::BlobName;
use crate::error::StoreError;

/// A number as SQLite has them. Ours are lengths and counts, far below its limit.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that is never negative, as a row has it.
pub(super) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A CRC, whose bits SQLite keeps as a signed number.
pub(super) fn crc_bits(crc: u64) -> i64 {
    crc.cast_signed()
}

/// A content's id as its rows have it: in the order of days.
pub(super) fn content_bytes(content: &ContentId) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&content.day.to_be_bytes());
    bytes[4..].copy_from_slice(&content.random);
    bytes
}

/// JSON for a column.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::internal(format!("write JSON for a row: {error}")))
}

/// Reads columns into our types; what does not parse is damage, and an error of the index.
pub(super) trait RowExt {
    fn time<I: RowIndex>(&self, index: I) -> rusqlite::Result<Timestamp>;
    fn time_if_any<I: RowIndex>(&self, index: I) -> rusqlite::Result<Option<Timestamp>>;
    fn number<I: RowIndex>(&self, index: I) -> rusqlite::Result<u64>;
    fn content(&self, index: usize) -> rusqlite::Result<ContentId>;
    fn parsed<T: FromStr>(&self, index: usize) -> rusqlite::Result<T>
    where
        T::Err: Error + Send + Sync + 'static;
    fn key(&self, index: usize) -> rusqlite::Result<ObjectKey>;
    fn etag(&self, index: usize) -> rusqlite::Result<ETag>;
    fn json_of<T: DeserializeOwned>(&self, index: usize) -> rusqlite::Result<T>;
    fn headers(&self, index: usize) -> rusqlite::Result<ObjectHeaders>;
    fn checksum(&self, index: usize) -> rusqlite::Result<Option<Checksum>>;
    fn array<const N: usize>(&self, index: usize) -> rusqlite::Result<[u8; N]>;
    /// A blob's name from three columns: content, part, suffix.
    fn blob_name(&self, index: usize) -> rusqlite::Result<BlobName>;
}

impl RowExt for Row<'_> {
    fn time<I: RowIndex>(&self, index: I) -> rusqlite::Result<Timestamp> {
        self.get(index).map(Timestamp)
    }

    fn time_if_any<I: RowIndex>(&self, index: I) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.get::<_, Option<i64>>(index)?.map(Timestamp))
    }

    fn number<I: RowIndex>(&self, index: I) -> rusqlite::Result<u64> {
        self.get(index).map(uint)
    }

    fn content(&self, index: usize) -> rusqlite::Result<ContentId> {
        let bytes: [u8; 20] = self.array(index)?;
        let (day, random) = bytes.split_at(4);
        let day = day.iter().fold(0, |day, byte| day << 8 | u32::from(*byte));
        Ok(ContentId { day, random: random.try_into().map_err(|error| damaged(index, Type::Blob, error))? })
    }

    fn parsed<T: FromStr>(&self, index: usize) -> rusqlite::Result<T>
    where
        T::Err: Error + Send + Sync + 'static,
    {
        let text = self.get_ref(index)?.as_str()?;
        text.parse().map_err(|error| damaged(index, Type::Text, error))
    }

    fn key(&self, index: usize) -> rusqlite::Result<ObjectKey> {
        let text = std::str::from_utf8(self.get_ref(index)?.as_blob()?);
        text.map_err(|error| damaged(index, Type::Blob, error))?
            .parse()
            .map_err(|error| damaged(index, Type::Blob, error))
    }

    fn etag(&self, index: usize) -> rusqlite::Result<ETag> {
        Ok(ETag::new(self.get_ref(index)?.as_str()?))
    }

    fn json_of<T: DeserializeOwned>(&self, index: usize) -> rusqlite::Result<T> {
        serde_json::from_str(self.get_ref(index)?.as_str()?).map_err(|error| damaged(index, Type::Text, error))
    }

    fn headers(&self, index: usize) -> rusqlite::Result<ObjectHeaders> {
        self.json_of(index)
    }

    fn checksum(&self, index: usize) -> rusqlite::Result<Option<Checksum>> {
        match self.get_ref(index)? {
            rusqlite::types::ValueRef::Null => Ok(None),
            _ => self.json_of(index).map(Some),
        }
    }

    fn array<const N: usize>(&self, index: usize) -> rusqlite::Result<[u8; N]> {
        let bytes = self.get_ref(index)?.as_blob()?;
        bytes.try_into().map_err(|error| damaged(index, Type::Blob, error))
    }

    fn blob_name(&self, index: usize) -> rusqlite::Result<BlobName> {
        Ok(BlobName { content: self.content(index)?, part: self.get(index + 1)?, suffix: self.array(index + 2)? })
    }
}

fn damaged(index: usize, kind: Type, error: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, kind, Box::new(error))
}
