//! What can go wrong in the store, by what the caller can do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kheeper_model::limits::{
    GRANT_SECS_MAX, GRANTS_PER_HOST_MAX, GRANTS_PER_ORG_MAX, KEYS_PER_HOST_MAX, MEMBERS_PER_ORG_MAX,
};
use kheeper_model::{
    ChecksumAlgorithm, ChecksumKind, GrantId, KeyId, Namespace, ObjectKey, OrgName, Timestamp, UserId,
};

/// Why the store did not do as it was asked. Messages finish the sentence "failed to …".
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The index says positively that there is no such object.
    #[error("no such key")]
    NoSuchKey,
    /// There is no such upload of this key, or no longer.
    #[error("no such upload")]
    NoSuchUpload,
    /// There is no such org.
    #[error("no org {0}")]
    NoSuchOrg(OrgName),
    /// There is no such host.
    #[error("no host {0}")]
    NoSuchHost(Namespace),
    /// There is no such user.
    #[error("no user {0}")]
    NoSuchUser(UserId),
    /// There is no such grant in that org, or it ended long ago.
    #[error("no grant {0}")]
    NoSuchGrant(GrantId),
    /// An org must keep an owner who is let in.
    #[error("an org must keep an owner")]
    LastOwner,
    /// The host has as many keys as it may.
    #[error("a host has {KEYS_PER_HOST_MAX} keys at most that are not revoked")]
    TooManyKeys,
    /// The org has as many members as it may.
    #[error("an org has {MEMBERS_PER_ORG_MAX} members at most")]
    TooManyMembers,
    /// A grant that cannot be made.
    #[error("{0}")]
    Grant(GrantRefusal),
    /// No such key was ever registered.
    #[error("no identity key {0}")]
    UnknownKey(KeyId),
    /// A listed part was not uploaded, or its ETag or checksum is another.
    #[error("part {0} is not there, or is not the one that was named")]
    InvalidPart(u32),
    /// The listed parts do not ascend.
    #[error("the parts do not ascend")]
    InvalidPartOrder,
    /// A part other than the last is too small.
    #[error("part {number} has {bytes} bytes, fewer than a part but the last must have")]
    EntityTooSmall {
        /// Which part.
        number: u32,
        /// Bytes it has.
        bytes: u64,
    },
    /// More bytes than an object or a part may have.
    #[error("more bytes than an object or a part may have")]
    EntityTooLarge,
    /// A part, or the whole, has a checksum of another algorithm than its upload was created for, or none.
    #[error("the upload was created for {expected} checksums")]
    PartChecksum {
        /// The upload's algorithm.
        expected: ChecksumAlgorithm,
        /// The part's.
        found: Option<ChecksumAlgorithm>,
    },
    /// The upload was created for the other kind of checksum.
    #[error("the upload was not created for a checksum of kind {0:?}")]
    ChecksumKind(ChecksumKind),
    /// The object's checksum is not what the client says.
    #[error("the {0} of the whole object differs from the declared one")]
    ChecksumMismatch(ChecksumAlgorithm),
    /// The parts have another number of bytes together than the client says.
    #[error("the parts have {found} bytes together, and {declared} were declared")]
    ObjectSize {
        /// Bytes declared.
        declared: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// A precondition of the write does not hold.
    #[error("the precondition does not hold")]
    PreconditionFailed,
    /// The namespace keeps what was written first, and the key has, or had, other bytes.
    #[error("{0} has other bytes, and the namespace keeps what was written first")]
    WouldOverwrite(ObjectKey),
    /// The attempt id is known, with other bytes or another operation.
    #[error("the attempt is known, and wrote something else")]
    AttemptMismatch,
    /// The caller may not, or no longer.
    #[error("{0}")]
    Denied(Denied),
    /// The host may only read until it is resumed (`kheeper hosts resume`).
    #[error("the host is read-only until it is resumed")]
    ReadOnlyHost,
    /// The name is in use.
    #[error("the name is taken")]
    NameTaken,
    /// The state of the host does not allow that, for instance undeleting a host that is not deleted.
    #[error("the host is {0}")]
    HostState(&'static str),
    /// The host still has current objects, and its deletion was not asked for with its backups.
    #[error("the host still has {objects} objects of {bytes} bytes together")]
    HostHasBackups {
        /// Current objects.
        objects: u64,
        /// Their bytes.
        bytes: u64,
        /// The key and time of the newest object, in words.
        newest: Option<String>,
    },
    /// The join token is not one of ours, or was replaced.
    #[error("the join token is not valid")]
    JoinTokenInvalid,
    /// The join token's time is over.
    #[error("the join token has expired")]
    JoinTokenExpired,
    /// Nobody has joined with this token yet.
    #[error("the join token was not used yet")]
    JoinTokenUnused,
    /// Another key has joined with this token.
    #[error("the join token was used by another key")]
    JoinTokenUsed,
    /// The registration token was used before.
    #[error("the registration token was used before")]
    RegistrationUsed,
    /// The key was revoked, and a revoked key is never registered again.
    #[error("the key was revoked")]
    KeyRevoked,
    /// The key is registered already, for someone else or with another state.
    #[error("the key is registered already")]
    KeyTaken,
    /// The bytes that arrived are not the bytes that were declared.
    #[error("{0}")]
    Integrity(IntegrityFailure),
    /// A time to read as of that is not past by enough: a commit of that time may still come.
    #[error("{0} is not a minute past yet")]
    TimeNotPast(Timestamp),
    /// Too little free space to accept new bytes.
    #[error("the disk is full")]
    StorageFull,
    /// Less than a fifth of the disk is free, and the namespace holds more than its share of it.
    #[error(
        "less than a fifth of the store's disk is free, and this host holds more than its share: the rest is for the others"
    )]
    ShareExceeded,
    /// The namespace's quota is used up.
    #[error("the namespace's quota is used up")]
    QuotaExceeded,
    /// The store cannot answer now: the outcome of a write is unknown, and repeating the attempt is safe.
    #[error("the store cannot answer now: {0}")]
    Unavailable(Arc<str>),
    /// The store was restored from a copy of that time, and its operator has not said yet that callers may be let in.
    #[error(
        "the store was restored from a snapshot of {0}, and its operator has to confirm it: kheeper-server quarantine end"
    )]
    Quarantined(Timestamp),
    /// Too much at once (no file descriptors left, a queue full): try again soon.
    #[error("too much at once: {0}")]
    Busy(Arc<str>),
    /// Bytes at rest are not what was written. They are never sent.
    #[error("damaged at rest: {blob}: {what}")]
    Damaged {
        /// Which blob.
        blob: Arc<str>,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The disk or its file system failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A defect in kheeper.
    #[error("internal error: {0}")]
    Internal(Arc<str>),
}

/// Why a caller was denied, for the log: the wire says less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The key is not registered for this subject.
    #[error("the key is not registered for this subject")]
    UnknownKey,
    /// The key was registered from a file, and nobody has proved to hold it yet.
    #[error("the key is pending")]
    KeyPending,
    /// The key was revoked.
    #[error("the key was revoked")]
    KeyRevoked,
    /// The host was disabled.
    #[error("the host is disabled")]
    HostDisabled,
    /// The host was deleted.
    #[error("the host is deleted")]
    HostDeleted,
    /// The user was disabled.
    #[error("the user is disabled")]
    UserDisabled,
    /// The user does not own the org.
    #[error("not an owner of the org")]
    NotOwner,
    /// The key is not in a namespace that the caller may name.
    #[error("outside the caller's namespace")]
    OutsideNamespace,
}

/// Why a grant cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// A host reads its own objects anyway.
    #[error("a host reads its own objects without a grant")]
    ToItself,
    /// It would last for no time, or for too long.
    #[error("a grant lasts between one second and {} days", GRANT_SECS_MAX / 86_400)]
    Duration,
    /// There are too many.
    #[error("a host holds {GRANTS_PER_HOST_MAX} grants at most, and an org {GRANTS_PER_ORG_MAX}")]
    TooMany,
}

/// In which way arriving bytes differed from their declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntegrityFailure {
    /// Another number of bytes.
    #[error("{received} bytes arrived, and {declared} were declared")]
    Length {
        /// Bytes declared.
        declared: u64,
        /// Bytes that arrived.
        received: u64,
    },
    /// The same number of bytes, and another CRC-64/NVME.
    #[error("the CRC-64/NVME differs from the declared one")]
    Crc64Nvme,
}

/// Why a data directory could not be opened. Messages finish the sentence "failed to open the store: …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0} is in use by another kheeper-server")]
    Locked(PathBuf),
    /// A newer kheeper wrote it.
    #[error("the data directory has format {found}, and this kheeper-server knows up to {supported}: use a newer one")]
    NewerFormat {
        /// The format of the directory.
        found: u32,
        /// The newest format this build knows.
        supported: u32,
    },
    /// It holds something, and that is not ours.
    #[error("{0} is not a kheeper data directory")]
    NotOurs(PathBuf),
    /// A file or directory cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The index cannot be used.
    #[error("the index: {0}")]
    Index(String),
}

impl StoreError {
    /// A defect in kheeper, in words for its log.
    pub(crate) fn internal(what: impl Into<Arc<str>>) -> Self {
        Self::Internal(what.into())
    }

    /// The store cannot answer now.
    pub(crate) fn unavailable(why: impl Into<Arc<str>>) -> Self {
        Self::Unavailable(why.into())
    }

    /// What an error of the file system means to the caller: full, busy, or broken.
    pub(crate) fn io(what: &'static str, error: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::StorageFull,
            Some(Errno::MFILE | Errno::NFILE) => Self::Busy(format!("{what}: {error}").into()),
            Some(Errno::ROFS) => Self::unavailable(format!("{what}: {error}")),
            _ => Self::Io { what, source: Arc::new(error) },
        }
    }
}

impl From<GrantRefusal> for StoreError {
    fn from(refusal: GrantRefusal) -> Self {
        Self::Grant(refusal)
    }
}

impl From<Denied> for StoreError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}
