//! PUT: the bytes into a blob, the blob durable, one commit in the index, then the answer. In this order.
//!
//! A crash before the commit leaves at most a blob that nothing refers to, which sweep collects. After the commit the
//! object is durable. Once a commit was sent nobody here deletes the blob, whatever the answer: the commit may have
//! happened all the same.
//!
//! The answer to a repeat, "that I have already", takes the same way: it is read inside the commit, by the writer, whose
//! log was durable before (`index/sqlite/log.rs` at a start, the sync of each commit since). A sync that fails is not
//! tried again: that of a blob or its directory fails the write, that of the index refuses writes until a restart.

use bytes::{Bytes, BytesMut};
use kheeper_model::limits::{INLINE_BYTES_MAX, PART_BYTES_MAX, PUT_BYTES_MAX, REPLAY_BYTES_MAX, WRITE_SECS_MAX};
use kheeper_model::{ContentId, Crc64Nvme, Timestamp};

use crate::as_of::AsOf;
use crate::blob::{BlobName, BlobSum, BlobWriter};
use crate::control::unexpected;
use crate::error::{IntegrityFailure, StoreError};
use crate::host_store::HostStore;
use crate::index::{Change, ContentBody, Manifest, Outcome, PutObject, PutPart};
use crate::object::{Integrity, NewObject, Written};
use crate::space::Admitted;
use crate::upload::NewPart;

/// What the bytes will be.
pub(crate) enum Target {
    /// An object.
    Object(NewObject),
    /// A part of an upload.
    Part(NewPart),
}

/// A body that is being written. Dropped without [`Self::commit`], it never was.
pub struct PutWriter {
    host: HostStore,
    target: Target,
    content: ContentId,
    /// When it began, before it had a blob.
    began: Timestamp,
    admitted: Admitted,
    declared_length: Option<u64>,
    bytes: u64,
    body: Body,
}

/// Where the bytes go: small ones gather, until it is known whether they stay small.
enum Body {
    Small(BytesMut),
    Blob(BlobName, Box<dyn BlobWriter>),
    /// Only while a blob is being made.
    Failed,
}

impl HostStore {
    /// Begins a PUT. Refuses at once what is refused already: a full disk, a precondition that does not hold.
    pub async fn begin_put(&self, object: NewObject) -> Result<PutWriter, StoreError> {
        self.check_owns(&object.key)?;
        // A small body may be a replay of a write that was committed: only the commit knows the attempt.
        let may_be_replayed = object.length.is_some_and(|length| length <= REPLAY_BYTES_MAX as u64);
        if !object.precondition.is_none() && !may_be_replayed {
            let current = self.store.index().object(&self.namespace.org, &object.key, AsOf::Now).await?;
            object.precondition.check(current.as_ref().map(|current| &current.etag))?;
        }
        let length = object.length;
        PutWriter::begin(self, Target::Object(object), length).await
    }
}

impl HostStore {
    /// Refuses bytes that the quota has no room for before they are written: a file that its commit refuses lies on the
    /// disk for a day, and a flood of them would fill it. The commit counts again.
    async fn check_quota_left(&self, bytes: u64) -> Result<(), StoreError> {
        match self.store.shared.index.quota_left(&self.namespace_id).await? {
            Some(left) if left < bytes => Err(StoreError::QuotaExceeded),
            _ => Ok(()),
        }
    }
}

impl HostStore {
    /// Leaves the last fifth of the disk to those who hold less than their share of it, so that one flood does not stop
    /// everybody's backups. Who is alone on the disk has all of it.
    async fn check_share(&self, bytes: u64) -> Result<(), StoreError> {
        let shared = &self.store.shared;
        let space = shared.admission.report().await?;
        if !space.is_scarce() {
            return Ok(());
        }
        let share = shared.index.share(&self.namespace_id).await?;
        let fair_bytes = space.total_bytes / share.namespaces.max(1);
        if share.stored_bytes.saturating_add(bytes) > fair_bytes { Err(StoreError::ShareExceeded) } else { Ok(()) }
    }
}

impl PutWriter {
    pub(crate) async fn begin(host: &HostStore, target: Target, length: Option<u64>) -> Result<Self, StoreError> {
        // What can never be committed must not be written first, again and again, by every retry.
        if let Some(why) = host.store.shared.index.refuses_writes() {
            return Err(StoreError::unavailable(why));
        }
        let content = match &target {
            Target::Object(_) => host.store.new_content(),
            Target::Part(part) => part.upload,
        };
        let mut writer = Self {
            host: host.clone(),
            admitted: host.store.shared.admission.admit(length.unwrap_or(0)).await?,
            target,
            content,
            began: host.store.now(),
            declared_length: length,
            bytes: 0,
            body: Body::Small(BytesMut::new()),
        };
        if length.is_some_and(|length| length > writer.bytes_max()) {
            return Err(StoreError::EntityTooLarge);
        }
        let stays_small = length.is_none_or(|length| length <= INLINE_BYTES_MAX as u64);
        if let Some(length) = length.filter(|_| !stays_small) {
            host.check_quota_left(length).await?;
        }
        host.check_share(length.unwrap_or(0)).await?;
        if matches!(writer.target, Target::Part(_)) || !stays_small {
            writer.open_blob().await?;
        }
        Ok(writer)
    }

    /// Takes the next bytes of the body. Returns when they are on their way; waits while the disk is behind.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        if let Some(declared) = self.declared_length.filter(|declared| self.bytes > *declared) {
            return Err(StoreError::Integrity(IntegrityFailure::Length { declared, received: self.bytes }));
        }
        if self.bytes > self.bytes_max() {
            return Err(StoreError::EntityTooLarge);
        }
        self.admitted.cover(self.bytes)?;
        if let Body::Small(small) = &mut self.body {
            if self.bytes <= INLINE_BYTES_MAX as u64 {
                small.extend_from_slice(&bytes);
                return Ok(());
            }
            self.open_blob().await?;
        }
        match &mut self.body {
            Body::Blob(_, blob) => blob.write(bytes).await,
            Body::Small(_) | Body::Failed => Err(StoreError::internal("a write after a failed one")),
        }
    }

    /// Makes what was written durable and visible, if it is what `integrity` says.
    ///
    /// [`StoreError::Integrity`] if it is not, and then nothing changed. [`StoreError::Unavailable`] leaves the outcome open.
    pub async fn commit(self, integrity: Integrity) -> Result<Written, StoreError> {
        let Self { host, target, content, began, admitted, declared_length, bytes, body } = self;
        let declared = declared_length.unwrap_or(integrity.length);
        if bytes != declared || bytes != integrity.length {
            let declared = if bytes == declared { integrity.length } else { declared };
            discard(body).await;
            return Err(StoreError::Integrity(IntegrityFailure::Length { declared, received: bytes }));
        }
        // 1. The bytes are durable under a name that nothing refers to yet.
        let (sum, body) = match body {
            Body::Small(small) => {
                let crc64nvme = Crc64Nvme(crc_fast::crc64_nvme(&small));
                (BlobSum { bytes, crc64nvme }, FinishedBody::Inline(small.freeze()))
            }
            Body::Blob(name, blob) => (blob.finish().await?, FinishedBody::Blob(name)),
            Body::Failed => return Err(StoreError::internal("a commit after a failed write")),
        };
        if sum.bytes != bytes || sum.crc64nvme != integrity.crc64nvme {
            if let FinishedBody::Blob(name) = body {
                // No commit was sent, so nothing can refer to it.
                let _ = host.store.shared.blobs.delete(vec![name]).await;
            }
            return Err(StoreError::Integrity(IntegrityFailure::Crc64Nvme));
        }
        // A blob that nothing was written to for a day is condemned as an orphan, and removed a day later. Until then the commit
        // finds its row taken; once sweep has forgotten that row, nothing but this keeps the commit from naming a blob that
        // is going, or gone. Looking for the file is not enough: the row of its content is forgotten first.
        if host.store.now() > began.plus_secs(WRITE_SECS_MAX) {
            return Err(StoreError::unavailable("the body took so long that sweep may have its blob; send it again"));
        }
        // 2. One commit makes them an object. 3. The answer.
        let change = change_for(&host, target, content, body, sum, integrity);
        let outcome = host.store.commit(change).await;
        drop(admitted);
        match outcome? {
            Outcome::Written(written) => Ok(written),
            other => Err(unexpected(&other)),
        }
    }

    fn bytes_max(&self) -> u64 {
        match self.target {
            Target::Object(_) => PUT_BYTES_MAX,
            Target::Part(_) => PART_BYTES_MAX,
        }
    }

    /// Makes the blob, and hands it the small bytes that have gathered.
    async fn open_blob(&mut self) -> Result<(), StoreError> {
        let gathered = match std::mem::replace(&mut self.body, Body::Failed) {
            Body::Small(small) => small.freeze(),
            other => {
                self.body = other;
                return Ok(());
            }
        };
        let part = match &self.target {
            Target::Object(_) => 0,
            Target::Part(part) => part.number,
        };
        let shared = &self.host.store.shared;
        let name = BlobName::random(&*shared.randomness, self.content, part, shared.shards.next());
        self.host.store.count_operation();
        let mut blob = shared.blobs.create(name).await?;
        if !gathered.is_empty() {
            blob.write(gathered).await?;
        }
        self.body = Body::Blob(name, blob);
        Ok(())
    }
}

enum FinishedBody {
    Inline(Bytes),
    Blob(BlobName),
}

async fn discard(body: Body) {
    if let Body::Blob(_, blob) = body {
        blob.discard().await;
    }
}

fn change_for(
    host: &HostStore,
    target: Target,
    content: ContentId,
    body: FinishedBody,
    sum: BlobSum,
    integrity: Integrity,
) -> Change {
    let (caller, namespace) = (host.caller.clone(), host.namespace_id.clone());
    let BlobSum { bytes, crc64nvme } = sum;
    let Integrity { md5, checksum, .. } = integrity;
    match (target, body) {
        (Target::Object(object), body) => {
            let body = match body {
                FinishedBody::Inline(bytes) => ContentBody::Inline(bytes),
                FinishedBody::Blob(name) => ContentBody::Blobs(Manifest::new([(name, bytes)])),
            };
            let NewObject { key, attempt, began, headers, precondition, .. } = object;
            Change::PutObject(PutObject {
                caller,
                namespace,
                key,
                attempt,
                began,
                content,
                body,
                bytes,
                crc64nvme,
                md5,
                checksum,
                headers,
                precondition,
            })
        }
        (Target::Part(part), FinishedBody::Blob(blob)) => {
            let NewPart { key, upload, number, attempt, .. } = part;
            Change::PutPart(PutPart {
                caller,
                namespace,
                key,
                attempt,
                upload,
                number,
                blob,
                bytes,
                crc64nvme,
                md5,
                checksum,
            })
        }
        (Target::Part(_), FinishedBody::Inline(_)) => unreachable!("a part opens its blob when it begins"),
    }
}
