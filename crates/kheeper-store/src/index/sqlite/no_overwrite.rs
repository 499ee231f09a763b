//! Namespaces in which what was written first stays: for WAL archives, where a name means one content for ever.
//!
//! The same bytes again are a success and change nothing; others are refused, also for a key that was deleted, as long as
//! what it had is kept: a second cluster that archives under the same names must not take them over once the first has
//! pruned.

use kheeper_model::{Checksum, Crc64Nvme, ETag, ObjectKey, Timestamp};
use rusqlite::{OptionalExtension as _, params};

use super::authorize::Writer;
use super::batch::{Batch, ChangeError};
use super::rows::RowExt as _;
use crate::error::StoreError;
use crate::object::{Precondition, Written};

/// Bytes that somebody would write under a key.
pub(super) struct NewBytes<'n> {
    pub(super) key: &'n ObjectKey,
    pub(super) bytes: u64,
    pub(super) crc64nvme: Crc64Nvme,
    pub(super) etag: &'n ETag,
}

/// What a key has, or had until it was deleted.
struct First {
    is_current: bool,
    bytes: u64,
    etag: ETag,
    last_modified: Timestamp,
    crc64nvme: u64,
    checksum: Option<Checksum>,
}

impl Batch<'_> {
    /// The object that is there already and has the very bytes that come again; none if they may be written.
    /// [`StoreError::WouldOverwrite`] if others are there, or were.
    pub(super) fn first_one(
        &self,
        writer: &Writer,
        new: &NewBytes<'_>,
        precondition: &Precondition,
    ) -> Result<Option<Written>, ChangeError> {
        if !writer.no_overwrite {
            return Ok(None);
        }
        writer.check_owns(new.key)?;
        let Some(first) = self.first(writer, new.key)? else { return Ok(None) };
        precondition.check(first.is_current.then_some(&first.etag))?;
        if !first.is(new) {
            return Err(StoreError::WouldOverwrite(new.key.clone()).into());
        }
        let First { is_current, bytes, etag, last_modified, checksum, .. } = first;
        Ok(is_current.then_some(Written { etag, last_modified, bytes, checksum, hid_another: false }))
    }

    /// A copy over a key changes at least its metadata, and is refused.
    pub(super) fn refuse_copy_over(&self, writer: &Writer, key: &ObjectKey) -> Result<(), ChangeError> {
        if writer.no_overwrite && self.first(writer, key)?.is_some() {
            return Err(StoreError::WouldOverwrite(key.clone()).into());
        }
        Ok(())
    }

    fn first(&self, writer: &Writer, key: &ObjectKey) -> rusqlite::Result<Option<First>> {
        self.connection
            .prepare_cached(
                "SELECT v.hidden_at IS NULL, v.bytes, v.etag, coalesce(v.modified_at, v.committed_at), c.crc64nvme,
                        v.checksum
                 FROM version v JOIN content c USING (content_id)
                 WHERE v.org_no = ?1 AND v.key = ?2 AND (v.hidden_at IS NULL OR v.hidden_at > v.committed_at)
                   AND (v.purge_after IS NULL OR v.purge_after > ?3)
                 ORDER BY v.committed_at DESC LIMIT 1",
            )?
            .query_row(params![writer.org_no, key.as_bytes(), self.now.as_millis()], |row| {
                Ok(First {
                    is_current: row.get(0)?,
                    bytes: row.number(1)?,
                    etag: row.etag(2)?,
                    last_modified: row.time(3)?,
                    crc64nvme: row.get::<_, i64>(4)?.cast_unsigned(),
                    checksum: row.checksum(5)?,
                })
            })
            .optional()
    }
}

impl First {
    /// Whether the bytes are the same, whether they came in parts or not: by length and CRC, and by MD5 where both have
    /// one. Someone who forges a CRC gets a success, and what was there first stays all the same.
    fn is(&self, new: &NewBytes<'_>) -> bool {
        let of_whole = |etag: &ETag| !etag.as_str().contains('-');
        let md5_differs = of_whole(&self.etag) && of_whole(new.etag) && self.etag != *new.etag;
        self.bytes == new.bytes && self.crc64nvme == new.crc64nvme.0 && !md5_differs
    }
}
