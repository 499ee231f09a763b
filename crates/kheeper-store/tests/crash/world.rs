//! A store on a simulated disk that can be stopped, hurt and opened again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use kheeper_model::api::KeyState;
use kheeper_model::{Clock as _, ManualClock, Namespace, ObjectKey, Timestamp};
use kheeper_store::{
    Background, Caller, CallerId, FsckOptions, HostCredential, HostStore, KeyOwner, ListEntry, ListQuery, NewKey,
    OpenError, Randomness, Store, StoreError, StoreOptions, UploadEntry, UploadQuery,
};
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use tempfile::TempDir;

use crate::model::{Model, RETENTION_SECS};
use crate::operation::KEYS;
use crate::sim_disk::{Fault, Loss, SimDisk, Step};

/// A time in the middle of a month.
const NOON: Timestamp = Timestamp(1_795_348_800_000);

/// Random bytes that a seed decides.
struct Seeded(Mutex<StdRng>);

impl Randomness for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

pub(crate) struct World {
    directory: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) disk: SimDisk,
    randomness: Arc<dyn Randomness>,
    pub(crate) store: Store,
    pub(crate) host: HostStore,
    caller: Caller,
    pub(crate) model: Model,
}

/// The index is SQLite's own business here: in memory if there is such a place.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

pub(crate) fn key(name: &str) -> ObjectKey {
    name.parse().unwrap()
}

impl World {
    pub(crate) async fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(NOON));
        let disk = SimDisk::new(Arc::clone(&clock));
        let randomness: Arc<dyn Randomness> = Arc::new(Seeded(Mutex::new(StdRng::seed_from_u64(seed))));
        let directory = directory();
        let store = Store::open(options(directory.path(), &clock, &disk, &randomness)).await.unwrap();
        let new_key = |letter: &str| NewKey { key_id: letter.repeat(43).parse().unwrap(), public_key: [0; 32] };
        let user = store.create_user("alice".parse().unwrap()).await.unwrap();
        store.register_key(KeyOwner::User(user.id.clone()), new_key("a"), KeyState::Active).await.unwrap();
        let owner = Caller { key_id: new_key("a").key_id, subject: CallerId::User(user.id), from: None };
        store.create_org(&owner, "myorg".parse().unwrap()).await.unwrap();
        let namespace: Namespace = "myorg/web-01".parse().unwrap();
        let credential = HostCredential::PublicKey(new_key("h"));
        let record = store.create_host(&owner, &namespace, credential).await.unwrap();
        store.activate_key(&new_key("h").key_id, None).await.unwrap();
        let caller = Caller { key_id: new_key("h").key_id, subject: CallerId::Host(record.id), from: None };
        let host = store.host_store(caller.clone(), namespace, record.namespace_id);
        Self { directory, clock, disk, randomness, store, host, caller, model: Model::default() }
    }

    /// Time passes, as on a server that says now and then that it does.
    pub(crate) async fn pass_hours(&mut self, count: u64) {
        // What lies idle for a week would be swept, which is another test's.
        let old = self.clock.now().minus_secs(3 * 24 * 3600);
        for upload in self.model.uploads.extract_if(.., |upload| upload.active_at < old) {
            self.host.abort_upload(&key(&upload.key), &upload.id).await.unwrap();
        }
        for _ in 0..count {
            self.clock.advance_secs(3599);
            self.store.heartbeat().await.unwrap();
        }
    }

    /// From here on the disk must keep what the model holds.
    pub(crate) fn require(&mut self) {
        let required = self.model.required(self.clock.now());
        self.disk.require(required);
    }

    /// The process dies now, the disk loses what it may, and a new process opens what is left, hurt itself by `fault`.
    pub(crate) async fn crash(&mut self, loss: Loss, chance: &mut StdRng, fault: Option<(u64, Fault)>) -> Option<Step> {
        // What the index had when the process died: its own files, as they are. Its commits are whole or not there.
        let directory = directory();
        for name in ["index.db", "index.db-wal"] {
            let from = self.directory.path().join(name);
            if from.exists() {
                std::fs::copy(from, directory.path().join(name)).unwrap();
            }
        }
        self.disk.lose(loss, chance);
        self.disk.begin(fault);
        let opened = self.open(directory.path()).await;
        let (faulted, _) = self.disk.end();
        let store = match opened {
            Ok(store) if !self.disk.is_stopped() => store,
            // Stopped while it started: once more, unhurt.
            stopped => {
                if let Ok(store) = stopped {
                    store.close().await;
                }
                self.disk.lose(loss, chance);
                self.open(directory.path()).await.unwrap()
            }
        };
        let (namespace, id) = (self.host.namespace().clone(), self.host.namespace_id().clone());
        self.host = store.host_store(self.caller.clone(), namespace, id);
        let old = std::mem::replace(&mut self.store, store);
        old.close().await;
        self.directory = directory;
        faulted
    }

    async fn open(&self, path: &Path) -> Result<Store, OpenError> {
        Store::open(options(path, &self.clock, &self.disk, &self.randomness)).await
    }

    /// The whole bytes of an object; none if the index says that there is none.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let object = match self.host.reader().get(&key(name)).await {
            Ok(object) => object,
            Err(StoreError::NoSuchKey) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut stream = object.stream(0..object.meta.bytes).await?;
        let mut read = Vec::new();
        while let Some(bytes) = stream.next().await {
            read.extend_from_slice(&bytes?);
        }
        Ok(Some(read))
    }

    /// Everything is as the model says: every byte, every name, every part; and fsck finds nothing.
    pub(crate) async fn check(&self) {
        for name in KEYS {
            let found = self.read(name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            let expected = self.model.objects.get(name).map(|object| &*object.bytes);
            assert!(found.as_ref() == expected, "{name} holds other bytes than were acknowledged");
            if let Some(object) = self.model.objects.get(name) {
                let meta = self.host.reader().head(&key(name)).await.unwrap();
                assert_eq!((meta.etag, meta.last_modified), (object.etag.clone(), object.last_modified), "{name}");
            }
        }
        self.check_listing().await;
        let query =
            UploadQuery { prefix: String::new(), delimiter: None, after_key: None, after_upload: None, max: 999 };
        let uploads = self.host.list_uploads(query).await.unwrap().entries;
        let ids: BTreeSet<_> = uploads
            .iter()
            .map(|entry| match entry {
                UploadEntry::Upload(upload) => upload.id,
                UploadEntry::CommonPrefix(prefix) => panic!("{prefix}"),
            })
            .collect();
        assert_eq!(ids, self.model.uploads.iter().map(|upload| upload.id).collect());
        for upload in &self.model.uploads {
            let parts = self.host.list_parts(&key(&upload.key), &upload.id, 0, 999).await.unwrap().parts;
            let found: Vec<_> = parts.iter().map(|part| (part.number, part.bytes, part.etag.clone())).collect();
            let expected: Vec<_> = upload
                .parts
                .iter()
                .map(|(number, part)| (*number, part.bytes.len() as u64, part.listed.etag.clone()))
                .collect();
            assert_eq!(found, expected);
        }
        let report = self.store.fsck(FsckOptions { read_data: true }).await.unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
    }

    /// What is listed is what is there, page by page.
    pub(crate) async fn check_listing(&self) {
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let query = ListQuery { prefix: Vec::new(), delimiter: None, after: after.take(), max: 3 };
            let page = self.host.reader().list(query).await.unwrap();
            for entry in page.entries {
                let ListEntry::Object(object) = entry else { panic!("{entry:?}") };
                listed.push((object.key.as_str().to_owned(), object.bytes, object.etag, object.last_modified));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let expected: Vec<_> = self
            .model
            .objects
            .iter()
            .map(|(name, object)| (name.clone(), object.bytes.len() as u64, object.etag.clone(), object.last_modified))
            .collect();
        assert_eq!(listed, expected);
    }
}

fn options(path: &Path, clock: &Arc<ManualClock>, disk: &SimDisk, randomness: &Arc<dyn Randomness>) -> StoreOptions {
    let mut options = StoreOptions::new(path);
    options.clock = clock.clone();
    options.disk = Arc::new(disk.clone());
    options.randomness = Arc::clone(randomness);
    options.defaults.retention_secs = RETENTION_SECS;
    options.background = Background::Off;
    options.index_readers = 1;
    options
}
