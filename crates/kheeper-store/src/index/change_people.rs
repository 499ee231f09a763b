//! Changes to who there is: users, keys, orgs, hosts.

use std::net::IpAddr;

use kheeper_model::api::{HostSettings, KeyState, OrgSettings, Role};
use kheeper_model::{GrantId, HostId, HostName, KeyId, Namespace, OrgName, Timestamp, UserId, UserName};

use crate::caller::{Caller, DeleteHost, HostCredential, JoinMode, NewJoinToken, NewKey};

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
    ActivateKey {
        /// Which.
        key_id: KeyId,
        /// From where it did.
        from: Option<IpAddr>,
    },
    /// Refuses a key for ever.
    RevokeKey(KeyId),
    /// Refuses a user's own key for ever.
    RevokeOwnKey {
        /// The user.
        caller: Caller,
        /// The key, which may be the one that the call is signed with.
        key_id: KeyId,
    },
    /// Gives a person a role in an org, instead of any other.
    PutMember {
        /// An owner; none is the operator.
        caller: Option<Caller>,
        /// The org.
        org: OrgName,
        /// Who.
        user: UserId,
        /// The role.
        role: Role,
    },
    /// Takes a person's role in an org away.
    RemoveMember {
        /// An owner.
        caller: Caller,
        /// The org.
        org: OrgName,
        /// Who.
        user: UserId,
    },
    /// A new org.
    CreateOrg {
        /// Its owner, a user.
        caller: Caller,
        /// Its name.
        name: OrgName,
    },
    /// Changes what holds for the hosts of an org.
    SetOrg {
        /// An owner.
        caller: Caller,
        /// The org.
        org: OrgName,
        /// What to change.
        settings: OrgSettings,
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
        /// Whether it joins, or asks whether it has.
        mode: JoinMode,
        /// From where it joins.
        from: Option<IpAddr>,
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
    /// Adds a key to a host, pending until it proves itself. The host's own call.
    AddKey {
        /// The host.
        caller: Caller,
        /// Which host.
        namespace: Namespace,
        /// The key.
        key: NewKey,
    },
    /// Ends all keys of a host but the caller's, some time from now. The host's own call.
    RetireKeys {
        /// The host.
        caller: Caller,
        /// Which host.
        namespace: Namespace,
        /// Seconds.
        secs: u64,
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
    /// Changes what holds for a host's namespace: its window, its quota, whether what was written first stays.
    Set {
        /// An owner.
        caller: Caller,
        /// Which host.
        namespace: Namespace,
        /// What to change.
        settings: HostSettings,
    },
}

/// What one host may read of another: an owner's.
#[derive(Debug, Clone)]
pub enum GrantChange {
    /// Lets a host read another of its org for a time.
    Create {
        /// An owner.
        caller: Caller,
        /// Whose objects.
        of: Namespace,
        /// Who may read them.
        to: HostName,
        /// Seconds.
        secs: u64,
    },
    /// Ends a grant now.
    Delete {
        /// An owner.
        caller: Caller,
        /// The org it must be of.
        org: OrgName,
        /// Which.
        id: GrantId,
    },
}
