//! What the store says and is told about multipart uploads.

use kheeper_model::{
    AttemptId, Checksum, ChecksumAlgorithm, ChecksumKind, ContentId, ETag, ObjectHeaders, ObjectKey, Timestamp,
};

use crate::object::Precondition;

/// A multipart upload that begins.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Its key; must lie in the namespace.
    pub key: ObjectKey,
    /// The client's write.
    pub attempt: AttemptId,
    /// The headers to keep.
    pub headers: ObjectHeaders,
    /// The algorithm of the checksum that the parts and the object shall have, if the client named one.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// An upload that is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRecord {
    /// Its id.
    pub id: ContentId,
    /// Its key.
    pub key: ObjectKey,
    /// When it was created.
    pub initiated: Timestamp,
    /// The headers it was created with.
    pub headers: ObjectHeaders,
    /// The checksum that was asked for.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// One page of the parts of an upload.
#[derive(Debug, Clone)]
pub struct PartPage {
    /// The upload.
    pub upload: UploadRecord,
    /// Its parts, by number.
    pub parts: Vec<PartRecord>,
    /// The number to go on after; none on the last page.
    pub next: Option<u32>,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRecord {
    /// Its number.
    pub number: u32,
    /// Its bytes.
    pub bytes: u64,
    /// Its ETag: the MD5 of its bytes.
    pub etag: ETag,
    /// When it was committed.
    pub last_modified: Timestamp,
    /// The checksum its client declared.
    pub checksum: Option<Checksum>,
}

/// CompleteMultipartUpload.
#[derive(Debug, Clone)]
pub struct CompleteRequest {
    /// The upload's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: ContentId,
    /// The parts it shall have.
    pub parts: Vec<CompletePart>,
    /// Bytes that they must have together, if the client said; else [`crate::StoreError::ObjectSize`].
    pub object_bytes: Option<u64>,
    /// What the object's checksum must be, if the client said; else [`crate::StoreError::ChecksumMismatch`].
    pub checksum: Option<Checksum>,
    /// The kind of checksum that the upload was created for, if the client said; else
    /// [`crate::StoreError::ChecksumKind`].
    pub checksum_kind: Option<ChecksumKind>,
    /// The client's write.
    pub attempt: AttemptId,
    /// The condition on the key.
    pub precondition: Precondition,
}

/// One part of a CompleteMultipartUpload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletePart {
    /// Its number.
    pub number: u32,
    /// The ETag its upload was answered with.
    pub etag: ETag,
    /// Checksums that the client names for it; each one we hold must agree.
    pub checksums: Vec<Checksum>,
}

/// Which uploads to list.
#[derive(Debug, Clone)]
pub struct UploadQuery {
    /// Keys must begin with this.
    pub prefix: String,
    /// Rolls keys up to it into a common prefix; empty is none.
    pub delimiter: Option<String>,
    /// Go on after this key …
    pub after_key: Option<String>,
    /// … and, for the key itself, after this upload.
    pub after_upload: Option<ContentId>,
    /// Entries, at most.
    pub max: usize,
}

/// One page of uploads.
#[derive(Debug, Clone, Default)]
pub struct UploadPage {
    /// Uploads and common prefixes, in order.
    pub entries: Vec<UploadEntry>,
    /// Where to go on; none on the last page.
    pub next: Option<UploadCursor>,
}

/// One entry of a listing of uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadEntry {
    /// An upload.
    Upload(UploadRecord),
    /// The keys that share this, up to and with the delimiter.
    CommonPrefix(String),
}

/// Where a listing of uploads goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadCursor {
    /// `NextKeyMarker`.
    pub key: String,
    /// `NextUploadIdMarker`; none after a common prefix.
    pub upload: Option<ContentId>,
}

/// A part that begins.
#[derive(Debug, Clone)]
pub struct NewPart {
    /// The upload's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: ContentId,
    /// Its number, 1 to 10,000.
    pub number: u32,
    /// The client's write, the same for every retry of it.
    pub attempt: AttemptId,
    /// Bytes that were declared, if any were.
    pub length: Option<u64>,
}
