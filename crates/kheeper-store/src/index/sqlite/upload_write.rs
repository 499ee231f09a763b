//! Multipart uploads: create, part, complete, abort.

use kheeper_model::limits::{OBJECT_BYTES_MAX, OPEN_UPLOADS_MAX, PART_BYTES_MIN};
use kheeper_model::{
    AttemptId, Checksum, ChecksumAlgorithm, ChecksumKind, ContentId, Crc64Nvme, ETag, Md5Digest, NamespaceId,
    ObjectHeaders, ObjectKey,
};
use rusqlite::{OptionalExtension as _, params};

use super::attempt::{Answer, Fingerprint};
use super::batch::{Batch, ChangeError};
use super::no_overwrite::NewBytes;
use super::object_write::NewVersion;
use super::rows::{RowExt as _, content_bytes, crc_bits, int, json};
use crate::blob::BlobName;
use crate::caller::Caller;
use crate::error::StoreError;
use crate::index::{AbortUpload, CompleteUpload, CreateUpload, Ledger, Manifest, Outcome, PutPart};
use crate::multipart_checksum::{self, PartSums};
use crate::object::Written;
use crate::upload::CompletePart;

/// An upload's row, as a change needs it.
struct Upload {
    headers: ObjectHeaders,
    checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    completed: Option<(Vec<u8>, String)>,
}

/// A part's row.
struct Part {
    number: u32,
    blob: BlobName,
    sums: PartSums,
}

impl Batch<'_> {
    pub(super) fn create_upload(&mut self, create: CreateUpload) -> Result<Outcome, ChangeError> {
        let writer = self.authorize_write(&create.caller, &create.namespace)?;
        writer.check_owns(&create.key)?;
        let fingerprint = Fingerprint::new("create-upload", &create.key).bytes();
        if let Some(answer) = self.earlier_answer(writer.namespace_no, &create.attempt, fingerprint)? {
            return Ok(answer);
        }
        self.check_open_uploads(writer.namespace_no)?;
        let id = content_bytes(&create.upload);
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO content (content_id, refs, bytes, crc64nvme) VALUES (?1, 1, 0, 0) ON CONFLICT DO NOTHING",
            )?
            .execute([id])?;
        if inserted == 0 {
            return Err(StoreError::unavailable("the upload's id is taken; try again").into());
        }
        self.connection
            .prepare_cached(
                "INSERT INTO upload (content_id, namespace_no, key, created_at, active_at, checksum_algorithm, checksum_kind, headers)
                 VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                id,
                writer.namespace_no,
                create.key.as_bytes(),
                self.now.as_millis(),
                create.checksum.map(|(algorithm, _)| algorithm.to_string()),
                create.checksum.map(|(_, kind)| json(&kind)).transpose()?,
                json(&create.headers)?,
            ])?;
        let answer = Answer::Upload(create.upload.to_string());
        self.keep_answer(writer.namespace_no, &create.attempt, fingerprint, &answer)?;
        Ok(Outcome::Upload(create.upload))
    }

    /// One namespace must not fill the index with uploads that it never completes.
    fn check_open_uploads(&self, namespace_no: i64) -> Result<(), ChangeError> {
        let as_many = self
            .connection
            .prepare_cached("SELECT 1 FROM upload WHERE namespace_no = ?1 AND completed_at IS NULL LIMIT 1 OFFSET ?2")?
            .exists(params![namespace_no, int(OPEN_UPLOADS_MAX as u64 - 1)])?;
        if as_many {
            let why = format!("{OPEN_UPLOADS_MAX} uploads of one namespace are not complete");
            return Err(StoreError::Busy(why.into()).into());
        }
        Ok(())
    }

    pub(super) fn put_part(&mut self, put: PutPart) -> Result<Outcome, ChangeError> {
        let namespace_no = self.upload_namespace(&put.caller, &put.namespace, &put.key)?;
        let id = content_bytes(&put.upload);
        let fingerprint = Fingerprint::new("part", &put.key)
            .with(&id)
            .with(&put.number.to_be_bytes())
            .with(&put.bytes.to_be_bytes())
            .with(&put.crc64nvme.0.to_be_bytes())
            .bytes();
        if let Some(answer) = self.earlier_answer(namespace_no, &put.attempt, fingerprint)? {
            self.condemn_blob(&put.blob)?;
            return Ok(answer);
        }
        let upload = self.upload(namespace_no, &put.key, &put.upload)?;
        if upload.completed.is_some() {
            return Err(StoreError::NoSuchUpload.into());
        }
        check_part_checksum(upload.checksum, put.checksum.as_ref())?;
        let writer = self.authorize_write(&put.caller, &put.namespace)?;
        self.check_quota(&writer, put.bytes)?;
        if self.is_condemned(&put.blob)? {
            return Err(StoreError::unavailable("sweep took the part for an orphan; try again").into());
        }
        let replaced = self.part(&put.upload, put.number)?;
        let replaced_bytes = replaced.as_ref().map_or(0, |part| part.sums.bytes);
        if let Some(replaced) = replaced {
            self.condemn_blob(&replaced.blob)?;
        }
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO part (content_id, number, suffix, bytes, crc64nvme, md5, committed_at, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                id,
                put.number,
                put.blob.suffix,
                int(put.bytes),
                crc_bits(put.crc64nvme.0),
                put.md5.0,
                self.now.as_millis(),
                put.checksum.as_ref().map(json).transpose()?,
            ])?;
        self.connection
            .prepare_cached("UPDATE upload SET active_at = ?2 WHERE content_id = ?1")?
            .execute(params![id, self.now.as_millis()])?;
        self.add_to_ledger(
            namespace_no,
            Ledger { uploading_bytes: int(put.bytes) - int(replaced_bytes), ..Ledger::default() },
        );
        let etag = ETag::new(&put.md5.to_hex());
        let written =
            Written { etag, last_modified: self.now, bytes: put.bytes, checksum: put.checksum, hid_another: false };
        self.keep_answer(namespace_no, &put.attempt, fingerprint, &Answer::written(&written))?;
        Ok(Outcome::Written(written))
    }

    pub(super) fn complete_upload(&mut self, complete: CompleteUpload) -> Result<Outcome, ChangeError> {
        let namespace_no = self.upload_namespace(&complete.caller, &complete.namespace, &complete.key)?;
        let id = content_bytes(&complete.upload);
        let listed = complete.parts.iter().fold(Fingerprint::new("complete", &complete.key).with(&id), |f, part| {
            f.with(&part.number.to_be_bytes()).with(part.etag.as_str().as_bytes())
        });
        let fingerprint = listed.bytes();
        if let Some(answer) = self.earlier_answer(namespace_no, &complete.attempt, fingerprint)? {
            return Ok(answer);
        }
        let upload = self.upload(namespace_no, &complete.key, &complete.upload)?;
        if let Some((known, result)) = upload.completed {
            // The same list gets the same answer; another one finds the upload gone.
            let answer: Option<Answer> = (known == fingerprint).then(|| serde_json::from_str(&result).ok()).flatten();
            return Ok(answer.ok_or(StoreError::NoSuchUpload)?.into_outcome()?);
        }
        let (listed, unlisted) = self.choose_parts(&complete)?;
        let found: u64 = listed.iter().map(|part| part.sums.bytes).sum();
        if let Some(declared) = complete.object_bytes.filter(|declared| *declared != found) {
            return Err(StoreError::ObjectSize { declared, found }.into());
        }
        if let Some(asked) = complete.checksum_kind.filter(|asked| *asked != multipart_checksum::kind(upload.checksum))
        {
            return Err(StoreError::ChecksumKind(asked).into());
        }
        let uploading_bytes: u64 = listed.iter().chain(&unlisted).map(|part| part.sums.bytes).sum();
        let manifest = Manifest::new(listed.iter().map(|part| (part.blob, part.sums.bytes)));
        let sums: Vec<PartSums> = listed.into_iter().map(|part| part.sums).collect();
        let version = NewVersion {
            key: complete.key,
            attempt: complete.attempt,
            content: complete.upload,
            bytes: manifest.bytes(),
            etag: multipart_checksum::etag(&sums),
            began: complete.began,
            part_count: u32::try_from(sums.len()).ok(),
            checksum: multipart_checksum::checksum(upload.checksum, &sums),
            headers: upload.headers,
            modified_at: None,
        };
        if let Some(declared) = &complete.checksum {
            check_object_checksum(declared, version.checksum.as_ref())?;
        }
        let crc64nvme = multipart_checksum::crc64nvme(&sums);
        let writer = self.authorize_write(&complete.caller, &complete.namespace)?;
        let new = NewBytes { key: &version.key, bytes: version.bytes, crc64nvme, etag: &version.etag };
        if let Some(first) = self.first_one(&writer, &new, &complete.precondition)? {
            self.drop_parts(namespace_no, &complete.upload)?;
            self.release_content(&complete.upload)?;
            self.finish_upload(
                (namespace_no, &complete.attempt, &complete.upload),
                fingerprint,
                &Answer::written(&first),
            )?;
            return Ok(Outcome::Written(first));
        }
        let part_digests = upload.checksum.and_then(|(algorithm, _)| {
            Some((algorithm.to_string(), multipart_checksum::digests(algorithm, &sums)?.concat()))
        });
        let (part_checksum, part_digests) = part_digests.unzip();
        // The upload's reference to the content becomes the version's.
        self.connection
            .prepare_cached(
                "UPDATE content SET bytes = ?2, crc64nvme = ?3, manifest = ?4, part_checksum = ?5, part_digests = ?6
                 WHERE content_id = ?1",
            )?
            .execute(params![
                id,
                int(version.bytes),
                crc_bits(crc64nvme.0),
                manifest.pack(),
                part_checksum,
                part_digests
            ])?;
        unlisted.iter().try_for_each(|part| self.condemn_blob(&part.blob))?;
        self.connection.prepare_cached("DELETE FROM part WHERE content_id = ?1")?.execute([id])?;
        self.add_to_ledger(namespace_no, Ledger { uploading_bytes: -int(uploading_bytes), ..Ledger::default() });

        let written = self.commit_version(&writer, version, &complete.precondition)?;
        self.finish_upload(
            (namespace_no, &complete.attempt, &complete.upload),
            fingerprint,
            &Answer::written(&written),
        )?;
        Ok(Outcome::Written(written))
    }

    /// Keeps what a Complete is answered: for its attempt, and for the same list of parts.
    fn finish_upload(
        &self,
        (namespace_no, attempt, upload): (i64, &AttemptId, &ContentId),
        fingerprint: [u8; 16],
        answer: &Answer,
    ) -> Result<(), ChangeError> {
        self.connection
            .prepare_cached(
                "UPDATE upload SET completed_at = ?2, active_at = ?2, parts_fingerprint = ?3, result = ?4 WHERE content_id = ?1",
            )?
            .execute(params![content_bytes(upload), self.now.as_millis(), fingerprint, json(answer)?])?;
        self.keep_answer(namespace_no, attempt, fingerprint, answer)
    }

    pub(super) fn abort_upload(&mut self, abort: &AbortUpload) -> Result<Outcome, ChangeError> {
        let namespace_no = self.upload_namespace(&abort.caller, &abort.namespace, &abort.key)?;
        if self.upload(namespace_no, &abort.key, &abort.upload)?.completed.is_some() {
            return Err(StoreError::NoSuchUpload.into());
        }
        self.give_up_upload(namespace_no, &abort.upload)?;
        Ok(Outcome::Done)
    }

    /// Removes an open upload: its parts and its content are condemned.
    pub(super) fn give_up_upload(&mut self, namespace_no: i64, upload: &ContentId) -> Result<(), ChangeError> {
        self.drop_parts(namespace_no, upload)?;
        let id = content_bytes(upload);
        self.connection.prepare_cached("DELETE FROM upload WHERE content_id = ?1")?.execute([id])?;
        self.release_content(upload)?;
        Ok(())
    }

    /// Leaves all parts of an upload to sweep.
    fn drop_parts(&mut self, namespace_no: i64, upload: &ContentId) -> Result<(), ChangeError> {
        let parts = self.parts(upload)?;
        parts.iter().try_for_each(|part| self.condemn_blob(&part.blob))?;
        let bytes: u64 = parts.iter().map(|part| part.sums.bytes).sum();
        self.add_to_ledger(namespace_no, Ledger { uploading_bytes: -int(bytes), ..Ledger::default() });
        self.connection.prepare_cached("DELETE FROM part WHERE content_id = ?1")?.execute([content_bytes(upload)])?;
        Ok(())
    }

    /// Takes one reference from a content; without any it is condemned.
    pub(super) fn release_content(&self, content: &ContentId) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE content SET refs = refs - 1, condemned_at = CASE WHEN refs = 1 THEN ?2 END WHERE content_id = ?1",
            )?
            .execute(params![content_bytes(content), self.now.as_millis()])
            .map(drop)
    }

    /// Leaves a blob to sweep.
    pub(super) fn condemn_blob(&self, blob: &BlobName) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO condemned_blob (content_id, part, suffix, condemned_at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![content_bytes(&blob.content), blob.part, blob.suffix, self.now.as_millis()])
            .map(drop)
    }

    fn is_condemned(&self, blob: &BlobName) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM condemned_blob WHERE content_id = ?1 AND part = ?2 AND suffix = ?3")?
            .exists(params![content_bytes(&blob.content), blob.part, blob.suffix])
    }

    fn upload_namespace(
        &mut self,
        caller: &Caller,
        namespace: &NamespaceId,
        key: &ObjectKey,
    ) -> Result<i64, ChangeError> {
        let writer = self.authorize_write(caller, namespace)?;
        writer.check_owns(key)?;
        Ok(writer.namespace_no)
    }

    /// An upload by its id, if it is of this namespace and key.
    fn upload(&self, namespace_no: i64, key: &ObjectKey, upload: &ContentId) -> Result<Upload, ChangeError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT headers, checksum_algorithm, checksum_kind, parts_fingerprint, result FROM upload
                 WHERE content_id = ?1 AND namespace_no = ?2 AND key = ?3",
            )?
            .query_row(params![content_bytes(upload), namespace_no, key.as_bytes()], |row| {
                let algorithm: Option<String> = row.get(1)?;
                let algorithm = algorithm.and_then(|algorithm| algorithm.parse().ok());
                let checksum = match algorithm {
                    Some(algorithm) => Some((algorithm, row.json_of(2)?)),
                    None => None,
                };
                let completed = row.get::<_, Option<Vec<u8>>>(3)?.zip(row.get(4)?);
                Ok(Upload { headers: row.headers(0)?, checksum, completed })
            })
            .optional()?;
        found.ok_or_else(|| StoreError::NoSuchUpload.into())
    }

    /// The parts of an upload that the client lists, checked, and those it does not.
    fn choose_parts(&self, complete: &CompleteUpload) -> Result<(Vec<Part>, Vec<Part>), ChangeError> {
        if complete.parts.windows(2).any(|pair| pair[0].number >= pair[1].number) {
            return Err(StoreError::InvalidPartOrder.into());
        }
        let Some(last) = complete.parts.last() else { return Err(StoreError::InvalidPart(0).into()) };
        let mut wanted = complete.parts.iter().peekable();
        let (mut listed, mut unlisted) = (Vec::with_capacity(complete.parts.len()), Vec::new());
        for part in self.parts(&complete.upload)? {
            match wanted.peek() {
                Some(next) if next.number < part.number => break,
                Some(next) if next.number == part.number => {
                    check_part(next, &part)?;
                    if part.number != last.number && part.sums.bytes < PART_BYTES_MIN {
                        return Err(StoreError::EntityTooSmall { number: part.number, bytes: part.sums.bytes }.into());
                    }
                    wanted.next();
                    listed.push(part);
                }
                _ => unlisted.push(part),
            }
        }
        if let Some(missing) = wanted.next() {
            return Err(StoreError::InvalidPart(missing.number).into());
        }
        if listed.iter().map(|part| part.sums.bytes).sum::<u64>() > OBJECT_BYTES_MAX {
            return Err(StoreError::EntityTooLarge.into());
        }
        Ok((listed, unlisted))
    }

    fn part(&self, upload: &ContentId, number: u32) -> rusqlite::Result<Option<Part>> {
        self.connection
            .prepare_cached(&format!("{SELECT_PART} AND number = ?2"))?
            .query_row(params![content_bytes(upload), number], |row| read_part(upload, row))
            .optional()
    }

    fn parts(&self, upload: &ContentId) -> rusqlite::Result<Vec<Part>> {
        self.connection
            .prepare_cached(&format!("{SELECT_PART} ORDER BY number"))?
            .query_map([content_bytes(upload)], |row| read_part(upload, row))?
            .collect()
    }
}

const SELECT_PART: &str = "SELECT number, suffix, bytes, crc64nvme, md5, checksum FROM part WHERE content_id = ?1";

fn read_part(upload: &ContentId, row: &rusqlite::Row<'_>) -> rusqlite::Result<Part> {
    let number = row.get(0)?;
    Ok(Part {
        number,
        blob: BlobName { content: *upload, part: number, suffix: row.array(1)? },
        sums: PartSums {
            bytes: row.number(2)?,
            crc64nvme: Crc64Nvme(row.get::<_, i64>(3)?.cast_unsigned()),
            md5: Md5Digest(row.array(4)?),
            checksum: row.checksum(5)?,
        },
    })
}

/// A part has the checksum that its upload was created for, so that completing it needs no bytes. CRC-64/NVME is known of
/// every part, also where its client named none.
fn check_part_checksum(
    asked: Option<(ChecksumAlgorithm, ChecksumKind)>,
    declared: Option<&Checksum>,
) -> Result<(), StoreError> {
    let Some((expected, _)) = asked else { return Ok(()) };
    match declared.map(|checksum| checksum.algorithm) {
        None if expected == ChecksumAlgorithm::Crc64nvme => Ok(()),
        Some(found) if found == expected => Ok(()),
        found => Err(StoreError::PartChecksum { expected, found }),
    }
}

/// What the client says that the object's checksum is, against what it is.
fn check_object_checksum(declared: &Checksum, found: Option<&Checksum>) -> Result<(), StoreError> {
    match found {
        Some(found) if found.algorithm != declared.algorithm => {
            Err(StoreError::PartChecksum { expected: found.algorithm, found: Some(declared.algorithm) })
        }
        Some(found) if found.kind != declared.kind => Err(StoreError::ChecksumKind(declared.kind)),
        Some(found) if found.value == declared.value => Ok(()),
        Some(_) | None => Err(StoreError::ChecksumMismatch(declared.algorithm)),
    }
}

/// The part that the client lists is the one that is there.
fn check_part(listed: &CompletePart, part: &Part) -> Result<(), StoreError> {
    let same_etag = listed.etag.as_str().eq_ignore_ascii_case(&part.sums.md5.to_hex());
    let agrees = |named: &Checksum| match named.algorithm {
        ChecksumAlgorithm::Crc64nvme => named.value == part.sums.crc64nvme.to_base64(),
        algorithm => match &part.sums.checksum {
            Some(ours) => ours.algorithm == algorithm && ours.value == named.value,
            // What cannot be compared is not the part that was named.
            None => false,
        },
    };
    if same_etag && listed.checksums.iter().all(agrees) { Ok(()) } else { Err(StoreError::InvalidPart(part.number)) }
}
