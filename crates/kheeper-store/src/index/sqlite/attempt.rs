//! Attempts: a write that is repeated gets the first one's answer.

use kheeper_model::{AttemptId, Checksum, ETag, ObjectKey, Timestamp};
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::batch::{Batch, ChangeError};
use super::rows::{RowExt as _, json};
use crate::error::StoreError;
use crate::index::Outcome;
use crate::object::Written;

/// What tells one write from another that carries the same attempt id.
pub(super) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Of a write of a kind to a key.
    pub(super) fn new(operation: &str, key: &ObjectKey) -> Self {
        Self(Sha256::new()).with(operation.as_bytes()).with(key.as_bytes())
    }

    /// Takes in more of what the write is.
    pub(super) fn with(mut self, field: &[u8]) -> Self {
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field);
        self
    }

    /// 128 bits of it are plenty: only a namespace's own writes are compared.
    pub(super) fn bytes(self) -> [u8; 16] {
        let digest: [u8; 32] = self.0.finalize().into();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        first
    }
}

/// What an attempt was answered, as its row keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Written { etag: ETag, last_modified: Timestamp, bytes: u64, checksum: Option<Checksum> },
    Hidden(u64),
    Upload(String),
    Done,
}

impl Answer {
    pub(super) fn written(written: &Written) -> Self {
        let Written { etag, last_modified, bytes, checksum, hid_another: _ } = written.clone();
        Self::Written { etag, last_modified, bytes, checksum }
    }

    pub(super) fn into_outcome(self) -> Result<Outcome, StoreError> {
        Ok(match self {
            Self::Written { etag, last_modified, bytes, checksum } => {
                Outcome::Written(Written { etag, last_modified, bytes, checksum, hid_another: false })
            }
            Self::Hidden(count) => Outcome::Hidden(count),
            Self::Done => Outcome::Done,
            Self::Upload(id) => {
                Outcome::Upload(id.parse().map_err(|_| StoreError::internal("an attempt's row names no upload"))?)
            }
        })
    }
}

impl Batch<'_> {
    /// The answer of an earlier commit of the same attempt. [`StoreError::AttemptMismatch`] if that was another write.
    pub(super) fn earlier_answer(
        &self,
        namespace_no: i64,
        attempt: &AttemptId,
        fingerprint: [u8; 16],
    ) -> Result<Option<Outcome>, ChangeError> {
        let found = self
            .connection
            .prepare_cached("SELECT fingerprint, result FROM attempt WHERE namespace_no = ?1 AND attempt = ?2")?
            .query_row(params![namespace_no, attempt.0], |row| Ok((row.array::<16>(0)?, row.json_of::<Answer>(1)?)))
            .optional()?;
        match found {
            None => Ok(None),
            Some((known, answer)) if known == fingerprint => Ok(Some(answer.into_outcome()?)),
            Some(_) => Err(StoreError::AttemptMismatch.into()),
        }
    }

    /// Keeps what an attempt is answered.
    pub(super) fn keep_answer(
        &self,
        namespace_no: i64,
        attempt: &AttemptId,
        fingerprint: [u8; 16],
        answer: &Answer,
    ) -> Result<(), ChangeError> {
        self.connection
            .prepare_cached(
                "INSERT INTO attempt (namespace_no, attempt, fingerprint, at, result) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![namespace_no, attempt.0, fingerprint, self.now.as_millis(), json(answer)?])?;
        Ok(())
    }
}
