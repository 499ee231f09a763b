//! The closed set of changes an index can make, and what comes of them.

use std::collections::BTreeSet;

use kheeper_model::api::{HostRecord, Joined, KeyRecord, KeyState, OrgRecord, UserRecord};
use kheeper_model::{
    AttemptId, Checksum, ChecksumAlgorithm, ChecksumKind, ContentId, Crc64Nvme, ETag, HostId, KeyId, Md5Digest,
    Namespace, NamespaceId, ObjectHeaders, ObjectKey, OrgName, Timestamp, UserId, UserName,
};

use super::content::ContentBody;
use crate::blob::BlobName;
use crate::caller::{Caller, DeleteHost, HostCredential, NewJoinToken, NewKey};
use crate::object::{CompletePart, Precondition, Written};
use crate::usage::Traffic;

/// One atomic change of the domain.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each variant is documented at the struct it holds")]
pub enum Change {
    PutObject(PutObject),
    CopyObject(CopyObject),
    DeleteObjects(DeleteObjects),
    CreateUpload(CreateUpload),
    PutPart(PutPart),
    CompleteUpload(CompleteUpload),
    AbortUpload(AbortUpload),
    People(PeopleChange),
    Host(HostChange),
    Usage(UsageChange),
    Sweep(SweepChange),
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

/// Whom a key speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOwner {
    /// A user.
    User(UserId),
    /// A host.
    Host(HostId),
}

impl KeyOwner {
    /// The id as text, which is the subject of its tokens.
    pub fn as_str(&self) -> &str {
        match self {
            Self::User(id) => id.as_str(),
            Self::Host(id) => id.as_str(),
        }
    }
}

/// Users, their keys, and orgs. The operator's, but for creating an org.
#[derive(Debug, Clone)]
pub enum PeopleChange {
    /// A new user.
    CreateUser(UserName),
    /// Refuses, or accepts again, all keys of a user.
    SetUserDisabled(UserId, bool),
    /// A key of a user or host.
    RegisterKey {
        /// Whose.
        owner: KeyOwner,
        /// The key.
        key: NewKey,
        /// Active or pending.
        state: KeyState,
    },
    /// A user's key, by a registration token that counts once.
    UseRegistration {
        /// The token's id.
        jti: String,
        /// When the token ends, after which its id may be forgotten.
        expires_at: Timestamp,
        /// Whose.
        user: UserId,
        /// The key.
        key: NewKey,
    },
    /// A pending key has proved itself.
    ActivateKey(KeyId),
    /// Refuses a key for ever.
    RevokeKey(KeyId),
    /// A new org.
    CreateOrg {
        /// Its owner.
        owner: UserId,
        /// Its name.
        name: OrgName,
    },
}

/// Hosts and their namespaces: an owner's, but for join and resume.
#[derive(Debug, Clone)]
pub enum HostChange {
    /// A new host with a namespace of its own.
    Create {
        /// An owner.
        caller: Caller,
        /// Its org and name.
        namespace: Namespace,
        /// How it proves who it is.
        credential: HostCredential,
    },
    /// A machine shows a join token.
    Join {
        /// SHA-256 of the token's secret.
        secret_sha256: [u8; 32],
        /// Its new key.
        key: NewKey,
    },
    /// A new join token for a host.
    Rejoin {
        /// An owner.
        caller: Caller,
        /// Which host.
        namespace: Namespace,
        /// The token.
        token: NewJoinToken,
    },
    /// A rejoined host may write again. An owner's, or its own.
    Resume {
        /// Who says so.
        caller: Caller,
        /// Which host.
        namespace: Namespace,
    },
    /// Refuses, or accepts again, the keys of a host.
    SetDisabled {
        /// An owner.
        caller: Caller,
        /// Which host.
        namespace: Namespace,
        /// Whether they are refused.
        disabled: bool,
    },
    /// Refuses all present keys of a host for ever.
    RevokeKeys {
        /// An owner.
        caller: Caller,
        /// Which host.
        namespace: Namespace,
    },
    /// Closes a host's namespace.
    Delete {
        /// An owner.
        caller: Caller,
        /// Which host.
        namespace: Namespace,
        /// Whether its backups may go along.
        mode: DeleteHost,
    },
    /// Opens a deleted host's namespace again.
    Undelete {
        /// An owner.
        caller: Caller,
        /// Which host.
        namespace: Namespace,
    },
    /// Changes for how long overwritten and deleted versions are kept.
    SetRetention {
        /// An owner.
        caller: Caller,
        /// Which host.
        namespace: Namespace,
        /// Seconds.
        secs: u64,
    },
    /// Changes how many bytes the namespace may hold; none is no limit.
    SetQuota {
        /// Which host.
        namespace: Namespace,
        /// Bytes.
        bytes: Option<u64>,
    },
}

/// Metering.
#[derive(Debug, Clone)]
pub enum UsageChange {
    /// Adds traffic to the present hour.
    Traffic(Vec<TrafficDelta>),
    /// Folds deltas up to now into hours.
    Fold(Lease),
    /// Says that the clock goes on, so that an idle store is not taken for one whose clock jumped.
    Heartbeat,
}

/// Traffic of one namespace.
#[derive(Debug, Clone)]
pub struct TrafficDelta {
    /// Whose.
    pub namespace: NamespaceId,
    /// How much.
    pub traffic: Traffic,
}

/// What one process at a time may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseName {
    /// Removing what nothing refers to.
    Sweep,
    /// Folding usage.
    Fold,
}

/// Proof that this process is the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// What for.
    pub name: LeaseName,
    /// Counts the holders; an older epoch changes nothing any more.
    pub epoch: u64,
}

/// Removal of what nothing refers to. Each is bounded, and says how many rows it worked on.
#[derive(Debug, Clone)]
pub enum SweepChange {
    /// Takes or extends a lease.
    TakeLease {
        /// Which.
        name: LeaseName,
        /// Who asks.
        holder: [u8; 16],
        /// Seconds it shall last.
        secs: u64,
    },
    /// Removes hidden versions whose time is over, and condemns contents that nothing refers to any more.
    PurgeVersions(Lease, u64),
    /// Hides what deleted namespaces still hold, when their time is over, and frees their names.
    CloseNamespaces(Lease, u64),
    /// Gives idle uploads up, and forgets completed ones and old attempts.
    ExpireUploads(Lease, u64),
    /// Condemns blobs that nothing refers to.
    CondemnBlobs(Lease, Vec<BlobName>),
    /// Forgets condemned contents whose blobs are gone.
    ForgetContents(Lease, Vec<ContentId>),
    /// Forgets condemned blobs that are gone.
    ForgetBlobs(Lease, Vec<BlobName>),
}
