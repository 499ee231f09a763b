//! The audit log: who did what, in a chain of hashes, so that what was removed, altered or put elsewhere is found.
//!
//! Each org has a chain of its own, and so has the server. The hash of a record covers the hash before it and the very
//! bytes of the record, which is why those travel as text, and anyone who holds them can check the chain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{KeyId, OrgName, Timestamp};

/// SHA-256 of a record and of all before it.
pub type ChainHash = [u8; 32];

/// What the first record of a chain is hashed with.
pub const CHAIN_START: ChainHash = [0; 32];

/// Makes an enum of acts, their names in the log, and a list that none can be missing from.
macro_rules! acts {
    ($($(#[$doc:meta])* $act:ident = $name:literal,)*) => {
        /// What can be in the log. A record names it by its text, so that records of acts that are no more can be read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum AuditAct {
            $($(#[$doc])* $act,)*
        }

        impl AuditAct {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$act,)*];

            /// What the log calls it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$act => $name,)*
                }
            }
        }
    };
}

acts! {
    /// The operator made a user.
    UserCreate = "user.create",
    /// The operator refuses a user's keys.
    UserDisable = "user.disable",
    /// The operator accepts them again.
    UserEnable = "user.enable",
    /// The operator registered a key.
    KeyRegister = "key.register",
    /// A key that was registered from a file, or added to a host, has signed for the first time.
    KeyActivate = "key.activate",
    /// A key is refused for ever.
    KeyRevoke = "key.revoke",
    /// A person made an org.
    OrgCreate = "org.create",
    /// An owner changed what holds for all hosts of an org.
    OrgSet = "org.set",
    /// Somebody was given a role in an org.
    MemberPut = "member.put",
    /// Somebody's role in an org was taken away.
    MemberRemove = "member.remove",
    /// An owner made a host.
    HostCreate = "host.create",
    /// A machine joined as a host, or was refused to.
    HostJoin = "host.join",
    /// An owner made a new join token for a host.
    HostRejoin = "host.rejoin",
    /// A rejoined host may write again.
    HostResume = "host.resume",
    /// An owner refuses a host's keys.
    HostDisable = "host.disable",
    /// An owner accepts them again.
    HostEnable = "host.enable",
    /// A host added a key to its own.
    HostAddKey = "host.add-key",
    /// A host gave its other keys an end.
    HostRetireKeys = "host.retire-keys",
    /// An owner ended all keys of a host.
    HostRevoke = "host.revoke",
    /// An owner closed a host's namespace.
    HostDelete = "host.delete",
    /// An owner opened it again.
    HostUndelete = "host.undelete",
    /// An owner changed what holds for a host.
    HostSet = "host.set",
    /// An owner lent a host's objects to another.
    GrantCreate = "grant.create",
    /// An owner ended that.
    GrantDelete = "grant.delete",
    /// A host read what is lent to it.
    GrantUse = "grant.use",
    /// A host hid objects.
    ObjectsDelete = "objects.delete",
    /// A host wrote over objects.
    ObjectsOverwrite = "objects.overwrite",
    /// An owner made objects what they were.
    ObjectsRestore = "objects.restore",
    /// The operator copied the store.
    SnapshotTake = "snapshot.take",
    /// The operator lets callers in of a store that was restored.
    QuarantineEnd = "quarantine.end",
    /// The operator goes on with an older index.
    IndexAcceptOlder = "index.accept-older",
    /// Somebody was refused.
    RequestDenied = "request.denied",
}

impl std::fmt::Display for AuditAct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One record, as its text holds it. The order of the fields is that of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Counts the records of its chain, from 1.
    pub seq: u64,
    /// When it was written, in milliseconds since 1970.
    pub at: Timestamp,
    /// The org whose chain it is in; none in the server's own.
    pub org: Option<OrgName>,
    /// What was done or tried, for instance `host.revoke`.
    pub act: String,
    /// Who: the id of a user or host, or `operator`, or `server`.
    pub by: String,
    /// The key that signed for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// From which address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// To what: a host, a user, a key, a grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// What came of it.
    pub outcome: AuditOutcome,
    /// What else there is to say; never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// What came of what was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It was refused.
    Denied,
}

/// A record with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// SHA-256 of the hash before it and of the bytes of `record`, in hex.
    pub hash: String,
    /// The record's text, an [`AuditRecord`] in JSON.
    pub record: String,
}

/// `GET /-/api/v1/audit`: a part of a chain, and where the chain begins and ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// Whose chain; none is the server's own.
    pub org: Option<OrgName>,
    /// The number of the oldest record that is still kept.
    pub first_seq: u64,
    /// The hash of the one before it, in hex.
    pub first_prev: String,
    /// The number of the newest record; 0 if there is none.
    pub head_seq: u64,
    /// Its hash, in hex.
    pub head_hash: String,
    /// The records asked for, in their order.
    pub entries: Vec<AuditEntry>,
}

/// The hash of a record, which stands for it and for all before it.
pub fn chain_hash(before: &ChainHash, record: &str) -> ChainHash {
    Sha256::new().chain_update(before).chain_update(record.as_bytes()).finalize().into()
}

/// Follows a chain from its oldest record to its newest, and says where it breaks.
#[derive(Debug, Clone)]
pub struct ChainCheck {
    next_seq: u64,
    hash: ChainHash,
}

impl ChainCheck {
    /// Begins where the page, which is the chain's first, says that its chain begins.
    pub fn new(page: &AuditPage) -> Result<Self, String> {
        let known = (page.head_seq + 1).saturating_sub(page.first_seq);
        if page.entries.len() as u64 > known {
            return Err(format!("there are records that the log knows nothing of: it should hold {known}"));
        }
        let hash = from_hex(&page.first_prev).ok_or("the hash before the oldest record is not one")?;
        Ok(Self { next_seq: page.first_seq, hash })
    }

    /// The number of the record to be shown next.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Takes the next record. An error says what is wrong with it.
    pub fn take(&mut self, entry: &AuditEntry) -> Result<AuditRecord, String> {
        let expected = self.next_seq;
        let record: AuditRecord = serde_json::from_str(&entry.record)
            .map_err(|error| format!("record {expected} cannot be read: {error}"))?;
        if record.seq != expected {
            return Err(format!("record {expected} is missing: number {} is in its place", record.seq));
        }
        let hash = chain_hash(&self.hash, &entry.record);
        if hex::encode(hash) != entry.hash {
            return Err(format!("record {expected} is not what was written, or not what was written there"));
        }
        self.next_seq += 1;
        self.hash = hash;
        Ok(record)
    }

    /// Checks that the last record that was taken is the chain's newest.
    pub fn finish(&self, page: &AuditPage) -> Result<(), String> {
        if self.next_seq != page.head_seq + 1 {
            return Err(format!("records {} to {} are missing at the end", self.next_seq, page.head_seq));
        }
        if hex::encode(self.hash) != page.head_hash {
            return Err(format!("the newest record, number {}, is another than the log says", page.head_seq));
        }
        Ok(())
    }
}

fn from_hex(text: &str) -> Option<ChainHash> {
    let mut hash = CHAIN_START;
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(count: u64) -> AuditPage {
        let mut hash = CHAIN_START;
        let entries: Vec<AuditEntry> = (1..=count)
            .map(|seq| {
                let record = AuditRecord {
                    seq,
                    at: Timestamp(seq.cast_signed()),
                    org: None,
                    act: "user.create".to_owned(),
                    by: "operator".to_owned(),
                    key_id: None,
                    from: None,
                    on: None,
                    outcome: AuditOutcome::Done,
                    details: BTreeMap::new(),
                };
                let record = serde_json::to_string(&record).unwrap();
                hash = chain_hash(&hash, &record);
                AuditEntry { hash: hex::encode(hash), record }
            })
            .collect();
        let (first_prev, head_hash) = (hex::encode(CHAIN_START), hex::encode(hash));
        AuditPage { org: None, first_seq: 1, first_prev, head_seq: count, head_hash, entries }
    }

    fn check(page: &AuditPage) -> Result<(), String> {
        let mut check = ChainCheck::new(page)?;
        page.entries.iter().try_for_each(|entry| check.take(entry).map(drop))?;
        check.finish(page)
    }

    #[test]
    fn what_was_removed_altered_or_moved_is_found() {
        let whole = chain(5);
        assert_eq!(check(&whole), Ok(()));
        let changed = |change: fn(&mut AuditPage)| {
            let mut page = whole.clone();
            change(&mut page);
            check(&page).unwrap_err()
        };
        assert!(changed(|page| drop(page.entries.remove(2))).contains("record 3 is missing"));
        assert!(changed(|page| drop(page.entries.remove(0))).contains("record 1 is missing"));
        assert!(changed(|page| drop(page.entries.pop())).contains("missing at the end"));
        assert!(changed(|page| page.entries.swap(1, 2)).contains("record 2 is missing"));
        let altered = changed(|page| page.entries[3].record = page.entries[3].record.replace("operator", "somebody"));
        assert!(altered.contains("record 4 is not what was written"), "{altered}");
        // Whoever computes the hash again has to compute all after it, and the head.
        let rehashed = changed(|page| {
            page.entries[4].record = page.entries[4].record.replace("operator", "somebody");
            let before = from_hex(&page.entries[3].hash).unwrap();
            page.entries[4].hash = hex::encode(chain_hash(&before, &page.entries[4].record));
        });
        assert!(rehashed.contains("the newest record"), "{rehashed}");
    }

    #[test]
    fn the_text_of_a_record_is_fixed() {
        let text = &chain(1).entries[0].record;
        assert_eq!(text, r#"{"seq":1,"at":1,"org":null,"act":"user.create","by":"operator","outcome":"done"}"#);
    }
}
