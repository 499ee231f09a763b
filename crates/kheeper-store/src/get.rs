//! GET and HEAD: what is current, or was, and its bytes, verified before they are given out.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use kheeper_model::{Checksum, ChecksumAlgorithm, ChecksumKind, Crc64Nvme, ObjectKey};
use tokio::task::JoinHandle;

use crate::as_of::AsOf;
use crate::blob::{BlobReader, BlobSpan};
use crate::error::{Denied, StoreError};
use crate::index::{ContentBody, Segment};
use crate::object::ObjectMeta;
use crate::scope::ReadScope;
use crate::store::Store;

/// Reads the namespaces of a scope.
#[derive(Debug, Clone)]
pub struct ReadStore {
    pub(crate) store: Store,
    pub(crate) scope: ReadScope,
    pub(crate) as_of: AsOf,
}

/// An object that was found, with its bytes at hand.
#[derive(Debug, Clone)]
pub struct ObjectHandle {
    /// What it is.
    pub meta: ObjectMeta,
    store: Store,
    body: ContentBody,
    crc64nvme: Crc64Nvme,
}

impl ReadStore {
    pub(crate) fn new(store: Store, scope: ReadScope, as_of: AsOf) -> Self {
        Self { store, scope, as_of }
    }

    /// What may be read.
    pub fn scope(&self) -> &ReadScope {
        &self.scope
    }

    /// The object of a key. [`StoreError::NoSuchKey`] only if the index says that there is none.
    pub async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        self.check_holds(key)?;
        self.store.index().object(self.scope.org(), key, self.as_of).await?.ok_or(StoreError::NoSuchKey)
    }

    /// The object of a key, with its bytes at hand: they stay readable, also if it is overwritten meanwhile.
    pub async fn get(&self, key: &ObjectKey) -> Result<ObjectHandle, StoreError> {
        self.check_holds(key)?;
        let found = self.store.index().object_with_content(self.scope.org(), key, self.as_of).await?;
        let (meta, body, crc64nvme) = found.ok_or(StoreError::NoSuchKey)?;
        Ok(ObjectHandle { meta, store: self.store.clone(), body, crc64nvme })
    }

    fn check_holds(&self, key: &ObjectKey) -> Result<(), StoreError> {
        if self.scope.holds(key) { Ok(()) } else { Err(Denied::OutsideNamespace.into()) }
    }
}

impl ObjectHandle {
    /// The object's checksum: its client's, or the CRC-64/NVME that every object has.
    pub fn checksum(&self) -> Checksum {
        self.meta.checksum.clone().unwrap_or_else(|| self.crc64nvme_checksum())
    }

    /// The CRC-64/NVME of its bytes, as a checksum.
    pub fn crc64nvme_checksum(&self) -> Checksum {
        let (algorithm, kind) = (ChecksumAlgorithm::Crc64nvme, ChecksumKind::FullObject);
        Checksum { algorithm, kind, value: self.crc64nvme.to_base64() }
    }

    /// Where its parts begin and end, in order: those it was uploaded in, or itself as the only one.
    pub fn parts(&self) -> Vec<Range<u64>> {
        match &self.body {
            ContentBody::Blobs(manifest) if self.meta.part_count.is_some() => {
                manifest.segments().iter().map(|part| part.offset..part.offset + part.bytes).collect()
            }
            ContentBody::Blobs(_) | ContentBody::Inline(_) => std::iter::once(0..self.meta.bytes).collect(),
        }
    }

    /// The checksum of each part, where its upload was created for one.
    pub async fn part_checksums(&self) -> Result<Option<Vec<Checksum>>, StoreError> {
        if self.meta.part_count.is_none() {
            return Ok(None);
        }
        self.store.index().part_checksums(&self.meta.content).await
    }

    /// The bytes of a range, which must lie within the object.
    ///
    /// The first batch is read and verified before this returns, so that damage there is still an error answer.
    pub async fn stream(&self, range: Range<u64>) -> Result<ContentStream, StoreError> {
        if range.start > range.end || range.end > self.meta.bytes {
            return Err(StoreError::internal("a range outside of the object"));
        }
        match &self.body {
            ContentBody::Inline(bytes) => {
                if bytes.len() as u64 != self.meta.bytes {
                    let blob = format!("small bytes of {}", self.meta.content).into();
                    return Err(StoreError::Damaged { blob, what: "another number of bytes than the index says" });
                }
                let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
                let (start, end) = bounds.ok_or_else(|| StoreError::internal("a small object that is not small"))?;
                Ok(ContentStream::of_bytes(bytes.slice(start..end)))
            }
            ContentBody::Blobs(manifest) => {
                let spans = spans(manifest.segments(), &range);
                ContentStream::open(self.store.clone(), spans, range.end - range.start).await
            }
        }
    }
}

/// The spans of the blobs that hold a range, in order.
fn spans(segments: &[Segment], range: &Range<u64>) -> VecDeque<BlobSpan> {
    let first = segments.partition_point(|segment| segment.offset + segment.bytes <= range.start);
    segments[first..]
        .iter()
        .take_while(|segment| segment.offset < range.end)
        .map(|segment| {
            let start = range.start.max(segment.offset);
            let end = range.end.min(segment.offset + segment.bytes);
            BlobSpan {
                name: segment.blob,
                payload_bytes: segment.bytes,
                offset: start - segment.offset,
                bytes: end - start,
            }
        })
        .filter(|span| span.bytes > 0)
        .collect()
}

/// Verified bytes, in order: as many as were asked for, or an error. One batch is read ahead while another is sent.
pub struct ContentStream {
    ready: VecDeque<Bytes>,
    source: Source,
    remaining: u64,
}

enum Source {
    Ended,
    Reading(JoinHandle<(Reader, Result<Vec<Bytes>, StoreError>)>),
}

/// Reads spans one after another.
struct Reader {
    store: Store,
    spans: VecDeque<BlobSpan>,
    open: Option<Box<dyn BlobReader>>,
}

impl ContentStream {
    fn of_bytes(bytes: Bytes) -> Self {
        let remaining = bytes.len() as u64;
        Self { ready: VecDeque::from_iter((!bytes.is_empty()).then_some(bytes)), source: Source::Ended, remaining }
    }

    async fn open(store: Store, spans: VecDeque<BlobSpan>, bytes: u64) -> Result<Self, StoreError> {
        let mut reader = Reader { store, spans, open: None };
        let first = reader.next().await?;
        let mut stream = Self { ready: VecDeque::new(), source: Source::Ended, remaining: bytes };
        stream.take(reader, first);
        Ok(stream)
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        std::future::poll_fn(|context| self.poll_bytes(context)).await
    }

    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, StoreError>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                self.remaining = self.remaining.saturating_sub(bytes.len() as u64);
                return Poll::Ready(Some(Ok(bytes)));
            }
            let Source::Reading(reading) = &mut self.source else {
                // A content that ends early must never look like a short object.
                let short = std::mem::take(&mut self.remaining);
                let error = StoreError::internal("a content ended before its last byte");
                return Poll::Ready((short > 0).then_some(Err(error)));
            };
            let done = ready!(Pin::new(reading).poll(context));
            self.source = Source::Ended;
            match done {
                Ok((reader, Ok(batch))) => self.take(reader, batch),
                Ok((_, Err(error))) => {
                    self.remaining = 0;
                    return Poll::Ready(Some(Err(error)));
                }
                Err(stopped) => {
                    self.remaining = 0;
                    return Poll::Ready(Some(Err(StoreError::internal(format!("a read stopped: {stopped}")))));
                }
            }
        }
    }

    /// Takes a batch, and begins to read the one after it.
    fn take(&mut self, mut reader: Reader, batch: Vec<Bytes>) {
        self.ready.extend(batch);
        if reader.has_more() {
            self.source = Source::Reading(tokio::spawn(async move {
                let next = reader.next().await;
                (reader, next)
            }));
        }
    }
}

impl Drop for ContentStream {
    fn drop(&mut self) {
        if let Source::Reading(reading) = &self.source {
            reading.abort();
        }
    }
}

impl Stream for ContentStream {
    type Item = Result<Bytes, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_bytes(context)
    }
}

impl Reader {
    fn has_more(&self) -> bool {
        self.open.is_some() || !self.spans.is_empty()
    }

    /// The next batch of at most 1 MiB; empty at the end.
    async fn next(&mut self) -> Result<Vec<Bytes>, StoreError> {
        loop {
            if let Some(open) = &mut self.open {
                let batch = open.next().await?;
                if !batch.is_empty() {
                    return Ok(batch);
                }
                self.open = None;
            }
            let Some(span) = self.spans.pop_front() else {
                return Ok(Vec::new());
            };
            self.open = Some(self.store.shared.blobs.open(span).await?);
        }
    }
}

#[cfg(test)]
mod tests {
    use kheeper_model::{ContentId, Timestamp};

    use super::*;
    use crate::blob::BlobName;
    use crate::index::Manifest;

    #[test]
    fn a_range_takes_only_the_parts_it_touches() {
        let content = ContentId::random(Timestamp::from_secs(1));
        let blob = |part| BlobName { content, part, suffix: [0; 8] };
        let manifest = Manifest::new([(blob(1), 10), (blob(2), 0), (blob(3), 5), (blob(4), 7)]);
        let touched = |range: Range<u64>| -> Vec<(u32, u64, u64)> {
            spans(manifest.segments(), &range).iter().map(|s| (s.name.part, s.offset, s.bytes)).collect()
        };
        assert_eq!(touched(0..22), [(1, 0, 10), (3, 0, 5), (4, 0, 7)]);
        assert_eq!(touched(9..11), [(1, 9, 1), (3, 0, 1)]);
        assert_eq!(touched(10..15), [(3, 0, 5)]);
        assert_eq!(touched(15..15), []);
        assert_eq!(touched(21..22), [(4, 6, 1)]);
    }
}
