//! The closed set of changes an index can make, and what comes of them.

use std::collections::BTreeSet;

use kheeper_model::api::{GrantRecord, HostRecord, Joined, KeyRecord, MemberRecord, OrgRecord, UserRecord};
use kheeper_model::{
    AttemptId, Checksum, ChecksumAlgorithm, ChecksumKind, ContentId, Crc64Nvme, ETag, Md5Digest, Namespace,
    NamespaceId, ObjectHeaders, ObjectKey, OrgName, Timestamp,
};

use super::change_people::{GrantChange, HostChange, PeopleChange};
use super::change_upkeep::{Lease, SnapshotChange, SweepChange, UsageChange};
use super::content::ContentBody;
use crate::audit::AuditNote;
use crate::blob::BlobName;
use crate::caller::Caller;
use crate::object::{Precondition, Written};
use crate::restore::RestoreTarget;
use crate::upload::CompletePart;

/// One atomic change of the domain.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each variant is documented at the struct it holds")]
pub enum Change {
    PutObject(PutObject),
    CopyObject(CopyObject),
    DeleteObjects(DeleteObjects),
    TagObject(TagObject),
    RestoreObjects(RestoreObjects),
    CreateUpload(CreateUpload),
    PutPart(PutPart),
    CompleteUpload(CompleteUpload),
    AbortUpload(AbortUpload),
    People(PeopleChange),
    Host(HostChange),
    Grant(GrantChange),
    /// Adds to the audit log of an org, or the server's own.
    Audit(Option<OrgName>, Vec<AuditNote>),
    Usage(UsageChange),
    Sweep(SweepChange),
    Snapshot(SnapshotChange),
}

impl Change {
    /// Whether somebody asked for it, and neither upkeep nor the keeping of records did it of its own accord.
    pub(crate) fn is_asked_for(&self) -> bool {
        !matches!(self, Self::Usage(_) | Self::Sweep(_) | Self::Audit(..))
    }
}

/// What came of a change.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// An object or part was written.
    Written(Written),
    /// Objects were hidden: how many of the named ones were there.
    Hidden(u64),
    /// An upload was created.
    Upload(ContentId),
    /// A user.
    User(UserRecord),
    /// A key.
    Key(KeyRecord),
    /// An org.
    Org(OrgRecord),
    /// A host.
    Host(Box<HostRecord>),
    /// Who has a role in an org.
    Members(Vec<MemberRecord>),
    /// A grant.
    Grant(GrantRecord),
    /// A host joined.
    Joined(Joined),
    /// A lease was taken, or is held by another.
    Lease(Option<Lease>),
    /// Rows a sweep worked on.
    Swept(u64),
    /// Nothing to say but that it is done.
    Done,
}

/// A new version of a key, whose blob is durable already.
#[derive(Debug, Clone)]
pub struct PutObject {
    /// Who writes.
    pub caller: Caller,
    /// Where.
    pub namespace: NamespaceId,
    /// The key.
    pub key: ObjectKey,
    /// The client's write.
    pub attempt: AttemptId,
    /// When its request arrived.
    pub began: Timestamp,
    /// The id of its content.
    pub content: ContentId,
    /// Where its bytes are.
    pub body: ContentBody,
    /// How many there are.
    pub bytes: u64,
    /// Their CRC.
    pub crc64nvme: Crc64Nvme,
    /// Their MD5.
    pub md5: Md5Digest,
    /// The client's checksum.
    pub checksum: Option<Checksum>,
    /// The headers to keep.
    pub headers: ObjectHeaders,
    /// The condition.
    pub precondition: Precondition,
}

/// A new version of a key that shares a content.
#[derive(Debug, Clone)]
pub struct CopyObject {
    /// Who writes.
    pub caller: Caller,
    /// Where.
    pub namespace: NamespaceId,
    /// The key.
    pub key: ObjectKey,
    /// The client's write.
    pub attempt: AttemptId,
    /// When its request arrived.
    pub began: Timestamp,
    /// The source's key: what a repeated copy must name again, whatever is current there by then.
    pub source: ObjectKey,
    /// The content to share.
    pub content: ContentId,
    /// The source's ETag.
    pub etag: ETag,
    /// The source's bytes.
    pub bytes: u64,
    /// The source's parts.
    pub part_count: Option<u32>,
    /// The source's checksum.
    pub checksum: Option<Checksum>,
    /// The headers to keep.
    pub headers: ObjectHeaders,
    /// The condition.
    pub precondition: Precondition,
}

/// Hides the current versions of keys: all or none.
#[derive(Debug, Clone)]
pub struct DeleteObjects {
    /// Who deletes.
    pub caller: Caller,
    /// Where.
    pub namespace: NamespaceId,
    /// The keys, each once.
    pub keys: BTreeSet<ObjectKey>,
    /// The client's delete.
    pub attempt: AttemptId,
    /// The condition, which each of the keys must meet.
    pub precondition: Precondition,
}

/// Gives the current version of a key other tags. Nothing else about it changes, its Last-Modified included.
#[derive(Debug, Clone)]
pub struct TagObject {
    /// Who tags.
    pub caller: Caller,
    /// Where.
    pub namespace: NamespaceId,
    /// The key.
    pub key: ObjectKey,
    /// The client's write.
    pub attempt: AttemptId,
    /// The tags in the form in which `x-amz-tagging` keeps them; none for none.
    pub tagging: Option<String>,
}

/// Makes keys what they were at a time: all or none. Repeating it changes nothing more.
#[derive(Debug, Clone)]
pub struct RestoreObjects {
    /// An owner.
    pub caller: Caller,
    /// Where. A deleted, disabled or read-only host's too: its key has no part in it.
    pub namespace: Namespace,
    /// The namespace's id, whose turn it is.
    pub namespace_id: NamespaceId,
    /// What to make of them.
    pub target: RestoreTarget,
    /// The keys.
    pub keys: BTreeSet<ObjectKey>,
    /// When it began.
    pub began: Timestamp,
}

/// A new upload.
#[derive(Debug, Clone)]
pub struct CreateUpload {
    /// Who uploads.
    pub caller: Caller,
    /// Where.
    pub namespace: NamespaceId,
    /// The key.
    pub key: ObjectKey,
    /// The client's write.
    pub attempt: AttemptId,
    /// The upload's id, which is its content's.
    pub upload: ContentId,
    /// The headers to keep.
    pub headers: ObjectHeaders,
    /// The checksum that was asked for.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// A part, whose blob is durable already. It replaces an earlier one of its number.
#[derive(Debug, Clone)]
pub struct PutPart {
    /// Who uploads.
    pub caller: Caller,
    /// Where.
    pub namespace: NamespaceId,
    /// The upload's key.
    pub key: ObjectKey,
    /// The client's write.
    pub attempt: AttemptId,
    /// The upload.
    pub upload: ContentId,
    /// The part's number.
    pub number: u32,
    /// Its blob.
    pub blob: BlobName,
    /// Its bytes.
    pub bytes: u64,
    /// Their CRC.
    pub crc64nvme: Crc64Nvme,
    /// Their MD5.
    pub md5: Md5Digest,
    /// The client's checksum.
    pub checksum: Option<Checksum>,
}

/// Makes an object of an upload.
#[derive(Debug, Clone)]
pub struct CompleteUpload {
    /// Who uploads.
    pub caller: Caller,
    /// Where.
    pub namespace: NamespaceId,
    /// The upload's key.
    pub key: ObjectKey,
    /// The client's write.
    pub attempt: AttemptId,
    /// The upload.
    pub upload: ContentId,
    /// When its request arrived.
    pub began: Timestamp,
    /// The parts, as the client lists them.
    pub parts: Vec<CompletePart>,
    /// Bytes that they must have together, if the client said.
    pub object_bytes: Option<u64>,
    /// What the object's checksum must be, if the client said.
    pub checksum: Option<Checksum>,
    /// The kind of checksum that the upload must have been created with, if the client said.
    pub checksum_kind: Option<ChecksumKind>,
    /// The condition.
    pub precondition: Precondition,
}

/// Gives an upload up.
#[derive(Debug, Clone)]
pub struct AbortUpload {
    /// Who gives it up.
    pub caller: Caller,
    /// Where.
    pub namespace: NamespaceId,
    /// The upload's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: ContentId,
}
