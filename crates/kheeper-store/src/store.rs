//! A store: one data directory, its index and its blobs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kheeper_model::id::day_number;
use kheeper_model::{Clock, ContentId, Namespace, NamespaceId, Timestamp};
use tokio::task::JoinHandle;

use crate::as_of::AsOf;
use crate::blob::BlobStore;
use crate::blob::local::ShardChoice;
use crate::caller::Caller;
use crate::error::{OpenError, StoreError};
use crate::get::ReadStore;
use crate::host_store::HostStore;
use crate::index::{Change, Index, Outcome};
use crate::open::DirectoryLock;
use crate::options::{Randomness, StoreOptions};
use crate::scope::ReadScope;
use crate::space::{Admission, SpaceReport};
use crate::sweep::SweepRefusal;
use crate::usage::TrafficBuffer;

/// An open store. Cheap to clone; the data directory stays locked until all clones are gone or [`Self::close`] was called.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

/// What all handles of a store share.
pub(crate) struct Shared {
    pub(crate) data_dir: PathBuf,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    /// The latest time that the clock has shown; since before this process, as far as commits tell.
    pub(crate) latest_millis: AtomicI64,
    /// See [`Store::operations`].
    pub(crate) operations: AtomicU64,
    pub(crate) admission: Admission,
    pub(crate) traffic: TrafficBuffer,
    /// Who we are to the leases: random, and new each time the store is opened.
    pub(crate) holder: [u8; 16],
    pub(crate) shards: ShardChoice,
    /// Held while something is read to see whether it is what was written: two at once would only be in each other's way.
    pub(crate) scrubbing: tokio::sync::Mutex<()>,
    /// Why sweep removes nothing, if it does not.
    pub(crate) sweep_refusal: Mutex<SweepRefusal>,
    /// Blobs without a row that one crash before this start may have left.
    pub(crate) crash_blobs_max: u64,
    /// Bytes that this process has verified.
    pub(crate) scrubbed_bytes: AtomicU64,
    pub(crate) upkeep: Mutex<Vec<JoinHandle<()>>>,
    /// The lock on the data directory, held until the store is closed or nothing of it is in use.
    pub(crate) lock: Mutex<Option<DirectoryLock>>,
}

/// Whether the store can serve, for readiness.
#[derive(Debug, Clone)]
pub struct Health {
    /// Since when nobody is let in, because the store was restored from a snapshot of that time.
    pub quarantined_since: Option<Timestamp>,
    /// Why writes are refused until a restart, if they are.
    pub refuses_writes: Option<String>,
    /// Whether the index answers reads.
    pub index_reads: bool,
    /// The disk, if it could be asked.
    pub space: Option<SpaceReport>,
}

impl Health {
    /// Whether reads and writes can be expected to work.
    pub fn is_ready(&self) -> bool {
        self.quarantined_since.is_none()
            && self.refuses_writes.is_none()
            && self.index_reads
            && self.space.is_some_and(|space| !space.is_full())
    }
}

impl Store {
    /// Opens a data directory, and creates it if it is not there. Takes `DATA/lock`.
    pub async fn open(options: StoreOptions) -> Result<Self, OpenError> {
        crate::open::open(options).await
    }

    /// Ends upkeep, flushes traffic, commits what is queued and lets the data directory go.
    ///
    /// Other clones answer [`StoreError::Unavailable`] from now on.
    pub async fn close(self) {
        let upkeep = std::mem::take(&mut *self.shared.upkeep.lock().unwrap_or_else(PoisonError::into_inner));
        upkeep.iter().for_each(JoinHandle::abort);
        if let Err(error) = self.flush_traffic().await {
            tracing::warn!(%error, "failed to flush traffic at close");
        }
        self.shared.index.close().await;
        drop(self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The time at which something begins: the index's clock, but never earlier than it once showed.
    ///
    /// Writes are ordered by when they began. Were the clock set back, every overwrite would look like one that had
    /// stalled for as long, and be committed hidden.
    pub fn now(&self) -> Timestamp {
        let now = self.shared.clock.now().as_millis();
        Timestamp(self.shared.latest_millis.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// Reads and writes one namespace for `caller`, whose right to it each commit checks again.
    pub fn host_store(&self, caller: Caller, namespace: Namespace, namespace_id: NamespaceId) -> HostStore {
        HostStore::new(self.clone(), caller, namespace, namespace_id)
    }

    /// Reads what lies in `scope`.
    pub fn read_store(&self, scope: ReadScope) -> ReadStore {
        ReadStore::new(self.clone(), scope, AsOf::Now)
    }

    /// Reads what lay in `scope` at a time, as it was then. [`StoreError::TimeNotPast`] unless that is a minute ago.
    pub fn read_store_at(&self, scope: ReadScope, at: Timestamp) -> Result<ReadStore, StoreError> {
        Ok(ReadStore::new(self.clone(), scope, AsOf::past(at, self.now())?))
    }

    /// Whether the store can serve.
    pub async fn health(&self) -> Health {
        let quarantined_since = self.shared.index.quarantined_since().await;
        Health {
            index_reads: quarantined_since.is_ok(),
            quarantined_since: quarantined_since.unwrap_or_default(),
            refuses_writes: self.shared.index.refuses_writes(),
            space: self.shared.admission.report().await.ok(),
        }
    }

    /// The id of a content that begins now.
    pub(crate) fn new_content(&self) -> ContentId {
        let mut random = [0; 16];
        self.shared.randomness.fill(&mut random);
        ContentId { day: day_number(self.now()), random }
    }

    /// How often requests have looked into the index, sent it a change, or begun a blob. Finding out who calls does not count,
    /// nor does upkeep: a request that was refused leaves this as it was.
    pub fn operations(&self) -> u64 {
        self.shared.operations.load(Ordering::Relaxed)
    }

    /// The index, for what a request asks of it.
    pub(crate) fn index(&self) -> &dyn Index {
        self.count_operation();
        &*self.shared.index
    }

    pub(crate) fn count_operation(&self) {
        self.shared.operations.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) async fn commit(&self, change: Change) -> Result<Outcome, StoreError> {
        if change.is_asked_for() {
            self.count_operation();
        }
        self.shared.index.commit(change).await
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
