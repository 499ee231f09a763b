//! The operator's commands: what the person who runs the server may do, without any network credential.
//!
//! A running server holds `DATA/lock` and listens on `DATA/admin.sock` (mode 0600, and the peer's uid is checked), and
//! the commands go there. When no server runs, a command opens the directory itself, as the directory's owner, so that
//! root leaves no root-owned file behind.

mod client;
mod perform;
mod socket;

use std::path::PathBuf;

use kheeper_model::api::{KeyRecord, MemberRecord, UserRecord};
use kheeper_model::audit::AuditPage;
use kheeper_model::{KeyId, OrgName, Timestamp, UserId, UserName};
use kheeper_store::{ChainReport, FsckReport, ScrubReport, ScrubStatus, SweepReport};
use serde::{Deserialize, Serialize};

pub(crate) use client::{Operator, become_owner};
pub(crate) use perform::Performer;
pub(crate) use socket::listen;

/// What an operator asks for; one JSON line on the socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Create a user.
    UsersCreate { name: UserName },
    /// List users.
    UsersList,
    /// Verify a registration token and show what it would register; changes nothing.
    KeysInspect { token: String },
    /// Register the key behind a registration token. Uses the token up.
    KeysRegister { token: String },
    /// Refuse a user's keys, or accept them again.
    UsersSetDisabled { user: UserId, disabled: bool },
    /// Make a user an owner of an org.
    OrgsAddOwner { org: OrgName, user: UserId },
    /// List keys.
    KeysList,
    /// Revoke a key.
    KeysRevoke { key_id: KeyId },
    /// Follow the audit chains.
    AuditVerify,
    /// A part of an audit chain.
    AuditPage { org: Option<OrgName>, after: u64 },
    /// Check the store.
    Fsck { read_data: bool },
    /// Remove what nothing refers to.
    Sweep { accept_orphans: u64, accept_older_index: bool },
    /// Copy the index, for a snapshot.
    CopyIndex,
    /// Whether the store is in quarantine, and which keys would be let in.
    Quarantine,
    /// Let callers in again, but for these keys.
    QuarantineEnd { revoked: Vec<KeyId> },
    /// Verify every byte that is stored, now.
    Scrub,
    /// How far the background's scrub has come.
    ScrubStatus,
}

/// What comes back; one JSON line on the socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "reply", content = "value", rename_all = "kebab-case")]
pub(crate) enum Reply {
    User(UserRecord),
    Users(Vec<UserRecord>),
    Registration(Registration),
    Members(Vec<MemberRecord>),
    Done,
    Key(KeyRecord),
    Keys(Vec<KeyRecord>),
    AuditVerified(Vec<ChainReport>),
    AuditPage(AuditPage),
    Fsck(FsckReport),
    Swept(SweepReport),
    IndexCopy(PathBuf),
    Quarantine(Quarantine),
    Scrubbed(ScrubReport),
    ScrubStatus(ScrubStatus),
    /// The command failed; the text says why and what to do.
    Failed(String),
}

/// Whether a store was restored from a snapshot and not confirmed yet.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Quarantine {
    /// The time that the snapshot shows; none if callers are let in.
    pub(crate) since: Option<Timestamp>,
    /// The keys that are let in when it ends, unless they are named.
    pub(crate) keys: Vec<KeyRecord>,
}

/// What a registration token would register.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Registration {
    /// The user it names.
    pub(crate) user: UserRecord,
    /// The key it proves to hold.
    pub(crate) key_id: KeyId,
    /// The key's fingerprint, as `kheeper auth login` shows it.
    pub(crate) fingerprint: String,
    /// When the token was made.
    pub(crate) issued_at: Timestamp,
}
