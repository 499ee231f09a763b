//! Blobs: immutable files that hold the bytes of one content, or of one part of it.
//!
//! A blob is created under its final, random name and never renamed into meaning: whether it counts is the index's
//! word. The format is described in `format.rs`.

pub(crate) mod directory;
pub(crate) mod format;
pub(crate) mod local;
mod name;
mod read;
mod write;

use async_trait::async_trait;
use bytes::Bytes;
use kheeper_model::{Crc64Nvme, Timestamp};

pub use name::BlobName;

use crate::error::StoreError;

/// Where blobs are kept.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Makes a new, empty blob. Its name must never have been used.
    async fn create(&self, name: BlobName) -> Result<Box<dyn BlobWriter>, StoreError>;
    /// Opens a span of a blob's payload, and reads and verifies its beginning.
    async fn open(&self, span: BlobSpan) -> Result<Box<dyn BlobReader>, StoreError>;
    /// Removes blobs; those that are not there are no error.
    async fn delete(&self, names: Vec<BlobName>) -> Result<(), StoreError>;
    /// The days that have blobs, as `yyyymmdd`, ascending.
    async fn days(&self) -> Result<Vec<u32>, StoreError>;
    /// The blobs of contents made on a day.
    async fn list(&self, day: u32) -> Result<Vec<ListedBlob>, StoreError>;
    /// Lets go of what an empty day still takes; a day that has blobs stays as it is.
    async fn forget_day(&self, day: u32) -> Result<(), StoreError>;
    /// Bytes of the payload a blob of this name has room for; `None` if there is no such blob.
    async fn payload_bytes(&self, names: Vec<BlobName>) -> Result<Vec<Option<u64>>, StoreError>;
}

/// A blob that is being written.
#[async_trait]
pub trait BlobWriter: Send {
    /// Takes bytes. They may not be on the disk yet when this returns; an error may be reported by a later call.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;
    /// Writes what is left, and makes the blob and its name durable. A failed sync is not tried again.
    async fn finish(self: Box<Self>) -> Result<BlobSum, StoreError>;
    /// Removes the blob.
    async fn discard(self: Box<Self>);
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobSum {
    /// Bytes of the payload.
    pub bytes: u64,
    /// Their CRC.
    pub crc64nvme: Crc64Nvme,
}

/// Which bytes of which blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobSpan {
    /// The blob.
    pub name: BlobName,
    /// Bytes of its whole payload.
    pub payload_bytes: u64,
    /// The first byte wanted.
    pub offset: u64,
    /// Bytes wanted.
    pub bytes: u64,
}

/// Bytes of a blob, in order.
#[async_trait]
pub trait BlobReader: Send {
    /// The next bytes, verified; empty at the end.
    async fn next(&mut self) -> Result<Vec<Bytes>, StoreError>;
}

/// A blob as a listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedBlob {
    /// Its name.
    pub name: BlobName,
    /// Bytes it takes on the disk.
    pub disk_bytes: u64,
    /// When it was last written to.
    pub modified: Timestamp,
}
