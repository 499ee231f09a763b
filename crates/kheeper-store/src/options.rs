//! How a store is opened.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kheeper_model::limits::{REQUESTS_MAX_DEFAULT, RETENTION_SECS_DEFAULT};
use kheeper_model::{Clock, SystemClock};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

use crate::disk::{Disk, RealDisk};

/// How to open a store. [`Self::new`] gives the defaults that `kheeper-server serve` uses.
#[derive(Clone)]
pub struct StoreOptions {
    /// The data directory; created if it is not there.
    pub data_dir: PathBuf,
    /// The index's clock.
    pub clock: Arc<dyn Clock>,
    /// What holds for namespaces of which nothing else was said.
    pub defaults: NamespaceDefaults,
    /// The disk that blobs lie on; a test passes its own.
    pub disk: Arc<dyn Disk>,
    /// Where names that were never used come from; a test passes its own.
    pub randomness: Arc<dyn Randomness>,
    /// How much space there is; a test passes its own.
    pub space: Arc<dyn SpaceProbe>,
    /// Whether the store flushes, folds and sweeps by itself.
    pub background: Background,
    /// How fast the background reads what is stored, to see whether it is what was written. None means that it does not.
    pub scrub_bytes_per_sec: Option<NonZeroU64>,
    /// Connections that read the index at the same time.
    pub index_readers: usize,
    /// Bodies that are written at the same time, at most: a crash leaves as many blobs that no row names.
    pub bodies_at_once_max: u64,
}

impl StoreOptions {
    /// The defaults, for a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            clock: Arc::new(SystemClock),
            defaults: NamespaceDefaults { retention_secs: RETENTION_SECS_DEFAULT, quota_bytes: None },
            disk: Arc::new(RealDisk),
            randomness: Arc::new(SystemRandomness),
            space: Arc::new(FileSystemSpace),
            background: Background::Run,
            scrub_bytes_per_sec: None,
            index_readers: 4,
            bodies_at_once_max: REQUESTS_MAX_DEFAULT.into(),
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("data_dir", &self.data_dir)
            .field("defaults", &self.defaults)
            .field("background", &self.background)
            .finish_non_exhaustive()
    }
}

/// What holds for namespaces of which nothing else was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamespaceDefaults {
    /// Seconds for which a new namespace keeps overwritten and deleted versions.
    pub retention_secs: u64,
    /// Bytes that a namespace may hold, current, hidden and uploading together; none is no limit.
    pub quota_bytes: Option<u64>,
}

/// Whether the store does its upkeep by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Traffic is flushed every 10 s, usage folded every minute, and swept every hour.
    Run,
    /// Nothing happens that is not called for: for tests and one-off commands.
    Off,
}

/// Where random bytes come from.
pub trait Randomness: Send + Sync + 'static {
    /// Fills `bytes`. What it gives must never come again.
    fn fill(&self, bytes: &mut [u8]);
}

/// The kernel's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        OsRng.try_fill_bytes(bytes).expect("the kernel's random source answers once the machine has booted");
    }
}

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes it has.
    pub total_bytes: u64,
    /// Bytes that we may still write.
    pub free_bytes: u64,
}

/// How much space there is for new bodies.
pub trait SpaceProbe: Send + Sync + 'static {
    /// The space of the file system that holds `path`. May block.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// What the file system says.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSystemSpace;

impl SpaceProbe for FileSystemSpace {
    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}
