//! A PUT on a disk that fails: nothing is acknowledged, nothing is visible, and what failed is not tried again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use kheeper_model::api::KeyState;
use kheeper_model::{AttemptId, Crc64Nvme, Md5Digest, ObjectHeaders, Timestamp};

use crate::blob::{BlobName, BlobReader, BlobSpan, BlobStore, BlobSum, BlobWriter, ListedBlob};
use crate::{
    Background, Caller, CallerId, FsckOptions, HostCredential, HostStore, Integrity, KeyOwner, NewKey, NewObject,
    Precondition, Store, StoreError, StoreOptions, Written,
};

/// A blob store whose syncs fail with an error of the operating system.
struct FailingSync {
    blobs: Arc<dyn BlobStore>,
    error: rustix::io::Errno,
    syncs: AtomicUsize,
}

struct FailingWriter {
    writer: Box<dyn BlobWriter>,
    error: rustix::io::Errno,
}

#[async_trait]
impl BlobStore for FailingSync {
    async fn create(&self, name: BlobName) -> Result<Box<dyn BlobWriter>, StoreError> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(FailingWriter { writer: self.blobs.create(name).await?, error: self.error }))
    }

    async fn open(&self, span: BlobSpan) -> Result<Box<dyn BlobReader>, StoreError> {
        self.blobs.open(span).await
    }

    async fn delete(&self, names: Vec<BlobName>) -> Result<(), StoreError> {
        self.blobs.delete(names).await
    }

    async fn days(&self) -> Result<Vec<u32>, StoreError> {
        self.blobs.days().await
    }

    async fn list(&self, day: u32) -> Result<Vec<ListedBlob>, StoreError> {
        self.blobs.list(day).await
    }

    async fn forget_day(&self, day: u32) -> Result<(), StoreError> {
        self.blobs.forget_day(day).await
    }

    async fn payload_bytes(&self, names: Vec<BlobName>) -> Result<Vec<Option<u64>>, StoreError> {
        self.blobs.payload_bytes(names).await
    }
}

#[async_trait]
impl BlobWriter for FailingWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.writer.write(bytes).await
    }

    async fn finish(self: Box<Self>) -> Result<BlobSum, StoreError> {
        self.writer.discard().await;
        Err(StoreError::io("sync a blob", io::Error::from(self.error)))
    }

    async fn discard(self: Box<Self>) {
        self.writer.discard().await;
    }
}

/// A host in a store whose blob syncs fail.
async fn failing(error: rustix::io::Errno) -> (tempfile::TempDir, Arc<FailingSync>, Store, HostStore) {
    let directory = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(directory.path());
    options.background = Background::Off;
    let store = Store::open(options).await.unwrap();
    let mut shared = Arc::try_unwrap(store.shared).unwrap_or_else(|_| panic!("the store was just opened"));
    let blobs = Arc::new(FailingSync { blobs: shared.blobs, error, syncs: AtomicUsize::new(0) });
    shared.blobs = blobs.clone();
    let store = Store { shared: Arc::new(shared) };

    let key = |letter: &str| NewKey { key_id: letter.repeat(43).parse().unwrap(), public_key: [0; 32] };
    let user = store.create_user("alice".parse().unwrap()).await.unwrap();
    store.register_key(KeyOwner::User(user.id.clone()), key("a"), KeyState::Active).await.unwrap();
    let owner = Caller { key_id: key("a").key_id, subject: CallerId::User(user.id), from: None };
    store.create_org(&owner, "myorg".parse().unwrap()).await.unwrap();
    let namespace = "myorg/web-01".parse().unwrap();
    let host = store.create_host(&owner, &namespace, HostCredential::PublicKey(key("h"))).await.unwrap();
    store.activate_key(&key("h").key_id, None).await.unwrap();
    let caller = Caller { key_id: key("h").key_id, subject: CallerId::Host(host.id), from: None };
    let host = store.host_store(caller, namespace, host.namespace_id);
    (directory, blobs, store, host)
}

async fn put(host: &HostStore, bytes: usize) -> Result<Written, StoreError> {
    let body = Bytes::from(vec![7; bytes]);
    let object = NewObject {
        key: "web-01/a".parse().unwrap(),
        attempt: AttemptId::random(),
        began: Timestamp(0),
        length: Some(bytes as u64),
        headers: ObjectHeaders::new(),
        precondition: Precondition::NONE,
    };
    let integrity = Integrity {
        length: bytes as u64,
        crc64nvme: Crc64Nvme(crc_fast::crc64_nvme(&body)),
        md5: Md5Digest([0; 16]),
        checksum: None,
    };
    let mut writer = host.begin_put(object).await?;
    writer.write(body).await?;
    writer.commit(integrity).await
}

#[tokio::test]
async fn a_failed_sync_of_a_blob_is_an_error_and_not_tried_again() {
    let (_directory, blobs, store, host) = failing(rustix::io::Errno::IO).await;
    assert!(matches!(put(&host, 100_000).await, Err(StoreError::Io { .. })));
    assert_eq!(blobs.syncs.load(Ordering::SeqCst), 1);
    assert!(matches!(host.reader().head(&"web-01/a".parse().unwrap()).await, Err(StoreError::NoSuchKey)));
    let report = store.fsck(FsckOptions::default()).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.contents, report.orphan_blobs), (0, 0));
    // The index and what needs no blob go on.
    put(&host, 10).await.unwrap();
    assert!(matches!(put(&host, 100_000).await, Err(StoreError::Io { .. })));
    assert_eq!(host.reader().head(&"web-01/a".parse().unwrap()).await.unwrap().bytes, 10);
}

#[tokio::test]
async fn a_disk_that_fills_up_under_a_body_is_storage_full() {
    let (_directory, _, _, host) = failing(rustix::io::Errno::NOSPC).await;
    assert!(matches!(put(&host, 100_000).await, Err(StoreError::StorageFull)));
    let (_directory, _, _, host) = failing(rustix::io::Errno::MFILE).await;
    assert!(matches!(put(&host, 100_000).await, Err(StoreError::Busy(_))));
}
