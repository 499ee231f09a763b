//! Reading a blob: contiguous hops, each chunk verified before any of it is given out.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::format::{CHUNK_BYTES, CRC_BYTES, ChunkCrc, STORED_CHUNK_BYTES, chunk_offset};
use super::{BlobReader, BlobSpan};
use crate::disk::DiskFile;
use crate::error::StoreError;
use crate::failpoint::{self, Reached};

/// Chunks of one disk hop: 1 MiB.
const CHUNKS_PER_HOP: u64 = 16;

/// Reads a span of a blob.
pub(crate) struct LocalReader {
    open: Arc<OpenBlob>,
    /// The first hop, which was read when the blob was opened.
    first: Option<Vec<Bytes>>,
    /// The next byte of the payload to give out.
    position: u64,
    end: u64,
}

pub(crate) struct OpenBlob {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) span: BlobSpan,
    pub(crate) chunk_crc: ChunkCrc,
}

impl LocalReader {
    /// Reads the first hop, too. Blocks.
    pub(crate) fn start(open: OpenBlob) -> Result<Self, StoreError> {
        let (position, end) = (open.span.offset, open.span.offset + open.span.bytes);
        let first = if position < end { Some(open.read(position, end)?) } else { None };
        Ok(Self { open: Arc::new(open), first, position, end })
    }
}

#[async_trait]
impl BlobReader for LocalReader {
    async fn next(&mut self) -> Result<Vec<Bytes>, StoreError> {
        if self.position >= self.end {
            return Ok(Vec::new());
        }
        let batch = match self.first.take() {
            Some(first) => first,
            None => {
                let (open, position, end) = (Arc::clone(&self.open), self.position, self.end);
                let hop = tokio::task::spawn_blocking(move || open.read(position, end)).await;
                hop.map_err(|stopped| StoreError::internal(format!("a disk hop stopped: {stopped}")))??
            }
        };
        self.position += batch.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        Ok(batch)
    }
}

impl OpenBlob {
    /// Reads and verifies one hop of the payload, from `position` on and not beyond `end`. Blocks.
    pub(crate) fn read(&self, position: u64, end: u64) -> Result<Vec<Bytes>, StoreError> {
        let chunk_bytes = CHUNK_BYTES as u64;
        let first = position / chunk_bytes;
        let after = end.div_ceil(chunk_bytes).min(first + CHUNKS_PER_HOP);
        let payload_end = (after * chunk_bytes).min(self.span.payload_bytes);
        let wanted = (payload_end - first * chunk_bytes + (after - first) * CRC_BYTES as u64) as usize;
        let stored = Bytes::from(self.read_exact(chunk_offset(first), wanted)?);

        // Only a benchmark can leave it out, and only of a build that is not shipped.
        let unverified = matches!(failpoint::reach("blob.verify"), Ok(Reached::Skip));
        let mut batch = Vec::with_capacity((after - first) as usize);
        let mut rest = stored;
        for number in first..after {
            let mut chunk = rest.split_to(rest.len().min(STORED_CHUNK_BYTES));
            if !unverified && !self.chunk_crc.verifies(number, &chunk) {
                return Err(self.damaged("a chunk fails its checksum"));
            }
            chunk.truncate(chunk.len() - CRC_BYTES);
            let start = position.saturating_sub(number * chunk_bytes).min(chunk.len() as u64) as usize;
            let stop = (end - number * chunk_bytes).min(chunk.len() as u64) as usize;
            batch.push(chunk.slice(start..stop));
        }
        Ok(batch)
    }

    fn read_exact(&self, offset: u64, bytes: usize) -> Result<Vec<u8>, StoreError> {
        let mut buffer: Vec<u8> = Vec::with_capacity(bytes);
        while buffer.len() < bytes {
            let at = offset + buffer.len() as u64;
            // The spare capacity may be larger than was asked for; what is read beyond is cut off below.
            let read = self.file.read_at(&mut buffer, at).map_err(|error| StoreError::io("read a blob", error))?;
            if read == 0 {
                return Err(self.damaged("its file ends too early"));
            }
        }
        buffer.truncate(bytes);
        Ok(buffer)
    }

    fn damaged(&self, what: &'static str) -> StoreError {
        StoreError::Damaged { blob: self.span.name.to_string().into(), what }
    }
}
