//! Removing what nothing refers to. Each change is bounded, and checks that its lease still holds.

use std::collections::BTreeMap;

use kheeper_model::limits::{COMPLETED_UPLOAD_SECS, UPLOAD_IDLE_SECS_MAX};
use kheeper_model::{ContentId, Namespace};
use rusqlite::{OptionalExtension as _, params};

use super::batch::{Batch, ChangeError};
use super::rows::{RowExt as _, content_bytes, int, json};
use super::sweep_read;
use crate::blob::BlobName;
use crate::error::StoreError;
use crate::index::{Lease, LeaseName, Ledger, Outcome, Range, SweepChange};
use crate::scrub_state::ScrubState;

/// What hides the objects of a namespace whose window is over.
const HIDDEN_BY_CLOSING: [u8; 16] = [0; 16];

/// A hidden version whose time is over.
struct DueVersion {
    org_no: i64,
    key: Vec<u8>,
    committed_at: i64,
    namespace_no: i64,
    content: ContentId,
    bytes: i64,
    hidden_at: i64,
}

impl LeaseName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Fold => "fold",
            Self::Scrub => "scrub",
        }
    }
}

impl Batch<'_> {
    pub(super) fn sweep(&mut self, change: SweepChange) -> Result<Outcome, ChangeError> {
        let rows = match change {
            SweepChange::TakeLease { name, holder, secs } => {
                return self.take_lease(name, holder, secs).map(Outcome::Lease);
            }
            SweepChange::PurgeVersions(lease, max) => {
                self.check_lease(lease).and_then(|()| self.purge_versions(max))?
            }
            SweepChange::CloseNamespaces(lease, max) => {
                self.check_lease(lease)?;
                self.close_namespaces(max)?
            }
            SweepChange::ExpireUploads(lease, max) => {
                self.check_lease(lease)?;
                self.expire_uploads(max)? + self.forget_expired(max)?
            }
            SweepChange::ForgetAudit(lease, max) => {
                self.check_lease(lease)?;
                self.forget_audit(max)?
            }
            SweepChange::CondemnBlobs(lease, blobs) => {
                self.check_lease(lease)?;
                self.condemn_blobs(&blobs)?
            }
            SweepChange::ForgetContents(lease, contents) => {
                self.check_lease(lease)?;
                self.forget_contents(&contents)?
            }
            SweepChange::ForgetBlobs(lease, blobs) => {
                self.check_lease(lease)?;
                self.forget_blobs(&blobs)?
            }
            SweepChange::KeepScrub(lease, state) => {
                self.check_lease(lease)?;
                self.keep_scrub(&state)?
            }
        };
        Ok(Outcome::Swept(rows))
    }

    /// Takes a lease that nobody holds, or extends our own.
    fn take_lease(&self, name: LeaseName, holder: [u8; 16], secs: u64) -> Result<Option<Lease>, ChangeError> {
        let held = self
            .connection
            .prepare_cached("SELECT holder, epoch, expires_at FROM lease WHERE name = ?1")?
            .query_row([name.as_str()], |row| Ok((row.array::<16>(0)?, row.number(1)?, row.time(2)?)))
            .optional()?;
        let epoch = match held {
            Some((by, epoch, _)) if by == holder => epoch,
            Some((_, _, expires_at)) if expires_at > self.now => return Ok(None),
            Some((_, epoch, _)) => epoch + 1,
            None => 1,
        };
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO lease (name, holder, epoch, expires_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![name.as_str(), holder, int(epoch), self.now.plus_secs(secs).as_millis()])?;
        Ok(Some(Lease { name, epoch }))
    }

    /// The lease was not taken by another since.
    pub(super) fn check_lease(&self, lease: Lease) -> Result<(), ChangeError> {
        let epoch = self
            .connection
            .prepare_cached("SELECT epoch FROM lease WHERE name = ?1")?
            .query_row([lease.name.as_str()], |row| row.number(0))
            .optional()?;
        if epoch == Some(lease.epoch) {
            return Ok(());
        }
        Err(StoreError::unavailable("another process has taken over").into())
    }

    fn purge_versions(&mut self, max: u64) -> Result<u64, ChangeError> {
        let due: Vec<DueVersion> = self
            .connection
            .prepare_cached(
                "SELECT org_no, key, committed_at, namespace_no, content_id, bytes, hidden_at FROM version
                 WHERE purge_after <= ?1 AND hidden_at IS NOT NULL ORDER BY purge_after LIMIT ?2",
            )?
            .query_map(params![self.now.as_millis(), int(max)], |row| {
                Ok(DueVersion {
                    org_no: row.get(0)?,
                    key: row.get(1)?,
                    committed_at: row.get(2)?,
                    namespace_no: row.get(3)?,
                    content: row.content(4)?,
                    bytes: row.get(5)?,
                    hidden_at: row.get(6)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut gone_until: BTreeMap<i64, i64> = BTreeMap::new();
        for DueVersion { org_no, key, committed_at, namespace_no, content, bytes, hidden_at } in &due {
            self.connection
                .prepare_cached("DELETE FROM version WHERE org_no = ?1 AND key = ?2 AND committed_at = ?3")?
                .execute(params![org_no, key, committed_at])?;
            self.release_content(content)?;
            self.add_to_ledger(*namespace_no, Ledger { hidden_bytes: -bytes, ..Ledger::default() });
            // One that was committed hidden was never there to be missed.
            if hidden_at > committed_at {
                let until = gone_until.entry(*namespace_no).or_default();
                *until = (*until).max(*hidden_at);
            }
        }
        for (namespace_no, until) in gone_until {
            self.connection
                .prepare_cached(
                    "UPDATE namespace SET history_since = max(coalesce(history_since, 0), ?2) WHERE namespace_no = ?1",
                )?
                .execute(params![namespace_no, until])?;
        }
        Ok(due.len() as u64)
    }

    fn close_namespaces(&mut self, max: u64) -> Result<u64, ChangeError> {
        let due: Vec<(i64, i64, Namespace)> = self
            .connection
            .prepare_cached(
                "SELECT n.namespace_no, n.org_no, o.name, n.host FROM namespace n JOIN org o USING (org_no)
                 WHERE n.purge_after <= ?1 AND n.released_at IS NULL",
            )?
            .query_map([self.now.as_millis()], |row| {
                Ok((row.get(0)?, row.get(1)?, Namespace { org: row.parsed(2)?, host: row.parsed(3)? }))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut rows = 0;
        for (namespace_no, org_no, namespace) in due {
            if rows < max {
                rows += self.close_namespace(namespace_no, org_no, &namespace, max - rows)?;
            }
        }
        Ok(rows)
    }

    /// Hides, for immediate purging, what a deleted namespace still shows; frees its name once nothing is left.
    fn close_namespace(
        &mut self,
        namespace_no: i64,
        org_no: i64,
        namespace: &Namespace,
        max: u64,
    ) -> Result<u64, ChangeError> {
        let Range { start, end } = Range::of_prefix(namespace.key_prefix().as_bytes());
        let keys: Vec<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT key FROM object WHERE org_no = ?1 AND key >= ?2 AND key < ?3 LIMIT ?4")?
            .query_map(params![org_no, start, end, int(max)], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for key in &keys {
            self.hide_current(org_no, namespace_no, key, self.now, &HIDDEN_BY_CLOSING)?;
            // Its window ran from the namespace's deletion, and is over.
            self.connection
                .prepare_cached(
                    "UPDATE version SET purge_after = ?3 WHERE org_no = ?1 AND key = ?2 AND hidden_at = ?3",
                )?
                .execute(params![org_no, key, self.now.as_millis()])?;
            self.connection
                .prepare_cached("DELETE FROM object WHERE org_no = ?1 AND key = ?2")?
                .execute(params![org_no, key])?;
        }
        let uploads: Vec<ContentId> = self
            .connection
            .prepare_cached("SELECT content_id FROM upload WHERE namespace_no = ?1 AND completed_at IS NULL LIMIT ?2")?
            .query_map(params![namespace_no, int(max)], |row| row.content(0))?
            .collect::<rusqlite::Result<_>>()?;
        for upload in &uploads {
            self.give_up_upload(namespace_no, upload)?;
        }
        let worked = (keys.len() + uploads.len()) as u64;
        let emptied = worked == 0
            && !self
                .connection
                .prepare_cached("SELECT 1 FROM version WHERE org_no = ?1 AND key >= ?2 AND key < ?3 LIMIT 1")?
                .exists(params![org_no, start, end])?;
        if emptied {
            self.connection
                .prepare_cached("UPDATE namespace SET released_at = ?2 WHERE namespace_no = ?1")?
                .execute(params![namespace_no, self.now.as_millis()])?;
        }
        Ok(worked)
    }

    fn expire_uploads(&mut self, max: u64) -> Result<u64, ChangeError> {
        let idle: Vec<(ContentId, i64)> = self
            .connection
            .prepare_cached(
                "SELECT content_id, namespace_no FROM upload WHERE active_at < ?1 AND completed_at IS NULL LIMIT ?2",
            )?
            .query_map(params![self.now.minus_secs(UPLOAD_IDLE_SECS_MAX).as_millis(), int(max)], |row| {
                Ok((row.content(0)?, row.get(1)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (upload, namespace_no) in &idle {
            self.give_up_upload(*namespace_no, upload)?;
        }
        Ok(idle.len() as u64)
    }

    /// Forgets what is only kept for a while: completed uploads, attempts, tokens. A join token that was used stays, one a
    /// host at the most: its host may ask again whether it has joined, and everybody else hears that it was used.
    fn forget_expired(&self, max: u64) -> Result<u64, ChangeError> {
        let day_ago = self.now.minus_secs(COMPLETED_UPLOAD_SECS).as_millis();
        let mut rows = 0;
        for sql in [
            "DELETE FROM upload WHERE content_id IN
                 (SELECT content_id FROM upload WHERE active_at < ?1 AND completed_at IS NOT NULL LIMIT ?2)",
            "DELETE FROM attempt WHERE (namespace_no, attempt) IN
                 (SELECT namespace_no, attempt FROM attempt WHERE at < ?1 ORDER BY at LIMIT ?2 * 10)",
            "DELETE FROM join_token WHERE secret_sha256 IN
                 (SELECT secret_sha256 FROM join_token WHERE expires_at < ?1 AND used_by IS NULL LIMIT ?2)",
            "DELETE FROM registration WHERE jti IN (SELECT jti FROM registration WHERE expires_at < ?1 LIMIT ?2)",
        ] {
            rows += self.connection.prepare_cached(sql)?.execute(params![day_ago, int(max)])?;
        }
        Ok(rows as u64)
    }

    /// Condemns blobs that no row names, and the contents they would be of: a commit that comes now finds its row taken.
    fn condemn_blobs(&self, blobs: &[BlobName]) -> Result<u64, ChangeError> {
        let orphans = sweep_read::unreferenced(self.connection, blobs)?;
        for blob in &orphans {
            self.condemn_blob(blob)?;
            self.connection
                .prepare_cached(
                    "INSERT INTO content (content_id, condemned_at, refs, bytes, crc64nvme) VALUES (?1, ?2, 0, 0, 0)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![content_bytes(&blob.content), self.now.as_millis()])?;
        }
        Ok(orphans.len() as u64)
    }

    fn keep_scrub(&self, state: &ScrubState) -> Result<u64, ChangeError> {
        let rows = self
            .connection
            .prepare_cached("INSERT OR REPLACE INTO scrub (scrub_no, state) VALUES (1, ?1)")?
            .execute([json(state)?])?;
        Ok(rows as u64)
    }

    fn forget_contents(&self, contents: &[ContentId]) -> Result<u64, ChangeError> {
        let mut rows = 0;
        for content in contents {
            let id = content_bytes(content);
            self.connection
                .prepare_cached(
                    "DELETE FROM small WHERE small_no =
                         (SELECT small_no FROM content WHERE content_id = ?1 AND condemned_at IS NOT NULL)",
                )?
                .execute([id])?;
            rows += self
                .connection
                .prepare_cached("DELETE FROM content WHERE content_id = ?1 AND condemned_at IS NOT NULL")?
                .execute([id])?;
        }
        Ok(rows as u64)
    }

    fn forget_blobs(&self, blobs: &[BlobName]) -> Result<u64, ChangeError> {
        let mut rows = 0;
        for blob in blobs {
            rows += self
                .connection
                .prepare_cached("DELETE FROM condemned_blob WHERE content_id = ?1 AND part = ?2 AND suffix = ?3")?
                .execute(params![content_bytes(&blob.content), blob.part, blob.suffix])?;
        }
        Ok(rows as u64)
    }
}
