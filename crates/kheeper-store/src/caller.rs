//! Who acts on the store, and what the index knows about them.

use std::net::IpAddr;

use kheeper_model::api::{HostState, KeyState};
use kheeper_model::{GrantId, HostId, HostName, KeyId, Namespace, NamespaceId, OrgName, Timestamp, UserId, UserName};

/// Who asks for a change: checked again inside the commit, so that a key revoked a moment ago changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The key that signed the token.
    pub key_id: KeyId,
    /// Whom it speaks for.
    pub subject: CallerId,
    /// From where they call, for the audit log; none where that is not known.
    pub from: Option<IpAddr>,
}

/// The immutable id of a caller: a token's `sub`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CallerId {
    /// A host.
    Host(HostId),
    /// A user.
    User(UserId),
}

impl CallerId {
    /// Reads a token's `sub`.
    pub fn parse(sub: &str) -> Option<Self> {
        sub.parse().map(Self::Host).ok().or_else(|| sub.parse().map(Self::User).ok())
    }

    /// The id as a token's `sub`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Host(id) => id.as_str(),
            Self::User(id) => id.as_str(),
        }
    }
}

/// What the index knows about the holder of a key: what authentication and authorization go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerRecord {
    /// The key.
    pub key_id: KeyId,
    /// The Ed25519 public key itself.
    pub public_key: [u8; 32],
    /// What the key may do.
    pub key_state: KeyState,
    /// From when on it is refused, whenever it was looked up.
    pub key_ends_at: Option<Timestamp>,
    /// Whom it speaks for.
    pub subject: CallerSubject,
}

/// Whom a key speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerSubject {
    /// A host, with its namespace.
    Host {
        /// Its id.
        id: HostId,
        /// The keys it owns.
        namespace: Namespace,
        /// The id of the namespace.
        namespace_id: NamespaceId,
        /// What it may do.
        state: HostState,
        /// What else of its org it may read, and what it might until lately.
        grants: Vec<ReadGrant>,
    },
    /// A user.
    User {
        /// Their id.
        id: UserId,
        /// Their name.
        name: UserName,
        /// Whether their keys are refused.
        disabled: bool,
        /// The orgs they own.
        owns: Vec<OrgName>,
        /// The orgs they audit.
        audits: Vec<OrgName>,
    },
}

impl CallerRecord {
    /// The caller, as changes carry it, calling from an address.
    pub fn caller(&self, from: Option<IpAddr>) -> Caller {
        let subject = match &self.subject {
            CallerSubject::Host { id, .. } => CallerId::Host(id.clone()),
            CallerSubject::User { id, .. } => CallerId::User(id.clone()),
        };
        Caller { key_id: self.key_id.clone(), subject, from }
    }
}

/// What a host may read beside its own namespace. Judged by the clock at each use, whenever it was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadGrant {
    /// Which grant.
    pub id: GrantId,
    /// Whose current objects, in the host's own org.
    pub host: HostName,
    /// From when on it counts no more.
    pub ends_at: Timestamp,
}

/// A public key with its thumbprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Its RFC 7638 thumbprint.
    pub key_id: KeyId,
    /// The Ed25519 public key.
    pub public_key: [u8; 32],
}

/// How a new host shall prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostCredential {
    /// With a join token, of which only the hash is kept.
    JoinToken(NewJoinToken),
    /// With a public key that is registered at once, pending until a token signed by it arrives.
    PublicKey(NewKey),
}

/// A join token as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJoinToken {
    /// SHA-256 of the token's secret.
    pub secret_sha256: [u8; 32],
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What showing a join token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinMode {
    /// Let the key in.
    Join,
    /// Nothing: say whether the token has let this key in already, or an earlier key whose place it has taken.
    Confirm,
}

/// Whether deleting a host may take its backups along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteHost {
    /// Refuse while there are current objects.
    IfEmpty,
    /// Close the namespace with what is in it; all of it stays readable for the owner until the window is over.
    WithBackups,
}
