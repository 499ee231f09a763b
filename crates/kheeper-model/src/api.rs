//! The records of the control API (`/-/api/v1/…`), as JSON carries them.
//!
//! The server writes them, the command line reads them and prints them with `--json`. Times are milliseconds since 1970,
//! sizes are bytes. Unknown fields are ignored when reading, so that an older client can talk to a newer server.

use serde::{Deserialize, Serialize};

use crate::{GrantId, HostId, HostName, KeyId, NamespaceId, OrgName, Timestamp, UserId, UserName};

/// Who a token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Subject {
    /// A host, which owns one namespace.
    Host {
        /// Its id, for ever.
        id: HostId,
        /// Its org.
        org: OrgName,
        /// Its name within the org.
        host: HostName,
        /// What it may do now.
        state: HostState,
    },
    /// A person.
    User {
        /// Their id, for ever.
        id: UserId,
        /// Their name.
        name: UserName,
        /// The orgs they own.
        owns: Vec<OrgName>,
        /// The orgs they audit: they see how the hosts are doing and who did what, and no object.
        #[serde(default)]
        audits: Vec<OrgName>,
    },
}

/// `GET /-/api/v1/whoami`: what the server thinks of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    /// Who the caller is.
    #[serde(flatten)]
    pub subject: Subject,
    /// The key that signed the token.
    pub key_id: KeyId,
    /// The server's version.
    pub server_version: String,
    /// The server's clock when it answered.
    pub server_time: Timestamp,
    /// A host's grants: what it may read of other hosts, and what others may read of it.
    #[serde(default)]
    pub grants: Vec<GrantRecord>,
}

/// What a host may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// Created, and no key has joined yet.
    Invited,
    /// Reads and writes its namespace.
    Active,
    /// Rejoined, and may only read until `kheeper hosts resume`.
    ReadOnly,
    /// Disabled by an owner: its keys are refused.
    Disabled,
    /// Deleted: its keys are refused, and the owner still reads what is left of the namespace.
    Deleted,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Registered from a public key file, and no token signed by it has arrived yet.
    Pending,
    /// In use.
    Active,
    /// Refused, for ever.
    Revoked,
}

/// A public key that the server knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its RFC 7638 thumbprint.
    pub key_id: KeyId,
    /// The id of the user or host it speaks for.
    pub subject: String,
    /// The user's name, or `ORG/HOST`; where the record stands beside its holder, it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may do.
    pub state: KeyState,
    /// When it was registered.
    pub created_at: Timestamp,
    /// From when on it is refused, where another has taken its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

/// `POST /-/api/v1/hosts/{org}/{host}/keys`: a host adds a key beside its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyAdd {
    /// The new public key (PEM, SPKI). It is pending until a token signed by it arrives.
    pub public_key_pem: String,
}

/// `POST /-/api/v1/hosts/{org}/{host}/keys/retire`: all keys of the host but the caller's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysRetire {
    /// Seconds until they do.
    pub secs: u64,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// Their id, for ever.
    pub id: UserId,
    /// Their name, unique on the server.
    pub name: UserName,
    /// Whether their keys are refused.
    pub disabled: bool,
    /// When they were created.
    pub created_at: Timestamp,
    /// The orgs they own.
    pub owns: Vec<OrgName>,
    /// The orgs they audit.
    #[serde(default)]
    pub audits: Vec<OrgName>,
    /// Their keys.
    pub keys: Vec<KeyRecord>,
}

/// What a person is to an org.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads the backups of every host, and changes who there is.
    Owner,
    /// Sees hosts, ages, sizes, usage, members, grants and the audit log; no object, and no object's name. Changes nothing.
    Auditor,
}

/// A person with a role in an org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// The org.
    pub org: OrgName,
    /// Their id.
    pub user: UserId,
    /// Their name.
    pub name: UserName,
    /// Their role.
    pub role: Role,
    /// Whether their keys are refused.
    pub disabled: bool,
}

/// `PUT /-/api/v1/orgs/{org}/members/{user}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberPut {
    /// The role they shall have, instead of any other.
    pub role: Role,
}

/// An org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgRecord {
    /// Its name, which is its bucket.
    pub name: OrgName,
    /// Its owners.
    pub owners: Vec<UserId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// How many hosts it has, deleted ones not counted.
    pub host_count: u64,
    /// Seconds for which overwritten and deleted versions of its hosts are kept, but of hosts for which it was set by itself;
    /// none is the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_secs: Option<u64>,
}

/// `POST /-/api/v1/orgs/{org}/set`: what is not named stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgSettings {
    /// Seconds for which overwritten and deleted versions are kept, of every host of the org for which it was not set by
    /// itself. A shorter window counts for what is hidden once the longer one before it has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_secs: Option<u64>,
}

/// `POST /-/api/v1/orgs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgCreate {
    /// The name it shall have.
    pub name: OrgName,
}

/// A host, and how its backups are doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its org.
    pub org: OrgName,
    /// Its name.
    pub host: HostName,
    /// Its id, for ever.
    pub id: HostId,
    /// The id of its namespace.
    pub namespace_id: NamespaceId,
    /// What it may do.
    pub state: HostState,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its keys.
    pub keys: Vec<KeyRecord>,
    /// Current objects.
    pub objects: u64,
    /// Bytes of the current objects.
    pub current_bytes: u64,
    /// Bytes of overwritten and deleted versions that are still kept.
    pub hidden_bytes: u64,
    /// Bytes of parts of uploads that are not complete.
    pub uploading_bytes: u64,
    /// When its newest object was written.
    pub last_object_at: Option<Timestamp>,
    /// When its newest base backup was finished: wal-g's sentinel, barman's `backup.info`, or pgBackRest's manifest.
    pub last_base_backup_at: Option<Timestamp>,
    /// Seconds for which overwritten and deleted versions are kept, as it is set.
    #[serde(default)]
    pub retention_secs: Option<u64>,
    /// Seconds for which what is overwritten and deleted now is kept: more than what is set, for as long as the longer
    /// window that was set before would have lasted.
    #[serde(default)]
    pub retention_in_force_secs: Option<u64>,
    /// As of a time before this, versions may be missing that were there: they were purged.
    #[serde(default)]
    pub history_since: Option<Timestamp>,
    /// Bytes that current, hidden and uploading ones together may be; none is no limit.
    #[serde(default)]
    pub quota_bytes: Option<u64>,
    /// Whether what was written first stays: other bytes for a key are refused.
    #[serde(default)]
    pub no_overwrite: bool,
}

/// `POST /-/api/v1/hosts/{org}/{host}/set`: what is not named stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSettings {
    /// Seconds for which overwritten and deleted versions are kept. A shorter window counts for what is hidden once the
    /// longer one before it has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_secs: Option<u64>,
    /// How much the namespace may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Whether other bytes for a key that is there are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_overwrite: Option<bool>,
}

/// How much a namespace may hold: current, hidden and uploading bytes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quota {
    /// As much as the server says for hosts of which nothing was said.
    Default,
    /// Without a limit.
    None,
    /// So many bytes.
    Bytes(u64),
}

/// `POST /-/api/v1/hosts/{org}/{host}/restore`: one batch; the rest is asked for with `after`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Keys begin with this, `host/` not included.
    #[serde(default)]
    pub prefix: String,
    /// As of this time; none brings back what was deleted, in its last version, and changes nothing else.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// Leave keys alone that were not there then; else they are hidden.
    #[serde(default)]
    pub keep_new: bool,
    /// Change nothing, and say what would be.
    #[serde(default)]
    pub dry_run: bool,
    /// Go on after this key.
    #[serde(default)]
    pub after: Option<String>,
}

/// One batch of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePage {
    /// What was done, or would be.
    pub steps: Vec<RestoreStep>,
    /// Keys that are as they were.
    pub unchanged: u64,
    /// What to give as `after` for the next batch; none on the last.
    pub next: Option<String>,
}

/// What a restore does to one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreStep {
    /// The key, `host/` included.
    pub key: String,
    /// What is done.
    pub action: RestoreAction,
    /// Bytes of what is restored or hidden.
    pub bytes: u64,
    /// Its Last-Modified, which a restored version keeps.
    pub last_modified: Timestamp,
}

/// What a restore does to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestoreAction {
    /// A new version with the old one's content.
    Restore,
    /// Hides what is current, because there was nothing.
    Hide,
}

/// An object or a version, as `GET /-/api/v1/hosts/{org}/{host}/objects` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Its key, `host/` included.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// When its bytes were first committed.
    pub last_modified: Timestamp,
    /// Of a version: from when on it was current. Later than `last_modified` for one that was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<Timestamp>,
    /// Of a hidden version: until when it was current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_at: Option<Timestamp>,
    /// Of a hidden version: until when it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Timestamp>,
}

/// One page of objects or versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectsPage {
    /// The objects, by key. A page of the past may hold few, or none, and yet not be the last.
    pub objects: Vec<ObjectRecord>,
    /// What to give as `after` for the next page; none on the last.
    pub next: Option<String>,
}

/// `POST /-/api/v1/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostCreate {
    /// Its org.
    pub org: OrgName,
    /// The name it shall have.
    pub host: HostName,
    /// An Ed25519 public key (PEM, SPKI) to register at once, instead of making a join token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_pem: Option<String>,
}

/// The answer to creating or rejoining a host.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInvitation {
    /// The host.
    pub host: HostRecord,
    /// The join token, shown this once; none where a public key was registered.
    pub join_token: Option<String>,
    /// When the join token ends.
    pub join_token_expires_at: Option<Timestamp>,
}

/// `POST /-/api/v1/join`, the one call that needs no token of its own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The secret of the join token.
    pub secret: String,
    /// The host's new public key (PEM, SPKI).
    pub public_key_pem: String,
    /// Whether to change nothing, and only say whether the secret has let this key in already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirm: bool,
}

/// The answer to joining.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The org.
    pub org: OrgName,
    /// The host's name.
    pub host: HostName,
    /// The host's id, which is its tokens' `sub`.
    pub host_id: HostId,
    /// The key as the server knows it.
    pub key_id: KeyId,
    /// [`HostState::Active`], or [`HostState::ReadOnly`] after a rejoin.
    pub state: HostState,
}

/// One host's permission to read the current objects of another, of the same org, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRecord {
    /// Its id, for ever.
    pub id: GrantId,
    /// The org.
    pub org: OrgName,
    /// Whose objects may be read.
    pub host: HostName,
    /// The host that may read them.
    pub to: HostName,
    /// The owner who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, or ended.
    pub ends_at: Timestamp,
}

/// `POST /-/api/v1/grants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantCreate {
    /// The org of both hosts.
    pub org: OrgName,
    /// Whose objects shall be readable.
    pub host: HostName,
    /// The host that shall read them.
    pub to: HostName,
    /// Seconds until it ends.
    pub secs: u64,
}

/// What one namespace used in one month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// The org.
    pub org: OrgName,
    /// The host.
    pub host: HostName,
    /// The month in UTC, `2026-11`.
    pub month: String,
    /// Bytes of current objects, now.
    pub current_bytes: u64,
    /// Bytes of hidden versions, now.
    pub hidden_bytes: u64,
    /// Bytes of unfinished uploads, now.
    pub uploading_bytes: u64,
    /// Byte-seconds of current, hidden and uploading bytes in the month so far.
    pub byte_seconds: u128,
    /// `byte_seconds` as GiB-months of 730 hours.
    pub gib_months: f64,
    /// Payload bytes received.
    pub ingress_bytes: u64,
    /// Payload bytes sent.
    pub egress_bytes: u64,
    /// Requests that write: PUT, copy, part, complete, and the like.
    pub write_requests: u64,
    /// Requests that read: GET and HEAD.
    pub read_requests: u64,
    /// Requests that list.
    pub list_requests: u64,
    /// Requests that delete (free with most price lists).
    pub delete_requests: u64,
    /// What it costs by the operator's price list; none without one.
    pub cost: Option<Cost>,
}

/// What a month's usage costs, by the operator's price list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The currency, as the price list names it.
    pub currency: String,
    /// For what is stored.
    pub storage: f64,
    /// For ingress and egress.
    pub traffic: f64,
    /// For requests.
    pub requests: f64,
    /// All of it.
    pub total: f64,
}

/// What an error answer of the control API holds (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// [`Self::KIND_PREFIX`] and a stable name of the kind of problem, for instance `name-taken`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: String,
}

impl Problem {
    /// What every kind begins with.
    pub const KIND_PREFIX: &str = "urn:kheeper:problem:";

    /// The kind's name; all of it, if it is none of ours.
    pub fn name(&self) -> &str {
        self.kind.strip_prefix(Self::KIND_PREFIX).unwrap_or(&self.kind)
    }
}

impl std::fmt::Debug for HostInvitation {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostInvitation").field("host", &self.host).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for JoinRequest {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest").field("public_key_pem", &self.public_key_pem).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_requests_secret_does_not_print() {
        let request = JoinRequest { secret: "s3cr3t".to_owned(), public_key_pem: "pem".to_owned(), confirm: false };
        assert!(!format!("{request:?}").contains("s3cr3t"));
    }
}
