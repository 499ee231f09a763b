//! `identity.json`: who a context is. Not a secret: any local user may read it.

use std::fmt;
use std::path::Path;

use kheeper_model::{HostId, HostName, KeyId, Namespace, OrgName, UserId};
use serde::{Deserialize, Serialize};

use crate::{ContextError, MachineId, Origin, Pin, SubjectId};

/// The version of `identity.json` that this program writes, and the newest it reads.
pub const IDENTITY_VERSION: u64 = 1;

/// Who a context is, and to which server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The server, and the `aud` of the tokens.
    pub origin: Origin,
    /// A host or a user.
    pub subject: IdentitySubject,
    /// The key in the file beside.
    pub key_id: KeyId,
    /// The server's own certificate authority, where it made one.
    pub pin: Option<Pin>,
    /// The machine it was made on, where that is known.
    pub machine_id: Option<MachineId>,
}

/// A host or a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySubject {
    /// A host, which owns one namespace.
    Host {
        /// Its org and name.
        namespace: Namespace,
        /// Its id, which is its tokens' `sub`.
        host_id: HostId,
    },
    /// A person.
    User {
        /// Their id, which is their tokens' `sub`.
        user_id: UserId,
    },
}

impl IdentitySubject {
    /// The immutable id: the `sub` of tokens.
    pub fn id(&self) -> SubjectId {
        match self {
            Self::Host { host_id, .. } => SubjectId::Host(host_id.clone()),
            Self::User { user_id } => SubjectId::User(user_id.clone()),
        }
    }
}

impl fmt::Display for IdentitySubject {
    /// `host myorg/web-01` or `user usr_…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { namespace, .. } => write!(f, "host {namespace}"),
            Self::User { user_id } => write!(f, "user {user_id}"),
        }
    }
}

impl Identity {
    /// The namespace, for a host.
    pub fn namespace(&self) -> Option<&Namespace> {
        match &self.subject {
            IdentitySubject::Host { namespace, .. } => Some(namespace),
            IdentitySubject::User { .. } => None,
        }
    }

    /// Whether the identity was made on another machine than this: true only when both machines are known. A clone
    /// must not write, for it would archive over its original.
    pub fn is_of_another_machine(&self, this: Option<&MachineId>) -> bool {
        matches!((&self.machine_id, this), (Some(recorded), Some(this)) if recorded != this)
    }

    /// Why a host with this identity must not write from `this` machine, if so; in the words that the proxy's clients read
    /// and that the commands print.
    pub fn why_no_writes_here(&self, this: Option<&MachineId>) -> Option<String> {
        let is_host = matches!(self.subject, IdentitySubject::Host { .. });
        (is_host && self.is_of_another_machine(this)).then(|| {
            format!(
                "this identity ({}) was made on another machine, and two machines must not write the same backups. If \
                 this one replaces it, run `kheeper hosts rejoin` as an owner and `kheeper hosts join --replace` here; \
                 if it is a copy, give it a host of its own with `kheeper hosts create`.",
                self.subject
            )
        })
    }

    /// The file's content.
    pub fn to_json(&self) -> String {
        let file = IdentityFile::from(self.clone());
        let json = serde_json::to_string_pretty(&file).expect("a struct of texts is JSON");
        format!("{json}\n")
    }

    /// Reads the file's content; `path` is for the message.
    pub(crate) fn from_json(json: &[u8], path: &Path) -> Result<Self, ContextError> {
        let malformed = |why: String| ContextError::Malformed { path: path.to_owned(), why };
        let Version { version } = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        if version > IDENTITY_VERSION {
            let path = path.to_owned();
            return Err(ContextError::NewerVersion { path, found: version, supported: IDENTITY_VERSION });
        }
        let file: IdentityFile = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        file.try_into().map_err(malformed)
    }
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Host,
    User,
}

/// Field by field what the file holds. Unknown fields are refused: a newer file says so by its version.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    version: u64,
    origin: Origin,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    org: Option<OrgName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<HostName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host_id: Option<HostId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    key_id: KeyId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<Pin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine_id: Option<MachineId>,
}

impl From<Identity> for IdentityFile {
    fn from(identity: Identity) -> Self {
        let Identity { origin, subject, key_id, pin, machine_id } = identity;
        let (kind, namespace, host_id, user_id) = match subject {
            IdentitySubject::Host { namespace, host_id } => (Kind::Host, Some(namespace), Some(host_id), None),
            IdentitySubject::User { user_id } => (Kind::User, None, None, Some(user_id)),
        };
        let (org, host) = namespace.map(|Namespace { org, host }| (org, host)).unzip();
        Self { version: IDENTITY_VERSION, origin, kind, org, host, host_id, user_id, key_id, pin, machine_id }
    }
}

impl TryFrom<IdentityFile> for Identity {
    type Error = String;

    fn try_from(file: IdentityFile) -> Result<Self, String> {
        let IdentityFile { version: _, origin, kind, org, host, host_id, user_id, key_id, pin, machine_id } = file;
        let subject = match (kind, org, host, host_id, user_id) {
            (Kind::Host, Some(org), Some(host), Some(host_id), None) => {
                IdentitySubject::Host { namespace: Namespace { org, host }, host_id }
            }
            (Kind::User, None, None, None, Some(user_id)) => IdentitySubject::User { user_id },
            (Kind::Host, ..) => return Err("a host has org, host and host_id, and no user_id".to_owned()),
            (Kind::User, ..) => return Err("a user has user_id, and no org, host or host_id".to_owned()),
        };
        Ok(Self { origin, subject, key_id, pin, machine_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;

    fn host_identity() -> Identity {
        Identity {
            origin: "https://backup.example.com".parse().unwrap(),
            subject: IdentitySubject::Host { namespace: "myorg/web-01".parse().unwrap(), host_id: HostId::random() },
            key_id: PrivateKey::generate().unwrap().public_key().key_id(),
            pin: Some(Pin::of_certificate(b"x")),
            machine_id: MachineId::of_this_machine(),
        }
    }

    fn read(json: &str) -> Result<Identity, ContextError> {
        Identity::from_json(json.as_bytes(), Path::new("identity.json"))
    }

    #[test]
    fn identities_round_trip() {
        let host = host_identity();
        assert_eq!(read(&host.to_json()).unwrap(), host);
        let user = Identity {
            subject: IdentitySubject::User { user_id: UserId::random() },
            pin: None,
            machine_id: None,
            ..host
        };
        assert_eq!(read(&user.to_json()).unwrap(), user);
    }

    #[test]
    fn a_newer_version_is_refused_by_name_whatever_else_it_holds() {
        let error = read(r#"{"version":2,"holograms":true}"#).unwrap_err();
        assert!(matches!(error, ContextError::NewerVersion { found: 2, supported: 1, .. }), "{error}");
    }

    #[test]
    fn a_half_identity_is_refused() {
        let json = host_identity().to_json();
        for broken in [
            json.replace("\"kind\": \"host\"", "\"kind\": \"user\""),
            json.replace("web-01", "web_01"),
            json.replace("\"pin\"", "\"pim\""),
            json.replace("\"org\": \"myorg\",", ""),
            String::new(),
        ] {
            assert!(matches!(read(&broken), Err(ContextError::Malformed { .. })), "{broken}");
        }
    }

    #[test]
    fn only_a_known_and_different_machine_counts_as_another() {
        let mut identity = host_identity();
        let here: MachineId = serde_json::from_str("\"aa\"").unwrap();
        let there: MachineId = serde_json::from_str("\"bb\"").unwrap();
        identity.machine_id = Some(here.clone());
        assert!(!identity.is_of_another_machine(Some(&here)));
        assert!(identity.is_of_another_machine(Some(&there)));
        assert!(!identity.is_of_another_machine(None));
        assert!(identity.why_no_writes_here(Some(&there)).is_some_and(|why| why.contains("another machine")));
        assert_eq!(identity.why_no_writes_here(Some(&here)), None);
        identity.machine_id = None;
        assert!(!identity.is_of_another_machine(Some(&there)));
    }
}
