//! Copies of a whole store, taken while it serves.
//!
//! The index is copied first, as it is at one moment, and then every blob that the copy names. Nothing of that can go away
//! meanwhile: blobs never change, and what the index lets go is removed a day later at the earliest. A blob that is there
//! already is not copied again, so that the next snapshot into the same directory takes what is new.
//!
//! A snapshot is a data directory. It is in quarantine (see `index/sqlite/snapshot.rs`) wherever it is served.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kheeper_model::limits::CONDEMNED_SECS_MIN;
use kheeper_model::{KeyId, Timestamp};

use crate::blob::directory::{self, Directories};
use crate::blob::{BlobName, format, local};
use crate::disk::{Disk, RealDisk};
use crate::error::{OpenError, StoreError};
use crate::index::sqlite::snapshot::{CopiedIndex, CopyMark};
use crate::index::{Change, SnapshotChange};
use crate::open::{io_error, lock, make_directory};
use crate::scrub_state::DamagedObject;
use crate::store::Store;
use crate::verify::{Damage, damaged_contents, name_owners};

/// How the copies of the index begin and end that are in the data directory until their snapshot has them.
const INDEX_COPY: (&str, &str) = ("snapshot-", ".db");
/// The index of the snapshot that is being written: it counts once it has its own name.
const NEW_INDEX: &str = "index.new";
/// There while a snapshot is being written: blobs may be torn.
const INCOMPLETE: &str = "snapshot.incomplete";
/// The blobs that were damaged in the store when they were copied, a name a line: the next snapshot looks at them again.
const DAMAGED: &str = "snapshot.damaged";
/// What the index names is there for a day; copying the index took some of it.
const TIME_MAX: Duration = Duration::from_secs(CONDEMNED_SECS_MIN - 3600);
/// Damaged objects that are named; more are only counted.
const DAMAGED_MAX: usize = 1000;

/// What a snapshot came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SnapshotReport {
    /// The time that it shows: what was committed before is in it.
    pub taken_at: Option<Timestamp>,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Blobs that it holds.
    pub blobs: u64,
    /// Bytes that they take.
    pub blob_bytes: u64,
    /// Of those, blobs that were not there before.
    pub copied_blobs: u64,
    /// Bytes that they take.
    pub copied_bytes: u64,
    /// Blobs of an earlier snapshot that nothing names any more, and that were removed.
    pub removed_blobs: u64,
    /// Versions and open uploads whose bytes are not what was written: in the store itself, from where they were copied.
    pub damaged: Vec<DamagedObject>,
    /// How many of those there are, named or not.
    pub damaged_count: u64,
}

/// How far a snapshot has come.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotProgress {
    /// Blobs that were looked at.
    pub blobs: u64,
    /// Bytes that were copied.
    pub copied_bytes: u64,
}

/// Why a snapshot could not be written. Messages finish the sentence "failed to write the snapshot: …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The directory holds something that is no snapshot, and is left as it is.
    #[error("{0} is not empty, and holds no snapshot: name another directory")]
    NotASnapshot(PathBuf),
    /// The directory holds a store that is, or was, in use.
    #[error("{0} holds a store that is in use, not a snapshot: name another directory")]
    InUse(PathBuf),
    /// The directory holds the snapshot of another store.
    #[error("{0} holds a snapshot of another store: name another directory")]
    OfAnother(PathBuf),
    /// What the index names may be gone by now.
    #[error(
        "it took more than a day, after which the store removes what it no longer needs. What was copied stays: say it again"
    )]
    TooSlow,
    /// A file or directory cannot be used, or the copy of the index cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Store {
    /// Copies the index as it is now to a file of its own in the data directory, for [`write_snapshot`]. Whoever asked for it
    /// removes it; if they do not, the next start does.
    pub async fn copy_index(&self) -> Result<PathBuf, StoreError> {
        let mut random = [0; 8];
        self.shared.randomness.fill(&mut random);
        let number = u64::from_be_bytes(random);
        self.commit(Change::Snapshot(SnapshotChange::Note { store_id: number >> 1 })).await?;
        let copy = self.shared.data_dir.join(format!("{}{number:016x}{}", INDEX_COPY.0, INDEX_COPY.1));
        self.shared.index.copy_to(copy.clone()).await?;
        Ok(copy)
    }

    /// Since when nobody is let in, because the store was restored from a snapshot of that time; none if it was not.
    pub async fn quarantined_since(&self) -> Result<Option<Timestamp>, StoreError> {
        self.shared.index.quarantined_since().await
    }

    /// Lets callers in again, but for those whose keys were revoked since the snapshot was taken. May be repeated.
    ///
    /// [`StoreError::UnknownKey`] if one of them is in no snapshot, and then nothing is changed.
    pub async fn end_quarantine(&self, revoked: Vec<KeyId>) -> Result<(), StoreError> {
        self.commit(Change::Snapshot(SnapshotChange::EndQuarantine { revoked })).await.map(drop)
    }
}

/// Removes copies of the index that nobody came for. Blocks.
pub(crate) fn remove_index_copies(data_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(INDEX_COPY.0) && name.ends_with(INDEX_COPY.1)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes the snapshot of the store in `data_dir` to `to`: a directory that is empty, or made, or holds an earlier snapshot
/// of the same store, which is brought up to date. `index_copy` is from [`Store::copy_index`]. Blocks.
///
/// When it returns, the snapshot is durable. If it is cut off, an earlier snapshot in `to` is as good as it was, and another
/// try goes on from there.
pub fn write_snapshot(
    data_dir: &Path,
    index_copy: &Path,
    to: &Path,
    progress: impl FnMut(SnapshotProgress),
) -> Result<SnapshotReport, SnapshotError> {
    let begun = Instant::now();
    make_directory(to)?;
    let mark = CopiedIndex::open(index_copy)?.mark()?;
    // What is no store at all gets not even a lock from us; an index is opened only once nobody else has it.
    if !to.join("index.db").exists() {
        check(to, mark)?;
    }
    let _lock = lock(to)?;
    let trusted = begin(to, mark)?;
    make_directory(&to.join("blobs"))?;

    let new_index = to.join(NEW_INDEX);
    let index_bytes = fs::copy(index_copy, &new_index).map_err(io_error(&new_index))?;
    let index = CopiedIndex::open(&new_index)?;
    let mut copying = Copying {
        from: Directories::new(Arc::new(RealDisk), data_dir.join("blobs")),
        to: Directories::new(Arc::new(RealDisk), to.join("blobs")),
        trusted,
        distrusted: read_damaged(to)?,
        report: SnapshotReport { taken_at: mark.quarantined_since, index_bytes, ..SnapshotReport::default() },
        damage: Vec::new(),
        progress,
    };
    index.each_blob(|name, bytes| copying.blob(name, bytes))?;
    if begun.elapsed() > TIME_MAX {
        return Err(SnapshotError::TooSlow);
    }
    let Copying { mut report, damage, .. } = copying;
    write_damaged(to, &damage)?;
    copy_tls(data_dir, to)?;
    let damage: Vec<Damage> = damage.into_iter().map(|(_, damage)| damage).collect();
    let damaged = name_owners(&damage, index.owners(&damaged_contents(&damage))?);
    report.damaged_count = damaged.len() as u64;
    report.damaged = damaged.into_iter().take(DAMAGED_MAX).collect();

    // All of it is durable before it counts.
    sync_all(to)?;
    complete(to, &new_index)?;
    report.removed_blobs = remove_unnamed(to, &index)?;
    Ok(report)
}

/// Refuses a directory that holds anything else than a snapshot of the same store.
fn check(to: &Path, mark: CopyMark) -> Result<(), SnapshotError> {
    let (marker, index) = (to.join(INCOMPLETE), to.join("index.db"));
    if index.exists() {
        let found = CopiedIndex::open(&index)?.mark()?;
        if found.quarantined_since.is_none() {
            return Err(SnapshotError::InUse(to.to_owned()));
        }
        if found.store_id != mark.store_id {
            return Err(SnapshotError::OfAnother(to.to_owned()));
        }
    } else if marker.exists() {
        let of = fs::read_to_string(&marker).map_err(io_error(&marker))?;
        if of != marker_text(mark) {
            return Err(SnapshotError::OfAnother(to.to_owned()));
        }
    } else if let Some(other) = fs::read_dir(to).map_err(io_error(to))?.find_map(|entry| {
        let name = entry.ok()?.file_name();
        (name != "lock" && name != "lost+found").then_some(name)
    }) {
        return Err(SnapshotError::NotASnapshot(to.join(other)));
    }
    Ok(())
}

/// Notes that a snapshot is being written, where that is allowed. Whether the blobs that are there are whole.
fn begin(to: &Path, mark: CopyMark) -> Result<bool, SnapshotError> {
    check(to, mark)?;
    let marker = to.join(INCOMPLETE);
    let was_cut_off = marker.exists();
    fs::write(&marker, marker_text(mark)).map_err(io_error(&marker))?;
    File::open(&marker).and_then(|file| file.sync_all()).map_err(io_error(&marker))?;
    directory::sync(to).map_err(io_error(to))?;
    Ok(!was_cut_off)
}

fn marker_text(mark: CopyMark) -> String {
    format!("a snapshot of store {} is being written here\n", mark.store_id.unwrap_or_default())
}

/// Blobs on their way into a snapshot.
struct Copying<P> {
    from: Directories,
    to: Directories,
    /// Whether a blob that is there already is whole.
    trusted: bool,
    /// But for these.
    distrusted: BTreeSet<String>,
    report: SnapshotReport,
    damage: Vec<(BlobName, Damage)>,
    progress: P,
}

impl<P: FnMut(SnapshotProgress)> Copying<P> {
    /// Copies one blob, unless it is there, and reads the copy to see whether it is what was once written.
    fn blob(&mut self, name: BlobName, bytes: u64) -> Result<(), OpenError> {
        let (from, to) = (self.from.file(&name), self.to.file(&name));
        self.report.blobs += 1;
        if !self.has(&to, name, bytes) {
            self.to.prepare(name.content.day).map_err(io_error(&to))?;
            match fs::copy(&from, &to) {
                Ok(copied) => {
                    self.report.copied_blobs += 1;
                    self.report.copied_bytes += copied;
                }
                // What the store itself cannot read is damage, and no reason to leave out the rest.
                Err(error) => match local::verify_file(&RealDisk, &from, name, bytes) {
                    Ok(()) => return Err(OpenError::Io { path: to, source: error }),
                    Err(problem) => {
                        self.damage.push((name, Damage::of_blob(name, words(problem))));
                        return Ok(());
                    }
                },
            }
            match local::verify_file(&RealDisk, &to, name, bytes) {
                Ok(()) => {}
                Err(problem @ StoreError::Damaged { .. }) => {
                    self.damage.push((name, Damage::of_blob(name, words(problem))));
                }
                Err(error) => return Err(OpenError::Io { path: to, source: io::Error::other(error.to_string()) }),
            }
        }
        self.report.blob_bytes += format::file_bytes(bytes);
        (self.progress)(SnapshotProgress { blobs: self.report.blobs, copied_bytes: self.report.copied_bytes });
        Ok(())
    }

    fn has(&self, path: &Path, name: BlobName, bytes: u64) -> bool {
        match RealDisk.file_bytes(path) {
            Ok(found) if self.trusted && !self.distrusted.contains(&name.to_string()) => {
                found == format::file_bytes(bytes)
            }
            Ok(_) => local::verify_file(&RealDisk, path, name, bytes).is_ok(),
            Err(_) => false,
        }
    }
}

/// What is wrong with a blob, in words.
fn words(problem: StoreError) -> String {
    match problem {
        StoreError::Damaged { what, .. } => what.to_owned(),
        other => other.to_string(),
    }
}

fn read_damaged(to: &Path) -> Result<BTreeSet<String>, OpenError> {
    let path = to.join(DAMAGED);
    match fs::read_to_string(&path) {
        Ok(names) => Ok(names.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(io_error(&path)(error)),
    }
}

fn write_damaged(to: &Path, damage: &[(BlobName, Damage)]) -> Result<(), OpenError> {
    let path = to.join(DAMAGED);
    let names: String = damage.iter().map(|(name, _)| format!("{name}\n")).collect();
    fs::write(&path, names).map_err(io_error(&path))
}

/// The certificates of `--tls-self-signed`: the hosts know the store by them.
fn copy_tls(data_dir: &Path, to: &Path) -> Result<(), OpenError> {
    let (from, to) = (data_dir.join("tls"), to.join("tls"));
    let entries = match fs::read_dir(&from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io_error(&from))?,
    };
    make_directory(&to)?;
    for entry in entries {
        let entry = entry.map_err(io_error(&from))?;
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy).map_err(io_error(&copy))?;
    }
    Ok(())
}

/// Makes everything durable that was written to the file system of `to`: one call for all blobs.
fn sync_all(to: &Path) -> Result<(), OpenError> {
    let directory = File::open(to).map_err(io_error(to))?;
    rustix::fs::syncfs(&directory).map_err(|error| OpenError::Io { path: to.to_owned(), source: error.into() })
}

/// Puts the new index in place of an earlier one.
fn complete(to: &Path, new_index: &Path) -> Result<(), OpenError> {
    let index = to.join("index.db");
    // The log of an earlier index, which somebody may have looked at, must not be read as this one's.
    for beside in ["index.db-wal", "index.db-shm"].map(|name| to.join(name)) {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&beside)(error)),
            _ => {}
        }
    }
    directory::sync(to).map_err(io_error(to))?;
    fs::rename(new_index, &index).map_err(io_error(&index))?;
    directory::sync(to).map_err(io_error(to))?;
    let marker = to.join(INCOMPLETE);
    fs::remove_file(&marker).map_err(io_error(&marker))?;
    directory::sync(to).map_err(io_error(to))
}

/// Removes the blobs of earlier snapshots that the index does not name.
fn remove_unnamed(to: &Path, index: &CopiedIndex) -> Result<u64, OpenError> {
    let root = to.join("blobs");
    let directories = Directories::new(Arc::new(RealDisk), root.clone());
    let mut removed = 0;
    for day in local::days(&RealDisk, &root).map_err(io_error(&root))? {
        let listed = local::list_day(&RealDisk, &root, day).map_err(io_error(&root))?;
        let names: Vec<BlobName> = listed.iter().map(|blob| blob.name).collect();
        for name in index.unreferenced(&names)? {
            let path = directories.file(&name);
            RealDisk.remove_file(&path).map_err(io_error(&path))?;
            removed += 1;
        }
        directories.remove_empty(day);
    }
    Ok(removed)
}
