//! What the store says and is told about objects.

use kheeper_model::api::HostState;
use kheeper_model::{
    AttemptId, Checksum, ChecksumAlgorithm, ChecksumKind, ContentId, Crc64Nvme, ETag, Md5Digest, NamespaceId,
    ObjectHeaders, ObjectKey, Timestamp,
};

use crate::error::StoreError;

/// An object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its key, `host/` included.
    pub key: ObjectKey,
    /// The namespace it counts for.
    pub namespace_id: NamespaceId,
    /// Its bytes.
    pub bytes: u64,
    /// Its ETag.
    pub etag: ETag,
    /// When its bytes were first committed: for a version that was restored, when the version that it was restored from was.
    pub last_modified: Timestamp,
    /// The headers that are kept with it.
    pub headers: ObjectHeaders,
    /// The checksum its client declared, if any.
    pub checksum: Option<Checksum>,
    /// How many parts it was uploaded in, if it was a multipart upload.
    pub part_count: Option<u32>,
    /// Which content holds its bytes. Not public, so that only the index can name one.
    pub(crate) content: ContentId,
}

/// A write's condition, as of the key's current object when it commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// `If-Match`: the current object must be one of these. No object at all is [`crate::StoreError::NoSuchKey`].
    pub if_match: Option<ETagMatch>,
    /// `If-None-Match`: the current object must be none of these.
    pub if_none_match: Option<ETagMatch>,
}

impl Precondition {
    /// No condition.
    pub const NONE: Self = Self { if_match: None, if_none_match: None };

    /// `If-None-Match: *`: the key must have no current object.
    pub fn absent() -> Self {
        Self { if_match: None, if_none_match: Some(ETagMatch::Any) }
    }

    /// Whether there is no condition at all.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Whether the write may go on over an object with this ETag, or over none.
    pub(crate) fn check(&self, current: Option<&ETag>) -> Result<(), StoreError> {
        if let Some(must_match) = &self.if_match {
            let current = current.ok_or(StoreError::NoSuchKey)?;
            if !must_match.names(current) {
                return Err(StoreError::PreconditionFailed);
            }
        }
        match (&self.if_none_match, current) {
            (Some(must_not), Some(current)) if must_not.names(current) => Err(StoreError::PreconditionFailed),
            _ => Ok(()),
        }
    }
}

/// Which ETags a condition names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETagMatch {
    /// `*`.
    Any,
    /// One of these.
    OneOf(Vec<ETag>),
}

impl ETagMatch {
    /// Whether the condition names `etag`.
    pub fn names(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.contains(etag),
        }
    }
}

/// A PUT that begins.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Its key; must lie in the namespace.
    pub key: ObjectKey,
    /// The client's write, the same for every retry of it.
    pub attempt: AttemptId,
    /// When the request's head arrived.
    pub began: Timestamp,
    /// Bytes that were declared, if any were: for admission, and checked at the end.
    pub length: Option<u64>,
    /// The headers to keep.
    pub headers: ObjectHeaders,
    /// The condition to commit under.
    pub precondition: Precondition,
}

/// What the bytes that were written must be; from the proxy's trailers, or computed by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integrity {
    /// Bytes.
    pub length: u64,
    /// CRC-64/NVME of the bytes.
    pub crc64nvme: Crc64Nvme,
    /// Their MD5, which becomes the ETag.
    pub md5: Md5Digest,
    /// The client's own checksum, already verified.
    pub checksum: Option<Checksum>,
}

/// A write that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its ETag.
    pub etag: ETag,
    /// When it was committed.
    pub last_modified: Timestamp,
    /// Bytes.
    pub bytes: u64,
    /// The checksum that is kept with it.
    pub checksum: Option<Checksum>,
    /// Whether it hid another version of its key. A repeated write says no: the first one did.
    pub hid_another: bool,
}

/// What a delete did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The current object is hidden now.
    Hidden,
    /// There was none.
    Absent,
}

/// CopyObject: another version that shares the source's content.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// The key to write; must lie in the namespace.
    pub key: ObjectKey,
    /// The client's write.
    pub attempt: AttemptId,
    /// When the request's head arrived.
    pub began: Timestamp,
    /// What to copy, as a [`crate::ReadStore`] that may read it gave it.
    pub source: ObjectMeta,
    /// The headers to keep instead of the source's (`x-amz-metadata-directive: REPLACE`); none keeps the source's.
    pub headers: Option<ObjectHeaders>,
    /// The checksum that the copy shall have instead of the source's, computed from the source's bytes.
    pub checksum: Option<Checksum>,
    /// The condition on the key to write.
    pub precondition: Precondition,
}

/// Which objects to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Keys must begin with this (bytes of UTF-8).
    pub prefix: Vec<u8>,
    /// Rolls keys up to it into a common prefix; empty is none.
    pub delimiter: Option<Vec<u8>>,
    /// Go on after this: a key, or a common prefix, which is then skipped whole.
    pub after: Option<Vec<u8>>,
    /// Entries, at most; zero gives an empty page without `next`.
    pub max: usize,
}

/// One page of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Objects and common prefixes, in the order of their bytes.
    pub entries: Vec<ListEntry>,
    /// What to give as [`ListQuery::after`] for the next page; none on the last.
    pub next: Option<Vec<u8>>,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListEntry {
    /// An object.
    Object(ListedObject),
    /// The keys that share this, up to and with the delimiter.
    CommonPrefix(String),
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: ObjectKey,
    /// Its bytes.
    pub bytes: u64,
    /// Its ETag.
    pub etag: ETag,
    /// When it was committed.
    pub last_modified: Timestamp,
    /// Which checksum is kept with it, if one is.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// Its storage class, if it was given one.
    pub storage_class: Option<String>,
}

/// One page of the versions of a namespace, hidden ones included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionPage {
    /// The versions, by key and then by time.
    pub versions: Vec<VersionRecord>,
    /// Where to go on; none on the last page.
    pub next: Option<VersionCursor>,
}

/// Where a listing of versions goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionCursor {
    /// The key of the last version that was listed.
    pub key: ObjectKey,
    /// When that version was committed.
    pub committed_at: Timestamp,
}

/// A version, current or hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// Its key.
    pub key: ObjectKey,
    /// Its bytes.
    pub bytes: u64,
    /// Its ETag.
    pub etag: ETag,
    /// When its bytes were first committed: earlier than `committed_at` for one that was restored.
    pub last_modified: Timestamp,
    /// From when on it was current.
    pub committed_at: Timestamp,
    /// Until when it was; none for the current one.
    pub hidden_at: Option<Timestamp>,
    /// When sweep may take it, if it is hidden.
    pub purge_after: Option<Timestamp>,
}

/// The state of a host from its three flags, the strongest first.
pub(crate) fn host_state(deleted: bool, disabled: bool, joined: bool, read_only: bool) -> HostState {
    match (deleted, disabled, joined, read_only) {
        (true, ..) => HostState::Deleted,
        (_, true, ..) => HostState::Disabled,
        (_, _, false, _) => HostState::Invited,
        (_, _, _, true) => HostState::ReadOnly,
        _ => HostState::Active,
    }
}
