//! What the index answers, beyond the records of the control API.

use kheeper_model::{ContentId, Crc64Nvme, Namespace, ObjectKey, OrgName, Timestamp};

use super::content::ContentBody;
use crate::as_of::AsOf;
use crate::blob::BlobName;
use crate::error::StoreError;
use crate::object::VersionCursor;

/// A listing, with the key ranges that the caller may see.
#[derive(Debug, Clone)]
pub struct ListPlan {
    /// The bucket.
    pub org: OrgName,
    /// When.
    pub as_of: AsOf,
    /// The ranges to list, ascending and apart. All of them begin with the prefix.
    pub ranges: Vec<Range>,
    /// Bytes of the prefix: where the search for the delimiter begins.
    pub prefix_bytes: usize,
    /// Rolls keys up; never empty.
    pub delimiter: Option<Vec<u8>>,
    /// Go on after this key or common prefix.
    pub after: Option<Vec<u8>>,
    /// Entries, at most.
    pub max: usize,
}

/// Keys from `start`, up to and without `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first key that is in it.
    pub start: Vec<u8>,
    /// The first key that is after it; none means to the end.
    pub end: Option<Vec<u8>>,
}

impl Range {
    /// All keys that begin with `prefix`.
    pub fn of_prefix(prefix: &[u8]) -> Self {
        Self { start: prefix.to_vec(), end: successor(prefix) }
    }
}

/// The first byte string that is after all those that begin with `prefix`; none if there is no such.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

/// Which versions to list.
#[derive(Debug, Clone)]
pub struct VersionQuery {
    /// The bucket.
    pub org: OrgName,
    /// Their keys.
    pub range: Range,
    /// Go on after this one.
    pub after: Option<VersionCursor>,
    /// Versions, at most.
    pub max: usize,
}

/// Stored bytes and objects of one namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Current objects.
    pub objects: i64,
    /// Bytes of current objects.
    pub current_bytes: i64,
    /// Bytes of hidden versions.
    pub hidden_bytes: i64,
    /// Bytes of parts of open uploads.
    pub uploading_bytes: i64,
}

impl std::ops::AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.objects += other.objects;
        self.current_bytes += other.current_bytes;
        self.hidden_bytes += other.hidden_bytes;
        self.uploading_bytes += other.uploading_bytes;
    }
}

impl Ledger {
    /// All bytes that are stored and paid for.
    pub fn stored_bytes(&self) -> i64 {
        self.current_bytes + self.hidden_bytes + self.uploading_bytes
    }
}

/// A namespace's share of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Bytes it stores: current, hidden and uploading.
    pub stored_bytes: u64,
    /// Among how many namespaces the disk is shared, this one included.
    pub namespaces: u64,
}

/// What sweep must know first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepState {
    /// The index's clock now.
    pub now: Timestamp,
    /// The highest time ever committed.
    pub committed_high: Timestamp,
    /// Until when nothing is purged because the clock jumped ahead.
    pub hold_until: Timestamp,
    /// Since when the store is in quarantine, if it is.
    pub quarantined_since: Option<Timestamp>,
    /// Where the index ends that was put in place of a newer one, if it was.
    pub older_since: Option<Timestamp>,
    /// Current objects, as last folded.
    pub objects: u64,
    /// Their bytes, and those of hidden versions and open uploads.
    pub stored_bytes: u64,
}

/// A content as sweep, scrub and fsck see it.
#[derive(Debug, Clone)]
pub struct ContentRow {
    /// Its id.
    pub id: ContentId,
    /// When it was condemned, if it was.
    pub condemned_at: Option<Timestamp>,
    /// Its bytes, as its rows say.
    pub bytes: u64,
    /// Their CRC.
    pub crc64nvme: Crc64Nvme,
    /// Where they are, unless that cannot be read; none for an upload that is not complete.
    pub body: Option<Result<ContentBody, StoreError>>,
}

/// Whose a content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentOwner {
    /// The content.
    pub content: ContentId,
    /// The host.
    pub namespace: Namespace,
    /// The key.
    pub key: ObjectKey,
    /// When the version was committed; none for an upload that is not complete.
    pub committed_at: Option<Timestamp>,
    /// When the version was hidden; none if it is current.
    pub hidden_at: Option<Timestamp>,
}

/// One page of contents.
#[derive(Debug, Clone, Default)]
pub struct ContentPage {
    /// The contents, by id.
    pub contents: Vec<ContentRow>,
    /// Where to go on; none on the last page.
    pub next: Option<ContentId>,
}

/// One page of blobs that rows of their own refer to.
#[derive(Debug, Clone, Default)]
pub struct BlobRefPage {
    /// The blobs, by name, with the payload's bytes where they are known.
    pub blobs: Vec<(BlobName, Option<u64>)>,
    /// Where to go on; none on the last page.
    pub next: Option<BlobName>,
}

/// Rows against ledger.
#[derive(Debug, Clone, Default)]
pub struct LedgerAudit {
    /// Each namespace.
    pub namespaces: Vec<NamespaceAudit>,
    /// Rows that contradict one another, in words.
    pub contradictions: Vec<String>,
}

/// One namespace, rows against ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceAudit {
    /// Which.
    pub namespace: Namespace,
    /// Recomputed from object, version and part rows.
    pub rows: Ledger,
    /// What the ledger and its deltas say.
    pub ledger: Ledger,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_of_a_prefix_is_after_all_it_begins() {
        assert_eq!(successor(b"web-01/"), Some(b"web-010".to_vec()));
        assert_eq!(successor(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(successor(b"\xff"), None);
        assert_eq!(successor(b""), None);
    }
}
