//! A store in a temporary directory, with a clock that stands still, an org, an owner and hosts.

use std::sync::Arc;

use bytes::Bytes;
use kheeper_model::api::{HostRecord, HostSettings, Quota};
use kheeper_model::{
    AttemptId, Clock as _, Crc64Nvme, HostId, KeyId, ManualClock, Md5Digest, Namespace, ObjectHeaders, ObjectKey,
    Timestamp,
};
use kheeper_store::{
    Background, Caller, CallerId, HostCredential, HostStore, Integrity, KeyOwner, NewJoinToken, NewKey, NewObject,
    Precondition, Store, StoreError, StoreOptions, Written,
};
use tempfile::TempDir;

/// A time in the middle of a month.
pub(crate) const NOON: Timestamp = Timestamp(1_795_348_800_000);

/// A store with an org `myorg` and its owner.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Store,
    pub(crate) owner: Caller,
}

/// A host that has joined.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) record: HostRecord,
    pub(crate) caller: Caller,
    pub(crate) store: HostStore,
}

pub(crate) fn options(directory: &TempDir, clock: &Arc<ManualClock>) -> StoreOptions {
    let mut options = StoreOptions::new(directory.path());
    options.clock = clock.clone();
    options.background = Background::Off;
    options
}

pub(crate) async fn fixture() -> Fixture {
    fixture_with(|_| {}).await
}

pub(crate) async fn fixture_with(change: impl FnOnce(&mut StoreOptions)) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOON));
    let mut options = options(&directory, &clock);
    change(&mut options);
    let store = Store::open(options).await.unwrap();
    let user = store.create_user("alice".parse().unwrap()).await.unwrap();
    let key = new_key(1);
    let owner = KeyOwner::User(user.id.clone());
    store.register_key(owner, key.clone(), kheeper_model::api::KeyState::Active).await.unwrap();
    let owner = Caller { key_id: key.key_id, subject: CallerId::User(user.id), from: None };
    store.create_org(&owner, "myorg".parse().unwrap()).await.unwrap();
    Fixture { directory, clock, store, owner }
}

impl Fixture {
    /// A host of `myorg` with the key of that number.
    pub(crate) async fn host(&self, name: &str, key: u8) -> Host {
        let namespace = namespace(name);
        let token = NewJoinToken { secret_sha256: [key; 32], expires_at: self.clock.now().plus_secs(3600) };
        self.store.create_host(&self.owner, &namespace, HostCredential::JoinToken(token)).await.unwrap();
        let joined = self.store.join([key; 32], new_key(key)).await.unwrap();
        self.joined_host(name, joined.host_id, joined.key_id).await
    }

    pub(crate) async fn joined_host(&self, name: &str, host_id: HostId, key_id: KeyId) -> Host {
        let namespace = namespace(name);
        let record = self.store.host(&namespace).await.unwrap().unwrap();
        let caller = Caller { key_id, subject: CallerId::Host(host_id), from: None };
        let store = self.store.host_store(caller.clone(), namespace, record.namespace_id.clone());
        Host { record, caller, store }
    }

    /// Changes what holds for `web-01`.
    pub(crate) async fn set(&self, settings: HostSettings) {
        self.store.set_host(&self.owner, &namespace("web-01"), settings).await.unwrap();
    }

    pub(crate) async fn set_retention(&self, secs: u64) {
        self.set(HostSettings { retention_secs: Some(secs), ..HostSettings::default() }).await;
    }

    pub(crate) async fn set_quota(&self, quota: Quota) {
        self.set(HostSettings { quota: Some(quota), ..HostSettings::default() }).await;
    }

    /// Closes the store and opens the directory again.
    pub(crate) async fn reopen(self) -> Self {
        let Self { directory, clock, store, owner } = self;
        store.close().await;
        let store = Store::open(options(&directory, &clock)).await.unwrap();
        Self { directory, clock, store, owner }
    }

    /// Nothing contradicts anything, every byte verifies, and nothing is left over.
    pub(crate) async fn assert_clean(&self) {
        let report = self.store.fsck(kheeper_store::FsckOptions { read_data: true }).await.unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
    }
}

impl Host {
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> Result<Written, StoreError> {
        let began = self.store_now();
        self.put_new(new_object(name, began), bytes).await
    }

    pub(crate) async fn put_new(&self, object: NewObject, bytes: &[u8]) -> Result<Written, StoreError> {
        let mut writer = self.store.begin_put(object).await?;
        for piece in bytes.chunks(300_000) {
            writer.write(Bytes::copy_from_slice(piece)).await?;
        }
        writer.commit(integrity(bytes)).await
    }

    pub(crate) async fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let object = self.store.reader().get(&key(name)).await?;
        let bytes = object.meta.bytes;
        read_all(object.stream(0..bytes).await?).await
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.store.delete(&key(name), AttemptId::random()).await.unwrap();
    }

    fn store_now(&self) -> Timestamp {
        NOON
    }
}

pub(crate) async fn read_all(mut stream: kheeper_store::ContentStream) -> Result<Vec<u8>, StoreError> {
    let mut read = Vec::new();
    while let Some(bytes) = stream.next().await {
        read.extend_from_slice(&bytes?);
    }
    Ok(read)
}

pub(crate) fn new_object(name: &str, began: Timestamp) -> NewObject {
    NewObject {
        key: key(name),
        attempt: AttemptId::random(),
        began,
        length: None,
        headers: ObjectHeaders::new(),
        precondition: Precondition::NONE,
    }
}

pub(crate) fn integrity(bytes: &[u8]) -> Integrity {
    let mut md5 = md5_simd::Md5::new();
    md5.update(bytes);
    Integrity {
        length: bytes.len() as u64,
        crc64nvme: Crc64Nvme(crc_fast::crc64_nvme(bytes)),
        md5: Md5Digest(md5.finalize()),
        checksum: None,
    }
}

/// Bytes that differ everywhere.
pub(crate) fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + at / 251 + at / 65_536) as u8).collect()
}

pub(crate) fn key(name: &str) -> ObjectKey {
    name.parse().unwrap()
}

pub(crate) fn namespace(host: &str) -> Namespace {
    Namespace { org: "myorg".parse().unwrap(), host: host.parse().unwrap() }
}

pub(crate) fn new_key(number: u8) -> NewKey {
    let key_id = format!("{}{number:03}", "K".repeat(40)).parse().unwrap();
    NewKey { key_id, public_key: [number; 32] }
}
