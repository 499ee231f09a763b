//! Multipart uploads: the upload's id is the content's id, its parts are blobs of it, and completing it rewrites nothing.

use kheeper_model::limits::{LIST_PAGE_MAX, PART_NUMBER_MAX};
use kheeper_model::{ContentId, ObjectKey};

use crate::control::unexpected;
use crate::error::StoreError;
use crate::host_store::HostStore;
use crate::index::{AbortUpload, Change, CompleteUpload, CreateUpload, Outcome};
use crate::object::Written;
use crate::put::{PutWriter, Target};
use crate::upload::{CompleteRequest, NewPart, NewUpload, PartPage, UploadPage, UploadQuery};

impl HostStore {
    /// Begins an upload.
    pub async fn create_upload(&self, upload: NewUpload) -> Result<ContentId, StoreError> {
        self.check_owns(&upload.key)?;
        let change = CreateUpload {
            caller: self.caller.clone(),
            namespace: self.namespace_id.clone(),
            key: upload.key,
            attempt: upload.attempt,
            upload: self.store.new_content(),
            headers: upload.headers,
            checksum: upload.checksum,
        };
        match self.store.commit(Change::CreateUpload(change)).await? {
            Outcome::Upload(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    /// Begins a part. [`StoreError::NoSuchUpload`] at once if the upload is not there; the commit checks it again.
    ///
    /// A part sent twice replaces the earlier one. Its number must be 1 to 10,000.
    pub async fn begin_part(&self, part: NewPart) -> Result<PutWriter, StoreError> {
        self.check_owns(&part.key)?;
        if !(1..=PART_NUMBER_MAX).contains(&part.number) {
            return Err(StoreError::InvalidPart(part.number));
        }
        self.store.index().parts(&self.namespace_id, &part.key, &part.upload, PART_NUMBER_MAX, 1).await?;
        let length = part.length;
        PutWriter::begin(self, Target::Part(part), length).await
    }

    /// Makes an object of an upload. Repeated within 24 h with the same list, it gives the same answer.
    ///
    /// Every refusal leaves the upload usable: [`StoreError::InvalidPart`], [`StoreError::InvalidPartOrder`],
    /// [`StoreError::EntityTooSmall`], another length or checksum than the client says, a condition that does not hold.
    pub async fn complete_upload(&self, request: CompleteRequest) -> Result<Written, StoreError> {
        self.check_owns(&request.key)?;
        let change = CompleteUpload {
            caller: self.caller.clone(),
            namespace: self.namespace_id.clone(),
            key: request.key,
            attempt: request.attempt,
            upload: request.upload,
            began: self.store.now(),
            parts: request.parts,
            object_bytes: request.object_bytes,
            checksum: request.checksum,
            checksum_kind: request.checksum_kind,
            precondition: request.precondition,
        };
        match self.store.commit(Change::CompleteUpload(change)).await? {
            Outcome::Written(written) => Ok(written),
            other => Err(unexpected(&other)),
        }
    }

    /// Gives an upload up; sweep takes its parts.
    pub async fn abort_upload(&self, key: &ObjectKey, upload: &ContentId) -> Result<(), StoreError> {
        self.check_owns(key)?;
        let change = AbortUpload {
            caller: self.caller.clone(),
            namespace: self.namespace_id.clone(),
            key: key.clone(),
            upload: *upload,
        };
        self.store.commit(Change::AbortUpload(change)).await.map(drop)
    }

    /// One page of an upload's parts, those with a number above `after`.
    pub async fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &ContentId,
        after: u32,
        max: usize,
    ) -> Result<PartPage, StoreError> {
        self.check_owns(key)?;
        self.store.index().parts(&self.namespace_id, key, upload, after, max.min(LIST_PAGE_MAX)).await
    }

    /// One page of the namespace's open uploads, by key and then by id.
    pub async fn list_uploads(&self, query: UploadQuery) -> Result<UploadPage, StoreError> {
        let query = UploadQuery { max: query.max.min(LIST_PAGE_MAX), ..query };
        if query.max == 0 {
            return Ok(UploadPage::default());
        }
        self.store.index().uploads(&self.namespace_id, query).await
    }
}
