//! Which changes go into the next batch: namespaces take turns, and no batch holds two changes of one key.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use kheeper_model::NamespaceId;
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::index::{Change, ContentBody, Outcome};

/// Rows that end a batch.
const BATCH_ROWS_MAX: usize = 512;
/// Bytes that end a batch.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A change that waits, and who waits for it.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) done: oneshot::Sender<Result<Outcome, StoreError>>,
}

/// Changes that wait, one line per namespace; a line of its own for all that is of no namespace.
#[derive(Default)]
pub(super) struct Queue {
    lines: HashMap<Option<NamespaceId>, VecDeque<Job>>,
    /// Whose turn is next. Holds each line that is not empty, once.
    turns: VecDeque<Option<NamespaceId>>,
}

impl Queue {
    pub(super) fn push(&mut self, job: Job) {
        let line = namespace_of(&job.change).cloned();
        let waiting = self.lines.entry(line.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(line);
        }
        waiting.push_back(job);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// The next batch: never empty unless the queue is.
    pub(super) fn next_batch(&mut self) -> Vec<Job> {
        let mut batch = Vec::new();
        let mut locked = HashSet::new();
        let (mut rows, mut bytes) = (0, 0);
        // Lines whose next change must wait for this batch: they keep their order, and their turn.
        let mut blocked = VecDeque::new();
        while rows < BATCH_ROWS_MAX && bytes < BATCH_BYTES_MAX {
            let Some(line) = self.turns.pop_front() else { break };
            let Some(waiting) = self.lines.get_mut(&line) else { continue };
            let locks = waiting.front().map(|job| locks_of(&job.change)).unwrap_or_default();
            if locks.iter().any(|lock| locked.contains(lock)) {
                blocked.push_back(line);
                continue;
            }
            let Some(job) = waiting.pop_front() else { continue };
            locked.extend(locks);
            let weight = weight_of(&job.change);
            rows += weight.0;
            bytes += weight.1;
            batch.push(job);
            if waiting.is_empty() {
                self.lines.remove(&line);
            } else {
                self.turns.push_back(line);
            }
        }
        blocked.append(&mut self.turns);
        self.turns = blocked;
        batch
    }
}

fn namespace_of(change: &Change) -> Option<&NamespaceId> {
    match change {
        Change::PutObject(put) => Some(&put.namespace),
        Change::CopyObject(copy) => Some(&copy.namespace),
        Change::DeleteObjects(delete) => Some(&delete.namespace),
        Change::TagObject(tag) => Some(&tag.namespace),
        Change::RestoreObjects(restore) => Some(&restore.namespace_id),
        Change::CreateUpload(create) => Some(&create.namespace),
        Change::PutPart(part) => Some(&part.namespace),
        Change::CompleteUpload(complete) => Some(&complete.namespace),
        Change::AbortUpload(abort) => Some(&abort.namespace),
        Change::People(_)
        | Change::Host(_)
        | Change::Grant(_)
        | Change::Audit(..)
        | Change::Usage(_)
        | Change::Sweep(_)
        | Change::Snapshot(_) => None,
    }
}

/// What a change must be alone with in its batch. Two that collide by chance merely wait for one another.
fn locks_of(change: &Change) -> Vec<u64> {
    match change {
        Change::PutObject(put) => vec![lock(&put.key)],
        Change::CopyObject(copy) => vec![lock(&copy.key)],
        Change::DeleteObjects(delete) => delete.keys.iter().map(lock).collect(),
        Change::TagObject(tag) => vec![lock(&tag.key)],
        Change::RestoreObjects(restore) => restore.keys.iter().map(lock).collect(),
        Change::CompleteUpload(complete) => vec![lock(&complete.key), lock(&complete.upload)],
        Change::PutPart(part) => vec![lock(&(part.upload, part.number))],
        Change::AbortUpload(abort) => vec![lock(&abort.upload)],
        Change::CreateUpload(_) | Change::Usage(_) | Change::Audit(..) => Vec::new(),
        Change::People(_) | Change::Host(_) | Change::Grant(_) | Change::Snapshot(_) => vec![lock(&"people")],
        Change::Sweep(_) => vec![lock(&"sweep")],
    }
}

fn lock<T: Hash>(what: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Rows and bytes, roughly.
fn weight_of(change: &Change) -> (usize, usize) {
    match change {
        Change::PutObject(put) => match &put.body {
            ContentBody::Inline(bytes) => (1, bytes.len()),
            ContentBody::Blobs(_) => (1, 0),
        },
        Change::DeleteObjects(delete) => (delete.keys.len(), 0),
        Change::RestoreObjects(restore) => (restore.keys.len(), 0),
        Change::CompleteUpload(complete) => (1 + complete.parts.len() / 16, 0),
        _ => (1, 0),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kheeper_model::{AttemptId, HostId, ObjectKey};

    use super::*;
    use crate::caller::{Caller, CallerId};
    use crate::index::DeleteObjects;
    use crate::object::Precondition;

    fn delete(namespace: &NamespaceId, keys: &[&str]) -> Job {
        let caller = Caller {
            key_id: "A".repeat(43).parse().unwrap(),
            subject: CallerId::Host(format!("hst_{}", "0".repeat(32)).parse::<HostId>().unwrap()),
            from: None,
        };
        let keys: BTreeSet<ObjectKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
        let (attempt, precondition) = (AttemptId([0; 16]), Precondition::NONE);
        let change = DeleteObjects { caller, namespace: namespace.clone(), keys, attempt, precondition };
        Job { change: Change::DeleteObjects(change), done: oneshot::channel().0 }
    }

    fn first_keys(batch: &[Job]) -> Vec<String> {
        let first = |job: &Job| match &job.change {
            Change::DeleteObjects(delete) => delete.keys.first().unwrap().to_string(),
            _ => unreachable!(),
        };
        batch.iter().map(first).collect()
    }

    #[test]
    fn a_batch_never_holds_two_changes_of_one_key() {
        let namespace = NamespaceId::random();
        let mut queue = Queue::default();
        for keys in [&["h/a", "h/b"][..], &["h/b"], &["h/c"]] {
            queue.push(delete(&namespace, keys));
        }
        assert_eq!(first_keys(&queue.next_batch()), ["h/a"]);
        assert_eq!(first_keys(&queue.next_batch()), ["h/b", "h/c"]);
        assert!(queue.is_empty() && queue.next_batch().is_empty());
    }

    #[test]
    fn namespaces_take_turns() {
        let (busy, quiet) = (NamespaceId::random(), NamespaceId::random());
        let mut queue = Queue::default();
        for number in 0..600 {
            queue.push(delete(&busy, &[&format!("busy/{number:03}")]));
        }
        queue.push(delete(&quiet, &["quiet/a"]));
        let batch = first_keys(&queue.next_batch());
        assert_eq!(batch.len(), BATCH_ROWS_MAX);
        assert_eq!(batch[..3], ["busy/000", "quiet/a", "busy/001"]);
        assert_eq!(queue.next_batch().len(), 601 - BATCH_ROWS_MAX);
    }
}
