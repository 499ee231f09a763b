//! What scrub remembers from one start of the server to the next.

use kheeper_model::{Namespace, ObjectKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::index::ContentOwner;

/// Damaged objects of one round that are named; more are only counted.
const NAMED_MAX: usize = 10_000;

/// A version, or an upload that is not complete, whose bytes are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedObject {
    /// The host.
    pub namespace: Namespace,
    /// The key, `HOST/` included.
    pub key: ObjectKey,
    /// When the version was committed; none for an upload that is not complete.
    pub committed_at: Option<Timestamp>,
    /// When the version was hidden; none if it is current.
    pub hidden_at: Option<Timestamp>,
    /// Which blob, or which row of the index.
    pub blob: String,
    /// What is wrong with it.
    pub what: String,
}

impl DamagedObject {
    pub(crate) fn new(owner: ContentOwner, blob: &str, what: &str) -> Self {
        let ContentOwner { namespace, key, committed_at, hidden_at, .. } = owner;
        Self { namespace, key, committed_at, hidden_at, blob: blob.to_owned(), what: what.to_owned() }
    }

    /// Which version it is, in words.
    pub fn version(&self) -> String {
        match (self.committed_at, self.hidden_at) {
            (None, _) => "an upload that is not complete".to_owned(),
            (Some(committed_at), None) => format!("current, of {committed_at}"),
            (Some(committed_at), Some(hidden_at)) => format!("of {committed_at}, hidden {hidden_at}"),
        }
    }
}

/// One round through everything that is stored, as far as it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubReport {
    /// When it began.
    pub began_at: Option<Timestamp>,
    /// When everything had been read; none while it goes on.
    pub completed_at: Option<Timestamp>,
    /// Contents, and parts of open uploads, that were read.
    pub contents: u64,
    /// Bytes that were read and are what was written.
    pub verified_bytes: u64,
    /// Versions and open uploads that are damaged, each named.
    pub damaged: Vec<DamagedObject>,
    /// How many there are, named or not.
    pub damaged_count: u64,
}

impl ScrubReport {
    pub(crate) fn note(&mut self, damaged: DamagedObject) {
        self.damaged_count += 1;
        if self.damaged.len() < NAMED_MAX {
            self.damaged.push(damaged);
        }
    }

    /// Whether everything that was read is what was written.
    pub fn is_clean(&self) -> bool {
        self.damaged_count == 0
    }
}

/// Where a round goes on. Contents come first, in the order of their ids, and then the parts of open uploads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", content = "after", rename_all = "kebab-case")]
pub enum ScrubPosition {
    /// At the beginning.
    #[default]
    Start,
    /// After the content of this id.
    Content(String),
    /// After the last content.
    Parts,
    /// After the part whose blob has this name.
    Part(String),
}

/// What scrub remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubState {
    /// The round under way, and where it goes on.
    pub round: Option<(ScrubReport, ScrubPosition)>,
    /// The last round that was complete.
    pub last: Option<ScrubReport>,
}
