//! Versions: PUT, copy, and the hiding that overwrite and delete share.

use kheeper_model::audit::AuditAct;
use kheeper_model::limits::{AUDIT_KEYS_MAX, STALLED_PUT_SECS, VERSIONS_PER_KEY_HOUR_MAX};
use kheeper_model::{AttemptId, Checksum, ContentId, ETag, ObjectHeaders, ObjectKey, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::attempt::{Answer, Fingerprint};
use super::authorize::Writer;
use super::batch::{Batch, ChangeError};
use super::no_overwrite::NewBytes;
use super::retention;
use super::rows::{RowExt as _, content_bytes, crc_bits, int, json};
use crate::audit::AuditNote;
use crate::error::StoreError;
use crate::index::{ContentBody, CopyObject, DeleteObjects, Ledger, Outcome, PutObject, TagObject};
use crate::object::{Precondition, Written};

/// Under which of an object's headers its tags are kept.
const TAGGING: &str = "x-amz-tagging";

/// A version that is about to be committed.
pub(super) struct NewVersion {
    pub(super) key: ObjectKey,
    pub(super) attempt: AttemptId,
    pub(super) content: ContentId,
    pub(super) bytes: u64,
    pub(super) etag: ETag,
    pub(super) began: Timestamp,
    pub(super) part_count: Option<u32>,
    pub(super) checksum: Option<Checksum>,
    pub(super) headers: ObjectHeaders,
    /// When its bytes were first committed; none is now.
    pub(super) modified_at: Option<Timestamp>,
}

/// The current version of a key, as far as a commit has to know it.
pub(super) struct Current {
    etag: ETag,
    pub(super) committed_at: Timestamp,
    began_at: Timestamp,
}

impl Batch<'_> {
    pub(super) fn put_object(&mut self, put: PutObject) -> Result<Outcome, ChangeError> {
        let writer = self.authorize_write(&put.caller, &put.namespace)?;
        let fingerprint = Fingerprint::new("put", &put.key)
            .with(&put.bytes.to_be_bytes())
            .with(&put.crc64nvme.0.to_be_bytes())
            .bytes();
        if let Some(answer) = self.earlier_answer(writer.namespace_no, &put.attempt, fingerprint)? {
            // The bytes came twice, and the first ones stay.
            put.body.only_blob().iter().try_for_each(|blob| self.condemn_blob(blob))?;
            return Ok(answer);
        }
        let etag = ETag::new(&put.md5.to_hex());
        let new = NewBytes { key: &put.key, bytes: put.bytes, crc64nvme: put.crc64nvme, etag: &etag };
        if let Some(first) = self.first_one(&writer, &new, &put.precondition)? {
            put.body.only_blob().iter().try_for_each(|blob| self.condemn_blob(blob))?;
            self.keep_answer(writer.namespace_no, &put.attempt, fingerprint, &Answer::written(&first))?;
            return Ok(Outcome::Written(first));
        }
        self.check_quota(&writer, put.bytes)?;
        self.insert_content(&put)?;
        let version = NewVersion {
            key: put.key,
            attempt: put.attempt,
            content: put.content,
            bytes: put.bytes,
            etag,
            began: put.began,
            part_count: None,
            checksum: put.checksum,
            headers: put.headers,
            modified_at: None,
        };
        let written = self.commit_version(&writer, version, &put.precondition)?;
        self.keep_answer(writer.namespace_no, &put.attempt, fingerprint, &Answer::written(&written))?;
        Ok(Outcome::Written(written))
    }

    pub(super) fn copy_object(&mut self, copy: CopyObject) -> Result<Outcome, ChangeError> {
        let writer = self.authorize_write(&copy.caller, &copy.namespace)?;
        let fingerprint = Fingerprint::new("copy", &copy.key).with(copy.source.as_bytes()).bytes();
        if let Some(answer) = self.earlier_answer(writer.namespace_no, &copy.attempt, fingerprint)? {
            return Ok(answer);
        }
        self.refuse_copy_over(&writer, &copy.key)?;
        self.check_quota(&writer, copy.bytes)?;
        let referred = self
            .connection
            .prepare_cached("UPDATE content SET refs = refs + 1 WHERE content_id = ?1 AND condemned_at IS NULL")?
            .execute([content_bytes(&copy.content)])?;
        if referred == 0 {
            // It went away between the read and this commit; a repeat reads again.
            return Err(StoreError::unavailable("the source of the copy has just been removed").into());
        }
        let version = NewVersion {
            key: copy.key,
            attempt: copy.attempt,
            content: copy.content,
            bytes: copy.bytes,
            etag: copy.etag,
            began: copy.began,
            part_count: copy.part_count,
            checksum: copy.checksum,
            headers: copy.headers,
            modified_at: None,
        };
        let written = self.commit_version(&writer, version, &copy.precondition)?;
        self.keep_answer(writer.namespace_no, &copy.attempt, fingerprint, &Answer::written(&written))?;
        Ok(Outcome::Written(written))
    }

    pub(super) fn delete_objects(&mut self, delete: DeleteObjects) -> Result<Outcome, ChangeError> {
        let writer = self.authorize_write(&delete.caller, &delete.namespace)?;
        let Some(first) = delete.keys.first() else { return Ok(Outcome::Hidden(0)) };
        let fingerprint = delete.keys.iter().fold(Fingerprint::new("delete", first), |f, key| f.with(key.as_bytes()));
        let fingerprint = fingerprint.bytes();
        if let Some(answer) = self.earlier_answer(writer.namespace_no, &delete.attempt, fingerprint)? {
            return Ok(answer);
        }
        delete.keys.iter().try_for_each(|key| writer.check_owns(key))?;
        let mut hidden = 0;
        let mut sample = Vec::new();
        for key in &delete.keys {
            let current = self.current(writer.org_no, key)?;
            delete.precondition.check(current.as_ref().map(|current| &current.etag))?;
            if let Some(current) = current {
                let at = self.now.max(Timestamp(current.committed_at.0 + 1));
                self.hide_current(writer.org_no, writer.namespace_no, key.as_bytes(), at, &delete.attempt.0)?;
                self.connection
                    .prepare_cached("DELETE FROM object WHERE org_no = ?1 AND key = ?2")?
                    .execute(params![writer.org_no, key.as_bytes()])?;
                hidden += 1;
                if sample.len() < AUDIT_KEYS_MAX {
                    sample.push(key.as_str());
                }
            }
        }
        if !sample.is_empty() {
            let note = AuditNote::done(AuditAct::ObjectsDelete, &delete.caller, &writer.namespace);
            self.audit(writer.org_no, note.with("count", hidden).with("keys", sample.join(" ")));
        }
        self.keep_answer(writer.namespace_no, &delete.attempt, fingerprint, &Answer::Hidden(hidden))?;
        Ok(Outcome::Hidden(hidden))
    }

    /// Tags belong to a version, as in S3: what was current before keeps those that it had. They are no part of the write
    /// that made the version, so its time stays.
    pub(super) fn tag_object(&mut self, tag: &TagObject) -> Result<Outcome, ChangeError> {
        let writer = self.authorize_write(&tag.caller, &tag.namespace)?;
        let form = tag.tagging.as_deref().unwrap_or_default();
        let fingerprint = Fingerprint::new("tag", &tag.key).with(form.as_bytes()).bytes();
        if let Some(answer) = self.earlier_answer(writer.namespace_no, &tag.attempt, fingerprint)? {
            return Ok(answer);
        }
        writer.check_owns(&tag.key)?;
        let key = tag.key.as_bytes();
        let current = self
            .connection
            .prepare_cached("SELECT committed_at, headers FROM object WHERE org_no = ?1 AND key = ?2")?
            .query_row(params![writer.org_no, key], |row| Ok((row.time(0)?, row.headers(1)?)))
            .optional()?;
        let Some((committed_at, mut headers)) = current else { return Err(StoreError::NoSuchKey.into()) };
        headers.remove(TAGGING);
        if let Some(form) = &tag.tagging {
            headers.insert(TAGGING, form.as_str());
        }
        let headers = json(&headers)?;
        let tagged = self
            .connection
            .prepare_cached("UPDATE version SET headers = ?4 WHERE org_no = ?1 AND key = ?2 AND committed_at = ?3")?
            .execute(params![writer.org_no, key, committed_at.as_millis(), headers])?;
        if tagged != 1 {
            return Err(StoreError::internal("an object without its version").into());
        }
        self.connection
            .prepare_cached("UPDATE object SET headers = ?3 WHERE org_no = ?1 AND key = ?2")?
            .execute(params![writer.org_no, key, headers])?;
        self.keep_answer(writer.namespace_no, &tag.attempt, fingerprint, &Answer::Done)?;
        Ok(Outcome::Done)
    }

    /// Makes a version current, or, if it comes from a stalled PUT, part of the history at once.
    pub(super) fn commit_version(
        &mut self,
        writer: &Writer,
        version: NewVersion,
        precondition: &Precondition,
    ) -> Result<Written, ChangeError> {
        writer.check_owns(&version.key)?;
        let key = version.key.as_bytes();
        let current = self.current(writer.org_no, &version.key)?;
        precondition.check(current.as_ref().map(|current| &current.etag))?;

        // LastModified of a key only ever grows, whatever the clock does.
        let last = self.last_time_of_key(writer.org_no, key)?;
        self.check_version_rate(writer.org_no, key, last)?;
        let committed_at = last.map_or(self.now, |last| self.now.max(Timestamp(last.0 + 1)));
        let stalled = precondition.is_none()
            && current.as_ref().is_some_and(|current| version.began.plus_secs(STALLED_PUT_SECS) < current.began_at);
        let hidden_at = if stalled {
            let purge_after = self.purge_after(writer.namespace_no, committed_at)?;
            self.add_to_ledger(writer.namespace_no, Ledger { hidden_bytes: int(version.bytes), ..Ledger::default() });
            Some((committed_at, purge_after))
        } else {
            if current.is_some() {
                self.hide_current(writer.org_no, writer.namespace_no, key, committed_at, &version.attempt.0)?;
            }
            self.add_to_ledger(
                writer.namespace_no,
                Ledger { objects: 1, current_bytes: int(version.bytes), ..Ledger::default() },
            );
            None
        };
        insert_version(self.connection, writer, &version, committed_at, hidden_at)?;
        if !stalled {
            upsert_object(self.connection, writer, &version, committed_at)?;
            self.note_object(writer.namespace_no, committed_at);
            if is_base_backup(&version.key) {
                self.note_base_backup(writer.namespace_no, key, committed_at)?;
            }
        }
        let NewVersion { etag, bytes, checksum, .. } = version;
        let hid_another = current.is_some() && !stalled;
        Ok(Written { etag, last_modified: committed_at, bytes, checksum, hid_another })
    }

    pub(super) fn note_base_backup(&self, namespace_no: i64, key: &[u8], at: Timestamp) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO base_backup (namespace_no, key, committed_at) VALUES (?1, ?2, ?3)")?
            .execute(params![namespace_no, key, at.as_millis()])
            .map(drop)
    }

    /// One key must not fill the history: each version is kept for the window.
    fn check_version_rate(&self, org_no: i64, key: &[u8], last: Option<Timestamp>) -> Result<(), ChangeError> {
        let hour_ago = self.now.minus_secs(3600);
        if last.is_none_or(|last| last <= hour_ago) {
            return Ok(());
        }
        let earlier = self
            .connection
            .prepare_cached(
                "SELECT committed_at FROM version WHERE org_no = ?1 AND key = ?2
                 ORDER BY committed_at DESC LIMIT 1 OFFSET ?3",
            )?
            .query_row(params![org_no, key, int(VERSIONS_PER_KEY_HOUR_MAX as u64 - 1)], |row| row.time(0))
            .optional()?;
        if earlier.is_some_and(|earlier| earlier > hour_ago) {
            let why = format!("more than {VERSIONS_PER_KEY_HOUR_MAX} versions of one key within an hour");
            return Err(StoreError::Busy(why.into()).into());
        }
        Ok(())
    }

    /// Hides the current version of a key. Its object row is the caller's to remove or replace.
    pub(super) fn hide_current(
        &mut self,
        org_no: i64,
        namespace_no: i64,
        key: &[u8],
        hidden_at: Timestamp,
        hidden_by: &[u8],
    ) -> Result<(), ChangeError> {
        let (committed_at, bytes): (i64, i64) = self
            .connection
            .prepare_cached("SELECT committed_at, bytes FROM object WHERE org_no = ?1 AND key = ?2")?
            .query_row(params![org_no, key], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let purge_after = self.purge_after(namespace_no, hidden_at)?;
        let hidden = self
            .connection
            .prepare_cached(
                "UPDATE version SET hidden_at = ?4, hidden_by = ?5, purge_after = ?6
                 WHERE org_no = ?1 AND key = ?2 AND committed_at = ?3 AND hidden_at IS NULL",
            )?
            .execute(params![
                org_no,
                key,
                committed_at,
                hidden_at.as_millis(),
                hidden_by,
                purge_after.map(Timestamp::as_millis)
            ])?;
        if hidden != 1 {
            return Err(StoreError::internal("an object without its version").into());
        }
        self.connection
            .prepare_cached("DELETE FROM base_backup WHERE namespace_no = ?1 AND key = ?2")?
            .execute(params![namespace_no, key])?;
        self.add_to_ledger(
            namespace_no,
            Ledger { objects: -1, current_bytes: -bytes, hidden_bytes: bytes, uploading_bytes: 0 },
        );
        Ok(())
    }

    /// Until when what is hidden now is kept: by the largest window that was set during the last old window.
    /// None is for ever: what of a window that cannot be read.
    pub(super) fn purge_after(&self, namespace_no: i64, hidden_at: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
        let window = retention::window(self.connection, namespace_no, self.now)?;
        Ok(window.map(|window| hidden_at.plus_secs(window.in_force_secs)))
    }

    pub(super) fn check_quota(&self, writer: &Writer, more_bytes: u64) -> Result<(), ChangeError> {
        let Some(quota_bytes) = writer.quota_bytes else { return Ok(()) };
        let stored = self.ledger(writer.namespace_no)?.stored_bytes();
        if stored.saturating_add(int(more_bytes)) > quota_bytes {
            return Err(StoreError::QuotaExceeded.into());
        }
        Ok(())
    }

    pub(super) fn current(&self, org_no: i64, key: &ObjectKey) -> rusqlite::Result<Option<Current>> {
        self.connection
            .prepare_cached("SELECT etag, committed_at, began_at FROM object WHERE org_no = ?1 AND key = ?2")?
            .query_row(params![org_no, key.as_bytes()], |row| {
                Ok(Current { etag: row.etag(0)?, committed_at: row.time(1)?, began_at: row.time(2)? })
            })
            .optional()
    }

    /// The content's row, which sweep would have to write, too: whoever is second yields.
    fn insert_content(&self, put: &PutObject) -> Result<(), ChangeError> {
        let (small_no, manifest) = match &put.body {
            ContentBody::Inline(bytes) => {
                self.connection.prepare_cached("INSERT INTO small (bytes) VALUES (?1)")?.execute([&bytes[..]])?;
                (Some(self.connection.last_insert_rowid()), None)
            }
            ContentBody::Blobs(manifest) => (None, Some(manifest.pack())),
        };
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO content (content_id, refs, bytes, crc64nvme, small_no, manifest)
                 VALUES (?1, 1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                content_bytes(&put.content),
                int(put.bytes),
                crc_bits(put.crc64nvme.0),
                small_no,
                manifest
            ])?;
        if inserted == 0 {
            return Err(StoreError::unavailable("sweep took the content for an orphan; try again").into());
        }
        Ok(())
    }
}

pub(super) fn insert_version(
    connection: &Connection,
    writer: &Writer,
    version: &NewVersion,
    committed_at: Timestamp,
    hidden: Option<(Timestamp, Option<Timestamp>)>,
) -> Result<(), ChangeError> {
    connection
        .prepare_cached(
            "INSERT INTO version (org_no, key, committed_at, hidden_at, hidden_by, purge_after, namespace_no, attempt,
                                  content_id, bytes, etag, began_at, part_count, checksum, headers,
                                  modified_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute(params![
            writer.org_no,
            version.key.as_bytes(),
            committed_at.as_millis(),
            hidden.map(|(hidden_at, _)| hidden_at.as_millis()),
            hidden.map(|_| version.attempt.0),
            hidden.and_then(|(_, purge_after)| purge_after.map(Timestamp::as_millis)),
            writer.namespace_no,
            version.attempt.0,
            content_bytes(&version.content),
            int(version.bytes),
            version.etag.as_str(),
            version.began.as_millis(),
            version.part_count,
            version.checksum.as_ref().map(json).transpose()?,
            json(&version.headers)?,
            version.modified_at.map(Timestamp::as_millis),
        ])?;
    Ok(())
}

pub(super) fn upsert_object(
    connection: &Connection,
    writer: &Writer,
    version: &NewVersion,
    committed_at: Timestamp,
) -> Result<(), ChangeError> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO object (org_no, key, bytes, etag, committed_at, namespace_no, content_id, began_at,
                                            part_count, checksum, headers, modified_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            writer.org_no,
            version.key.as_bytes(),
            int(version.bytes),
            version.etag.as_str(),
            committed_at.as_millis(),
            writer.namespace_no,
            content_bytes(&version.content),
            version.began.as_millis(),
            version.part_count,
            version.checksum.as_ref().map(json).transpose()?,
            json(&version.headers)?,
            version.modified_at.map(Timestamp::as_millis),
        ])?;
    Ok(())
}

/// Whether a key is what a finished base backup leaves last: wal-g's sentinel, barman's info, pgBackRest's manifest.
pub(super) fn is_base_backup(key: &ObjectKey) -> bool {
    let segments: Vec<&str> = key.as_str().split('/').skip(1).collect();
    match segments[..] {
        [.., "basebackups_005", name] => name.ends_with("_backup_stop_sentinel.json"),
        [.., "base", _, "backup.info"] => true,
        [.., "backup.manifest"] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_of_each_tools_base_backup_is_known() {
        let is = |key: &str| is_base_backup(&key.parse().unwrap());
        assert!(is("web-01/basebackups_005/base_000000010000000000000004_backup_stop_sentinel.json"));
        assert!(is("web-01/pg16-main/basebackups_005/base_1_backup_stop_sentinel.json"));
        assert!(is("web-01/barman/main/base/20261122T180000/backup.info"));
        assert!(is("web-01/repo/backup/demo/20261122-180000F/backup.manifest"));
        for other in [
            "web-01/basebackups_005/base_1/metadata.json",
            "web-01/basebackups_005/base_1/x_backup_stop_sentinel.json",
            "web-01/wal_005/000000010000000000000004.lz4",
            "web-01/barman/main/base/20261122T180000/data.tar",
            "web-01/repo/backup/demo/20261122-180000F/backup.manifest.copy",
            "base/x/backup.info",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
