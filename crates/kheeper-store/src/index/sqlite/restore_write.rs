//! Restoring keys, inside one transaction.

use kheeper_model::audit::AuditAct;
use kheeper_model::limits::AUDIT_KEYS_MAX;
use kheeper_model::{AttemptId, ObjectKey, Timestamp};
use rusqlite::params;

use super::authorize::Writer;
use super::batch::{Batch, ChangeError};
use super::object_write::{NewVersion, insert_version, is_base_backup, upsert_object};
use super::restore_read::{self, Difference};
use super::rows::{content_bytes, int};
use crate::audit::AuditNote;
use crate::error::StoreError;
use crate::index::{Ledger, Outcome, RestoreObjects};
use crate::object::ObjectMeta;

impl Batch<'_> {
    pub(super) fn restore_objects(&mut self, restore: &RestoreObjects) -> Result<Outcome, ChangeError> {
        let org_no = self.authorize_owner(&restore.caller, &restore.namespace.org)?;
        let host = self.host_row(&restore.namespace)?;
        // The owner's word counts here, and no limit of the host's.
        let namespace = restore.namespace.clone();
        let writer =
            Writer { org_no, namespace_no: host.namespace_no, namespace, quota_bytes: None, no_overwrite: false };
        let mut changed = Vec::new();
        for key in &restore.keys {
            writer.check_owns(key)?;
            match restore_read::difference(self.connection, &restore.namespace.org, org_no, key, restore.target)? {
                Some(Difference::Restore(wanted)) => self.restore_version(&writer, wanted, restore.began)?,
                Some(Difference::Hide(_)) => self.hide_restored(&writer, key)?,
                None => continue,
            }
            changed.push(key.as_str());
        }
        if !changed.is_empty() {
            let sample = changed.iter().take(AUDIT_KEYS_MAX).copied().collect::<Vec<_>>().join(" ");
            let note = AuditNote::done(AuditAct::ObjectsRestore, &restore.caller, &restore.namespace);
            self.audit(org_no, note.with("count", changed.len()).with("keys", sample));
        }
        Ok(Outcome::Done)
    }

    /// A new version with the content of an old one. It keeps when its bytes were first committed, since clients choose
    /// what is newest by that; when it became current is now, later than all that the key had.
    fn restore_version(&mut self, writer: &Writer, wanted: ObjectMeta, began: Timestamp) -> Result<(), ChangeError> {
        let referred = self
            .connection
            .prepare_cached("UPDATE content SET refs = refs + 1 WHERE content_id = ?1 AND condemned_at IS NULL")?
            .execute([content_bytes(&wanted.content)])?;
        if referred != 1 {
            return Err(StoreError::internal("a version without its content").into());
        }
        let key = wanted.key.as_bytes();
        let last = self.last_time_of_key(writer.org_no, key)?;
        let committed_at = last.map_or(self.now, |last| self.now.max(Timestamp(last.0 + 1)));
        let attempt = AttemptId::random();
        if self.current(writer.org_no, &wanted.key)?.is_some() {
            self.hide_current(writer.org_no, writer.namespace_no, key, committed_at, &attempt.0)?;
        }
        let version = NewVersion {
            key: wanted.key,
            attempt,
            content: wanted.content,
            bytes: wanted.bytes,
            etag: wanted.etag,
            began,
            part_count: wanted.part_count,
            checksum: wanted.checksum,
            headers: wanted.headers,
            modified_at: Some(wanted.last_modified),
        };
        insert_version(self.connection, writer, &version, committed_at, None)?;
        upsert_object(self.connection, writer, &version, committed_at)?;
        let bytes = int(version.bytes);
        self.add_to_ledger(writer.namespace_no, Ledger { objects: 1, current_bytes: bytes, ..Ledger::default() });
        if is_base_backup(&version.key) {
            self.note_base_backup(writer.namespace_no, version.key.as_bytes(), wanted.last_modified)?;
        }
        Ok(())
    }

    fn hide_restored(&mut self, writer: &Writer, key: &ObjectKey) -> Result<(), ChangeError> {
        let Some(current) = self.current(writer.org_no, key)? else { return Ok(()) };
        let at = self.now.max(Timestamp(current.committed_at.0 + 1));
        self.hide_current(writer.org_no, writer.namespace_no, key.as_bytes(), at, &AttemptId::random().0)?;
        self.connection
            .prepare_cached("DELETE FROM object WHERE org_no = ?1 AND key = ?2")?
            .execute(params![writer.org_no, key.as_bytes()])?;
        Ok(())
    }
}
