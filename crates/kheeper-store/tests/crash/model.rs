//! What a client was told, and so may rely on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use kheeper_model::{ContentId, ETag, Timestamp};
use kheeper_store::{CompletePart, CompleteRequest, NewObject, Written};

/// Seconds for which what is overwritten and deleted is kept.
pub(crate) const RETENTION_SECS: u64 = 2 * 3600;

/// An object that a client was told is there.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) etag: ETag,
    pub(crate) last_modified: Timestamp,
    /// The files that hold its bytes.
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) listed: CompletePart,
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) id: ContentId,
    pub(crate) key: String,
    pub(crate) active_at: Timestamp,
    pub(crate) parts: BTreeMap<u32, Part>,
}

/// A write that was acknowledged and may be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Repeatable<R> {
    pub(crate) request: R,
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) answer: Written,
}

/// All that was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) objects: BTreeMap<String, Object>,
    pub(crate) uploads: Vec<Upload>,
    pub(crate) put: Option<Repeatable<NewObject>>,
    pub(crate) complete: Option<Repeatable<CompleteRequest>>,
    /// Files of versions that were hidden, and until when they must be there.
    hidden: Vec<(Timestamp, Vec<PathBuf>)>,
}

impl Model {
    /// An object was written over whatever was there.
    pub(crate) fn write(&mut self, key: &str, object: Object) {
        let now = object.last_modified;
        self.hide(key, now);
        self.objects.insert(key.to_owned(), object);
    }

    /// An object was hidden.
    pub(crate) fn hide(&mut self, key: &str, now: Timestamp) {
        if let Some(old) = self.objects.remove(key) {
            self.hidden.push((now.plus_secs(RETENTION_SECS), old.files));
        }
    }

    /// The files that must survive whatever happens at `now`.
    pub(crate) fn required(&mut self, now: Timestamp) -> BTreeSet<PathBuf> {
        self.hidden.retain(|(until, _)| *until > now);
        let objects = self.objects.values().flat_map(|object| &object.files);
        let parts = self.uploads.iter().flat_map(|upload| upload.parts.values()).flat_map(|part| &part.files);
        let hidden = self.hidden.iter().flat_map(|(_, files)| files);
        objects.chain(parts).chain(hidden).cloned().collect()
    }

    /// What may be forgotten by then was.
    pub(crate) fn forget_repeatable(&mut self) {
        self.put = None;
        self.complete = None;
    }
}
