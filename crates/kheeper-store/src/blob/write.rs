//! Writing a blob: bytes gather until they fill a disk hop, and one hop writes while the next gathers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use kheeper_model::Crc64Nvme;
use tokio::task::JoinHandle;

use super::directory::BeforeName;
use super::format::{CHUNK_BYTES, ChunkCrc, header};
use super::local::Ground;
use super::{BlobName, BlobSum, BlobWriter};
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;

/// Bytes of one disk hop.
const HOP_BYTES: usize = 1 << 20;

/// A blob that is being written to the local disk. Dropped before it is finished, it is removed.
pub(crate) struct LocalWriter {
    ground: Arc<Ground>,
    name: BlobName,
    before_name: BeforeName,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    /// Hops begun; all but the last one have ended.
    hops: u64,
    writing: Writing,
}

/// Who has the file: nobody yet, us, a hop on a blocking thread, or nobody any more.
enum Writing {
    Idle(Box<Progress>),
    Hop(JoinHandle<Result<Box<Progress>, StoreError>>),
    Ended,
}

/// The file so far. Only touched on blocking threads.
struct Progress {
    disk: Arc<dyn Disk>,
    file: Option<Box<dyn DiskFile>>,
    path: PathBuf,
    chunk_crc: ChunkCrc,
    payload_crc: Digest,
    bytes: u64,
    /// Whether the blob stays when this is dropped: only once it is finished.
    kept: bool,
    /// The CRC of the chunk that is not full yet, and how many bytes of it there are.
    open_chunk: Option<(Digest, usize)>,
    chunks: u64,
}

impl LocalWriter {
    pub(crate) fn new(ground: Arc<Ground>, name: BlobName) -> Self {
        let progress = Progress {
            disk: Arc::clone(&ground.disk),
            file: None,
            path: ground.directories.file(&name),
            chunk_crc: ChunkCrc::new(&name),
            payload_crc: Digest::new(CrcAlgorithm::Crc64Nvme),
            bytes: 0,
            kept: false,
            open_chunk: None,
            chunks: 0,
        };
        let writing = Writing::Idle(Box::new(progress));
        let before_name = ground.directory_sync.before_name();
        Self { ground, name, before_name, gathered: Vec::new(), gathered_bytes: 0, hops: 0, writing }
    }

    /// Waits for the hop that is under way, if one is.
    async fn idle(&mut self) -> Result<Box<Progress>, StoreError> {
        match std::mem::replace(&mut self.writing, Writing::Ended) {
            Writing::Idle(progress) => Ok(progress),
            Writing::Hop(hop) => {
                hop.await.map_err(|stopped| StoreError::internal(format!("a disk hop stopped: {stopped}")))?
            }
            Writing::Ended => Err(StoreError::internal("a blob that failed earlier")),
        }
    }

    /// Starts to write what has gathered.
    async fn start_hop(&mut self, last: bool) -> Result<(), StoreError> {
        let mut progress = self.idle().await?;
        self.hops += 1;
        let batch = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        let (ground, name) = (Arc::clone(&self.ground), self.name);
        let permit = self.ground.write_permit().await?;
        self.writing = Writing::Hop(tokio::task::spawn_blocking(move || {
            let written =
                progress.write(&ground, &name, &batch).and_then(|()| if last { progress.finish() } else { Ok(()) });
            drop(permit);
            // A file that failed goes away with its progress: no commit was sent for it.
            written.map(|()| progress).map_err(|error| StoreError::io("write a blob", error))
        }));
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for LocalWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        if self.gathered_bytes >= HOP_BYTES { self.start_hop(false).await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> Result<BlobSum, StoreError> {
        // After an earlier hop the file has its name already: the directory is synced while the last bytes are.
        let named = self.hops > 0;
        self.start_hop(true).await?;
        let ground = Arc::clone(&self.ground);
        let (directory, before_name) = (ground.directories.of(&self.name), self.before_name);
        let (progress, name_synced) = if named {
            tokio::join!(self.idle(), ground.directory_sync.sync(directory, before_name))
        } else {
            let progress = self.idle().await;
            (progress, ground.directory_sync.sync(directory, before_name).await)
        };
        let mut progress = progress?;
        // Both the bytes and the name are durable, or this is an error.
        name_synced?;
        let sum = BlobSum { bytes: progress.bytes, crc64nvme: Crc64Nvme(progress.payload_crc.finalize()) };
        progress.kept = true;
        Ok(sum)
    }

    async fn discard(mut self: Box<Self>) {
        if let Ok(mut progress) = self.idle().await {
            let removed = progress.take_unkept();
            let _ = tokio::task::spawn_blocking(move || drop(removed)).await;
        }
    }
}

/// A file to remove when dropped.
struct Unkept {
    disk: Arc<dyn Disk>,
    _file: Box<dyn DiskFile>,
    path: PathBuf,
}

impl Drop for Unkept {
    fn drop(&mut self) {
        if let Err(error) = self.disk.remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "failed to remove an unfinished blob; sweep will");
        }
    }
}

impl Drop for Progress {
    /// However writing ends, also by its request going away at any `await`, an unfinished file does not stay.
    fn drop(&mut self) {
        let Some(unkept) = self.take_unkept() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(unkept))),
            Err(_) => drop(unkept),
        }
    }
}

impl Progress {
    /// Writes a batch, with the CRC of each chunk that it completes. The first batch makes the file.
    fn write(&mut self, ground: &Ground, name: &BlobName, batch: &[Bytes]) -> io::Result<()> {
        let begun = self.file.is_some();
        let mut pieces = Pieces::default();
        if !begun {
            self.file = Some(create(ground, name, &self.path)?);
            pieces.push_own(header(name).to_vec());
        }
        for bytes in batch {
            self.payload_crc.update(bytes);
            self.bytes += bytes.len() as u64;
            let mut rest = bytes.clone();
            while !rest.is_empty() {
                let (crc, filled) = self.open_chunk.get_or_insert_with(|| (self.chunk_crc.begin(self.chunks), 0));
                let piece = rest.split_to(rest.len().min(CHUNK_BYTES - *filled));
                crc.update(&piece);
                *filled += piece.len();
                let full = *filled == CHUNK_BYTES;
                pieces.push(piece);
                if full {
                    self.close_chunk(&mut pieces);
                }
            }
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("no file"))?.write(&pieces.0)
    }

    /// Writes the last chunk's CRC, and makes the file durable.
    fn finish(&mut self) -> io::Result<()> {
        let mut pieces = Pieces::default();
        if self.open_chunk.is_some() {
            self.close_chunk(&mut pieces);
        }
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("no file"))?;
        file.write(&pieces.0)?;
        file.sync()
    }

    fn close_chunk(&mut self, pieces: &mut Pieces) {
        if let Some((crc, _)) = self.open_chunk.take() {
            pieces.push_own(crc.finalize().to_be_bytes().to_vec());
            self.chunks += 1;
        }
    }

    /// The file, if one was made and it is not to stay.
    fn take_unkept(&mut self) -> Option<Unkept> {
        let file = self.file.take()?;
        (!self.kept).then(|| Unkept { disk: Arc::clone(&self.disk), _file: file, path: self.path.clone() })
    }
}

/// Makes the file; the day's directories too, if they are not there.
fn create(ground: &Ground, name: &BlobName, path: &Path) -> io::Result<Box<dyn DiskFile>> {
    let open = || ground.disk.create(path);
    ground.directories.prepare(name.content.day)?;
    match open() {
        // The day was removed for being empty between the two steps.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ground.directories.remove_empty(name.content.day);
            ground.directories.prepare(name.content.day)?;
            open()
        }
        opened => opened,
    }
}

/// Slices to write one after another, without copying them together.
#[derive(Default)]
struct Pieces(Vec<Bytes>);

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        self.0.push(piece);
    }

    fn push_own(&mut self, piece: Vec<u8>) {
        self.0.push(Bytes::from(piece));
    }
}
