//! Directories of blobs: `blobs/<day>/<shard>/`. One fsync of a directory serves all blobs that were made in it since.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

use super::BlobName;
use crate::disk::Disk;
use crate::error::StoreError;

/// Directories of one day.
pub(crate) const SHARD_COUNT: u8 = 16;
/// Blobs that go to one shard before the next one's turn, so that those of a moment share a directory and its sync.
const BLOBS_PER_TURN: u64 = 1024;

/// What is being done when a sync fails.
const SYNC: &str = "sync a directory of blobs";

/// Which shard new blobs go to.
#[derive(Debug, Default)]
pub(crate) struct ShardChoice(AtomicU64);

impl ShardChoice {
    pub(crate) fn next(&self) -> u8 {
        let turn = self.0.fetch_add(1, Ordering::Relaxed) / BLOBS_PER_TURN;
        (turn % u64::from(SHARD_COUNT)) as u8
    }
}

/// The directories of a data directory's blobs.
pub(crate) struct Directories {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// Days whose directories are there, and durable.
    days: Mutex<BTreeSet<u32>>,
}

impl Directories {
    pub(crate) fn new(disk: Arc<dyn Disk>, root: PathBuf) -> Self {
        Self { disk, root, days: Mutex::default() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory a blob lies in.
    pub(crate) fn of(&self, name: &BlobName) -> PathBuf {
        self.root.join(format!("{:08}", name.content.day)).join(format!("{:02x}", name.shard()))
    }

    /// The file of a blob.
    pub(crate) fn file(&self, name: &BlobName) -> PathBuf {
        self.of(name).join(name.to_string())
    }

    /// Makes the directories of a day, durably. Blocks.
    pub(crate) fn prepare(&self, day: u32) -> io::Result<()> {
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        if days.contains(&day) {
            return Ok(());
        }
        let path = self.root.join(format!("{day:08}"));
        for shard in 0..SHARD_COUNT {
            self.disk.create_directories(&path.join(format!("{shard:02x}")))?;
        }
        let synced = self.disk.sync_directory(&path).and_then(|()| self.disk.sync_directory(&self.root));
        match synced {
            Ok(()) => drop(days.insert(day)),
            // Synced again they might be said to be durable, and not be. Names that are made anew are written anew.
            Err(_) => self.remove_directories(&path),
        }
        synced
    }

    /// Removes the directories of a day if they hold nothing. Blocks.
    pub(crate) fn remove_empty(&self, day: u32) {
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.root.join(format!("{day:08}"));
        days.remove(&day);
        self.remove_directories(&path);
    }

    /// Removes those directories of a day that are empty: the file system refuses the others.
    fn remove_directories(&self, day: &Path) {
        for shard in 0..SHARD_COUNT {
            let _ = self.disk.remove_directory(&day.join(format!("{shard:02x}")));
        }
        let _ = self.disk.remove_directory(day);
    }
}

/// Makes the entries of a directory durable. Blocks.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Syncs directories for many writers at once: each touched directory once per batch.
#[derive(Clone)]
pub(crate) struct DirectorySync {
    requests: mpsc::Sender<Request>,
    /// Syncs that failed so far, of any directory.
    failures: Arc<AtomicU64>,
}

/// A moment before a name was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BeforeName {
    failures: u64,
}

struct Request {
    directory: PathBuf,
    done: oneshot::Sender<Result<(), StoreError>>,
}

impl DirectorySync {
    /// Starts the thread that syncs; it ends when the last handle is gone.
    pub(crate) fn start(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let (requests, queue) = mpsc::channel();
        let failures = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&failures);
        thread::Builder::new().name("directory-sync".to_owned()).spawn(move || serve(&*disk, &queue, &counted))?;
        Ok(Self { requests, failures })
    }

    /// To be called before a name is made that [`Self::sync`] shall make durable.
    pub(crate) fn before_name(&self) -> BeforeName {
        BeforeName { failures: self.failures.load(Ordering::SeqCst) }
    }

    /// Returns once all names are durable that were made in `directory` since `before`.
    ///
    /// A sync that failed for somebody else may have let go of our name too, and the next one would say that all is well:
    /// whoever made a name before a failure gets an error.
    pub(crate) async fn sync(&self, directory: PathBuf, before: BeforeName) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        let gone = || StoreError::unavailable("the store is closing");
        self.requests.send(Request { directory, done }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())??;
        if self.failures.load(Ordering::SeqCst) == before.failures {
            return Ok(());
        }
        Err(StoreError::io(SYNC, io::Error::other("an earlier sync failed, and what it let go of is not known")))
    }
}

fn serve(disk: &dyn Disk, queue: &mpsc::Receiver<Request>, failures: &AtomicU64) {
    while let Ok(first) = queue.recv() {
        let mut batch: BTreeMap<PathBuf, Vec<_>> = BTreeMap::new();
        for request in std::iter::once(first).chain(queue.try_iter()) {
            batch.entry(request.directory).or_default().push(request.done);
        }
        for (directory, waiting) in batch {
            // A failed sync is an error for all that waited for it, and is not tried again for them.
            let synced = disk.sync_directory(&directory).map_err(|error| {
                failures.fetch_add(1, Ordering::SeqCst);
                StoreError::io(SYNC, error)
            });
            for done in waiting {
                let _ = done.send(synced.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn new_blobs_share_a_shard_for_a_while_and_then_move_on() {
        let choice = ShardChoice::default();
        let shards: Vec<u8> = (0..BLOBS_PER_TURN * u64::from(SHARD_COUNT) + 1).map(|_| choice.next()).collect();
        assert_eq!(shards[0], shards[BLOBS_PER_TURN as usize - 1]);
        assert_eq!(shards[BLOBS_PER_TURN as usize], 1);
        assert_eq!(shards.last(), Some(&0));
        assert!(shards.iter().all(|shard| *shard < SHARD_COUNT));
    }

    #[tokio::test]
    async fn concurrent_syncs_all_return_and_a_missing_directory_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let syncer = DirectorySync::start(Arc::new(RealDisk)).unwrap();
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let (syncer, path) = (syncer.clone(), directory.path().to_owned());
                tokio::spawn(async move { syncer.sync(path, syncer.before_name()).await })
            })
            .collect();
        for sync in waiting {
            sync.await.unwrap().unwrap();
        }
        assert!(syncer.sync(directory.path().join("absent"), syncer.before_name()).await.is_err());
    }

    #[tokio::test]
    async fn a_name_made_before_a_sync_failed_is_never_said_to_be_durable() {
        let directory = tempfile::tempdir().unwrap();
        let syncer = DirectorySync::start(Arc::new(RealDisk)).unwrap();
        let before = syncer.before_name();
        assert!(syncer.sync(directory.path().join("absent"), before).await.is_err());
        assert!(syncer.sync(directory.path().to_owned(), before).await.is_err());
        syncer.sync(directory.path().to_owned(), syncer.before_name()).await.unwrap();
    }
}
