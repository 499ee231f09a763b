//! Opening a data directory: lock it, open the index, make the directories of blobs. Blobs are never listed here.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};

use kheeper_model::id::day_number;
use rustix::fs::{FlockOperation, flock};

use crate::blob::directory;
use crate::blob::local::LocalBlobs;
use crate::error::OpenError;
use crate::failpoint;
use crate::high_water;
use crate::index::sqlite::SqliteIndex;
use crate::options::{Background, StoreOptions};
use crate::snapshot;
use crate::space::Admission;
use crate::store::{Shared, Store};
use crate::usage::TrafficBuffer;

/// Seconds of a day.
const DAY_SECS: u64 = 24 * 3600;

/// The lock on a data directory; let go when dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

pub(crate) async fn open(options: StoreOptions) -> Result<Store, OpenError> {
    let (background, scrub_rate) = (options.background, options.scrub_bytes_per_sec);
    let opened = tokio::task::spawn_blocking(move || open_directory(&options)).await;
    let shared = Arc::new(opened.map_err(|stopped| OpenError::Index(format!("opening stopped: {stopped}")))??);
    if background == Background::Run {
        let mut tasks = vec![tokio::spawn(crate::upkeep::run(Arc::downgrade(&shared)))];
        tasks.extend(scrub_rate.map(|rate| tokio::spawn(crate::scrub::run(Arc::downgrade(&shared), rate))));
        *shared.upkeep.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = tasks;
    }
    Ok(Store { shared })
}

fn open_directory(options: &StoreOptions) -> Result<Shared, OpenError> {
    let root = &options.data_dir;
    let index_path = root.join("index.db");
    let blobs_path = root.join("blobs");
    make_directory(root)?;
    refuse_foreign(root, &index_path)?;
    let lock = lock(root)?;
    failpoint::reach("open.locked").map_err(io_error(root))?;
    make_directory(&blobs_path)?;
    snapshot::remove_index_copies(root).map_err(io_error(root))?;
    let reached = high_water::read(root).map_err(io_error(root))?;
    let index =
        SqliteIndex::open(&index_path, Arc::clone(&options.clock), options.defaults, options.index_readers, reached)?;
    failpoint::reach("open.index").map_err(io_error(root))?;
    // The names of what was made are durable before anything is acknowledged.
    directory::sync(root).map_err(io_error(root))?;
    let now = options.clock.now();
    let days = [day_number(now), day_number(now.plus_secs(DAY_SECS))];
    let blobs = LocalBlobs::open(Arc::clone(&options.disk), blobs_path.clone(), days).map_err(io_error(&blobs_path))?;
    failpoint::reach("open.blobs").map_err(io_error(root))?;
    let latest = index.committed_high().max(now);
    let crash_blobs_max = if reached.vouches_for(index.committed_high()) { options.bodies_at_once_max } else { 0 };
    let mut holder = [0; 16];
    options.randomness.fill(&mut holder);
    Ok(Shared {
        data_dir: root.clone(),
        index: Arc::new(index),
        blobs: Arc::new(blobs),
        clock: Arc::clone(&options.clock),
        randomness: Arc::clone(&options.randomness),
        latest_millis: AtomicI64::new(latest.as_millis()),
        operations: AtomicU64::new(0),
        admission: Admission::new(Arc::clone(&options.space), root.clone()),
        traffic: TrafficBuffer::default(),
        holder,
        shards: directory::ShardChoice::default(),
        scrubbing: tokio::sync::Mutex::default(),
        sweep_refusal: Mutex::default(),
        crash_blobs_max,
        scrubbed_bytes: AtomicU64::default(),
        upkeep: Mutex::default(),
        lock: Mutex::new(Some(lock)),
    })
}

pub(crate) fn make_directory(path: &Path) -> Result<(), OpenError> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error(path))?;
    // Each name that was made is durable in the directory that holds it.
    for made in missing.iter().rev() {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        directory::sync(parent).map_err(io_error(parent))?;
    }
    Ok(())
}

/// Takes `DATA/lock`, which the kernel lets go when the process ends, however it ends.
pub(crate) fn lock(root: &Path) -> Result<DirectoryLock, OpenError> {
    let path = root.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(io_error(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(DirectoryLock { _file: file }),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked(root.to_owned())),
        Err(error) => Err(OpenError::Io { path, source: error.into() }),
    }
}

/// A directory with something in it and no index is not ours: a mistyped path must not become a store.
fn refuse_foreign(root: &Path, index_path: &Path) -> Result<(), OpenError> {
    if index_path.exists() {
        return Ok(());
    }
    let ours = ["lock", "blobs", "admin.sock", "tls", "lost+found", high_water::FILE];
    for entry in fs::read_dir(root).map_err(io_error(root))? {
        let name = entry.map_err(io_error(root))?.file_name();
        if !ours.iter().any(|own| name == *own) {
            return Err(OpenError::NotOurs(root.to_owned()));
        }
    }
    Ok(())
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path: PathBuf = path.to_owned();
    move |source| OpenError::Io { path, source }
}
