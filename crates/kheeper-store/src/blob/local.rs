//! Blobs on the local disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use kheeper_model::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use super::directory::ShardChoice;
use super::directory::{Directories, DirectorySync, SHARD_COUNT};
use super::format::{self, ChunkCrc, HEADER_BYTES, header};
use super::read::{LocalReader, OpenBlob};
use super::write::LocalWriter;
use super::{BlobName, BlobReader, BlobSpan, BlobStore, BlobWriter, ListedBlob};
use crate::disk::Disk;
use crate::error::StoreError;

/// Disk hops that write at the same time. The rest of the blocking threads stays free for reads, however slow syncs are.
const WRITES_AT_ONCE_MAX: usize = 192;

/// The disk, the directories and the threads that all blobs of a data directory share.
pub(crate) struct Ground {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directories: Directories,
    pub(crate) directory_sync: DirectorySync,
    writes: Arc<Semaphore>,
}

impl Ground {
    pub(crate) async fn write_permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        Arc::clone(&self.writes).acquire_owned().await.map_err(|_| StoreError::unavailable("the store is closing"))
    }
}

/// Blobs on the local disk.
pub(crate) struct LocalBlobs {
    ground: Arc<Ground>,
}

impl LocalBlobs {
    /// Uses `root`, which must be there, and makes today's and tomorrow's directories. Blocks.
    pub(crate) fn open(disk: Arc<dyn Disk>, root: PathBuf, days: [u32; 2]) -> io::Result<Self> {
        let directories = Directories::new(Arc::clone(&disk), root);
        for day in days {
            match directories.prepare(day) {
                // A full or read-only disk still serves reads, and says so when something is written.
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, day, "failed to make a day's directories of blobs"),
            }
        }
        let writes = Arc::new(Semaphore::new(WRITES_AT_ONCE_MAX));
        let directory_sync = DirectorySync::start(Arc::clone(&disk))?;
        Ok(Self { ground: Arc::new(Ground { disk, directories, directory_sync, writes }) })
    }

    /// Does disk work away from the async threads.
    async fn on_disk<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Ground) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let ground = Arc::clone(&self.ground);
        let done = tokio::task::spawn_blocking(move || work(&ground)).await;
        done.map_err(|stopped| StoreError::internal(format!("{what} stopped: {stopped}")))?
            .map_err(|error| StoreError::io(what, error))
    }
}

#[async_trait]
impl BlobStore for LocalBlobs {
    async fn create(&self, name: BlobName) -> Result<Box<dyn BlobWriter>, StoreError> {
        Ok(Box::new(LocalWriter::new(Arc::clone(&self.ground), name)))
    }

    async fn open(&self, span: BlobSpan) -> Result<Box<dyn BlobReader>, StoreError> {
        let ground = Arc::clone(&self.ground);
        let opened = tokio::task::spawn_blocking(move || LocalReader::start(open(&ground, span)?)).await;
        let reader = opened.map_err(|stopped| StoreError::internal(format!("opening a blob stopped: {stopped}")))??;
        Ok(Box::new(reader))
    }

    async fn delete(&self, names: Vec<BlobName>) -> Result<(), StoreError> {
        self.on_disk("delete blobs", move |ground| {
            names.iter().try_for_each(|name| remove_if_there(&*ground.disk, &ground.directories.file(name)))
        })
        .await
    }

    async fn days(&self) -> Result<Vec<u32>, StoreError> {
        self.on_disk("list days of blobs", |ground| days(&*ground.disk, ground.directories.root())).await
    }

    async fn list(&self, day: u32) -> Result<Vec<ListedBlob>, StoreError> {
        self.on_disk("list blobs", move |ground| list_day(&*ground.disk, ground.directories.root(), day)).await
    }

    async fn forget_day(&self, day: u32) -> Result<(), StoreError> {
        self.on_disk("remove a day's directories", move |ground| {
            ground.directories.remove_empty(day);
            Ok(())
        })
        .await
    }

    async fn payload_bytes(&self, names: Vec<BlobName>) -> Result<Vec<Option<u64>>, StoreError> {
        self.on_disk("look at blobs", move |ground| {
            names
                .iter()
                .map(|name| match ground.disk.file_bytes(&ground.directories.file(name)) {
                    // A length that no blob has is not the right one, whatever the index says.
                    Ok(bytes) => Ok(Some(format::payload_bytes(bytes).unwrap_or(u64::MAX))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error),
                })
                .collect()
        })
        .await
    }
}

fn open(ground: &Ground, span: BlobSpan) -> Result<OpenBlob, StoreError> {
    open_file(&*ground.disk, &ground.directories.file(&span.name), span)
}

/// Reads all of the file of a blob: whether it is what was written. Blocks.
pub(crate) fn verify_file(disk: &dyn Disk, path: &Path, name: BlobName, bytes: u64) -> Result<(), StoreError> {
    let open = open_file(disk, path, BlobSpan { name, payload_bytes: bytes, offset: 0, bytes })?;
    let mut position = 0;
    while position < bytes {
        position += open.read(position, bytes)?.iter().map(|read| read.len() as u64).sum::<u64>();
    }
    Ok(())
}

/// Opens a blob, and checks its header and length. A blob that is not there is damage: the index refers to it.
fn open_file(disk: &dyn Disk, path: &Path, span: BlobSpan) -> Result<OpenBlob, StoreError> {
    let damaged = |what| StoreError::Damaged { blob: span.name.to_string().into(), what };
    let file = disk.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => damaged("it is not there"),
        _ => StoreError::io("open a blob", error),
    })?;
    let length = file.bytes().map_err(|error| StoreError::io("look at a blob", error))?;
    if length != format::file_bytes(span.payload_bytes) {
        return Err(damaged("its file has another length than the index says"));
    }
    let mut found = Vec::with_capacity(HEADER_BYTES);
    file.read_at(&mut found, 0).map_err(|error| StoreError::io("read a blob", error))?;
    if !found.starts_with(&header(&span.name)) {
        return Err(damaged("its header is not its own"));
    }
    Ok(OpenBlob { file, span, chunk_crc: ChunkCrc::new(&span.name) })
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The days that have directories, ascending. Blocks.
pub(crate) fn days(disk: &dyn Disk, root: &Path) -> io::Result<Vec<u32>> {
    let mut days: Vec<u32> = disk.list(root)?.iter().filter_map(|entry| entry.name.parse().ok()).collect();
    days.sort_unstable();
    Ok(days)
}

/// The blobs of a day. Blocks.
pub(crate) fn list_day(disk: &dyn Disk, root: &Path, day: u32) -> io::Result<Vec<ListedBlob>> {
    let day = root.join(format!("{day:08}"));
    let mut blobs = Vec::new();
    for shard in 0..SHARD_COUNT {
        list_shard(disk, &day.join(format!("{shard:02x}")), &mut blobs)?;
    }
    Ok(blobs)
}

fn list_shard(disk: &dyn Disk, path: &Path, blobs: &mut Vec<ListedBlob>) -> io::Result<()> {
    let entries = match disk.list(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let Ok(name) = entry.name.parse() else { continue };
        let modified = entry.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = Timestamp(i64::try_from(modified.as_millis()).unwrap_or(i64::MAX));
        blobs.push(ListedBlob { name, disk_bytes: entry.bytes, modified });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;
    use kheeper_model::{ContentId, Crc64Nvme};

    use super::*;
    use crate::disk::RealDisk;
    use crate::options::SystemRandomness;

    struct Fixture {
        _directory: tempfile::TempDir,
        blobs: LocalBlobs,
        name: BlobName,
        payload: Vec<u8>,
    }

    async fn fixture(bytes: usize) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let content = ContentId::random(Timestamp::from_secs(1_700_000_000));
        let blobs =
            LocalBlobs::open(Arc::new(RealDisk), directory.path().to_owned(), [content.day, content.day + 1]).unwrap();
        let name = BlobName::random(&SystemRandomness, content, 0, 0);
        let payload: Vec<u8> = (0..bytes).map(|at| (at * 31 / 7 % 251) as u8).collect();
        let mut writer = blobs.create(name).await.unwrap();
        // Pieces that fit neither chunks nor hops.
        for piece in Bytes::from(payload.clone()).chunks(48_611) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let sum = writer.finish().await.unwrap();
        assert_eq!(sum.bytes, bytes as u64);
        assert_eq!(sum.crc64nvme, Crc64Nvme(crc_fast::crc64_nvme(&payload)));
        Fixture { _directory: directory, blobs, name, payload }
    }

    impl Fixture {
        fn span(&self, offset: u64, bytes: u64) -> BlobSpan {
            BlobSpan { name: self.name, payload_bytes: self.payload.len() as u64, offset, bytes }
        }

        async fn read(&self, offset: u64, bytes: u64) -> Result<Vec<u8>, StoreError> {
            let mut reader = self.blobs.open(self.span(offset, bytes)).await?;
            let mut read = Vec::new();
            loop {
                let batch = reader.next().await?;
                if batch.is_empty() {
                    return Ok(read);
                }
                batch.iter().for_each(|bytes| read.extend_from_slice(bytes));
            }
        }

        fn path(&self) -> PathBuf {
            self.blobs.ground.directories.file(&self.name)
        }
    }

    #[tokio::test]
    async fn every_range_reads_back_what_was_written() {
        for bytes in [0, 1, 65_535, 65_536, 65_537, 1 << 20, (3 << 20) + 17] {
            let fixture = fixture(bytes).await;
            assert_eq!(fixture.read(0, bytes as u64).await.unwrap(), fixture.payload, "{bytes}");
            let edges = [0, 1, 65_535, 65_536, 65_537, 1 << 20, bytes / 2, bytes.saturating_sub(1), bytes];
            for start in edges.into_iter().filter(|start| *start <= bytes) {
                for end in edges.into_iter().filter(|end| start <= *end && *end <= bytes) {
                    let read = fixture.read(start as u64, (end - start) as u64).await.unwrap();
                    assert_eq!(read, fixture.payload[start..end], "{bytes}: {start}..{end}");
                }
            }
            let names = vec![fixture.name, BlobName { part: 9, ..fixture.name }];
            assert_eq!(fixture.blobs.payload_bytes(names).await.unwrap(), [Some(bytes as u64), None]);
        }
    }

    #[tokio::test]
    async fn damage_is_an_error_and_never_data() {
        let fixture = fixture(200_000).await;
        let path = fixture.path();
        let good = fs::read(&path).unwrap();
        for at in [0, 20, 60, 64, 64 + 65_535, 64 + 65_536, 64 + 65_544, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&path, &bad).unwrap();
            assert!(matches!(fixture.read(0, 200_000).await, Err(StoreError::Damaged { .. })), "byte {at}");
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(matches!(fixture.read(0, 1).await, Err(StoreError::Damaged { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(fixture.read(0, 1).await, Err(StoreError::Damaged { .. })));
    }

    #[tokio::test]
    async fn swapped_chunks_and_swapped_blobs_fail() {
        let fixture = fixture(3 * format::CHUNK_BYTES).await;
        let path = fixture.path();
        let mut swapped = fs::read(&path).unwrap();
        let (first, second) = swapped[HEADER_BYTES..].split_at_mut(format::STORED_CHUNK_BYTES);
        first.swap_with_slice(&mut second[..format::STORED_CHUNK_BYTES]);
        fs::write(&path, &swapped).unwrap();
        assert!(matches!(fixture.read(0, 1).await, Err(StoreError::Damaged { .. })));
    }

    #[tokio::test]
    async fn a_blob_is_listed_by_day_until_it_is_deleted() {
        let fixture = fixture(10).await;
        let day = fixture.name.content.day;
        assert_eq!(fixture.blobs.days().await.unwrap(), [day, day + 1]);
        let listed = fixture.blobs.list(day).await.unwrap();
        assert_eq!(listed.iter().map(|blob| blob.name).collect::<Vec<_>>(), [fixture.name]);
        fixture.blobs.delete(vec![fixture.name, fixture.name]).await.unwrap();
        assert!(fixture.blobs.list(day).await.unwrap().is_empty());
        fixture.blobs.forget_day(day).await.unwrap();
        assert_eq!(fixture.blobs.days().await.unwrap(), [day + 1]);
    }

    #[tokio::test]
    async fn a_name_is_never_written_twice_and_a_discarded_blob_is_gone() {
        let fixture = fixture(10).await;
        let again = fixture.blobs.create(fixture.name).await.unwrap();
        assert!(again.finish().await.is_err());
        assert_eq!(fixture.read(0, 10).await.unwrap(), fixture.payload);
        let name = BlobName { part: 1, ..fixture.name };
        let mut discarded = fixture.blobs.create(name).await.unwrap();
        discarded.write(Bytes::from(vec![0; 2 << 20])).await.unwrap();
        discarded.discard().await;
        assert_eq!(fixture.blobs.payload_bytes(vec![name]).await.unwrap(), [None]);
    }
}
