//! Bodies that stall, over a connection in memory and with time that passes only when everybody waits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kheeper_identity::token::mint::{AccessRequest, mint_access};
use kheeper_identity::{PrivateKey, SubjectId};
use kheeper_model::api::KeyState;
use kheeper_model::{Clock as _, HostId, Namespace, SystemClock};
use kheeper_net::Linger;
use kheeper_store::{Background, Caller, CallerId, HostCredential, KeyOwner, NewKey, Store, StoreOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;

use crate::app::{App, AppParts};
use crate::bounds::Bounds;
use crate::connections::ConnectionBounds;
use crate::listen;
use crate::request::handle::Handler;
use crate::request::places::{Demand, Excess, PlaceBounds};

const ORIGIN: &str = "http://127.0.0.1:9000";
const HALF: usize = 3 << 20;

/// A server without a socket, and a host that has one place in it.
struct Scene {
    app: Arc<App>,
    caller: CallerId,
    token: String,
    directory: TempDir,
    _drain: watch::Sender<bool>,
    draining: watch::Receiver<bool>,
}

async fn scene() -> Scene {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut options = StoreOptions::new(directory.path());
    options.background = Background::Off;
    let store = Store::open(options).await.expect("an empty directory");
    let (host, key) = host(&store).await;
    let audience = ORIGIN.parse().expect("an origin");
    let now = SystemClock.now();
    let subject = SubjectId::Host(host.clone());
    let request = AccessRequest { subject: &subject, audience: &audience, now, ttl_secs: 3600, scope: None };
    let token = mint_access(&key, &request).reveal().to_owned();
    let places = PlaceBounds {
        requests: 8,
        requests_per_caller: 1,
        lists_per_caller: 1,
        body_bytes_per_caller: u64::MAX,
        waiting_per_caller: 8,
        wait: Duration::from_secs(10),
    };
    let app = App::new(AppParts {
        store,
        origins: vec![audience],
        ca_pin: None,
        prices: None,
        clock: Arc::new(SystemClock),
        behind: Vec::new(),
        bounds: Bounds { connections: ConnectionBounds::new(8, 8), places, body_rate_min: 0 },
    });
    let (drain, draining) = watch::channel(false);
    let app = app.await.expect("the store answers");
    Scene { app, caller: CallerId::Host(host), token, directory, _drain: drain, draining }
}

/// An org, its owner, and the host `web-01` with a key.
async fn host(store: &Store) -> (HostId, PrivateKey) {
    let keys = [PrivateKey::generate().expect("randomness"), PrivateKey::generate().expect("randomness")];
    let new_key =
        |key: &PrivateKey| NewKey { key_id: key.public_key().key_id(), public_key: *key.public_key().as_bytes() };
    let user = store.create_user("alice".parse().expect("a name")).await.expect("a new user");
    let owner_key = new_key(&keys[0]);
    let owner = KeyOwner::User(user.id.clone());
    store.register_key(owner, owner_key.clone(), KeyState::Active).await.expect("a new key");
    let owner = Caller { key_id: owner_key.key_id, subject: CallerId::User(user.id), from: None };
    store.create_org(&owner, "myorg".parse().expect("a name")).await.expect("a new org");
    let namespace = Namespace { org: "myorg".parse().expect("a name"), host: "web-01".parse().expect("a name") };
    let credential = HostCredential::PublicKey(new_key(&keys[1]));
    store.create_host(&owner, &namespace, credential).await.expect("a new host");
    let host = store.host(&namespace).await.expect("the index answers").expect("it was just created");
    let [_, key] = keys;
    (host.id, key)
}

impl Scene {
    /// A connection to the server.
    fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let peer = ([127, 0, 0, 1], 4000).into();
        let (handler, draining) = (Handler::new(&self.app), self.draining.clone());
        let open = self.app.connections.open(peer);
        tokio::spawn(async move { listen::http(theirs, Linger::default(), peer, handler, &open, draining).await });
        ours
    }

    /// Begins a PUT of `length` bytes, and returns once the server reads its body.
    async fn begin_put(&self, name: &str, length: usize) -> DuplexStream {
        let mut connection = self.connect();
        let head = format!(
            "PUT /myorg/web-01/{name} HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
            self.token
        );
        connection.write_all(head.as_bytes()).await.expect("the server reads");
        let mut go_on = [0; 25];
        connection.read_exact(&mut go_on).await.expect("the server answers");
        assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
        connection
    }

    /// Waits, in real time, until so many blobs are on the disk.
    async fn wait_for_blobs(&self, count: usize) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while files_below(&self.directory.path().join("blobs")) != count {
            assert!(std::time::Instant::now() < deadline, "there are never {count} blobs");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn files_below(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let of = |entry: std::fs::DirEntry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 };
    entries.map_while(Result::ok).map(of).sum()
}

async fn answer_of(mut connection: DuplexStream) -> String {
    let mut answer = Vec::new();
    // What follows a refusal may be the end of the connection in any form.
    let _ = connection.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_of_which_nothing_comes_for_75_seconds_is_refused_and_its_place_and_its_blob_are_free() {
    const SMALL: Demand = Demand { is_list: false, body_bytes: 1 };
    let scene = scene().await;
    let mut connection = scene.begin_put("stalled", 2 * HALF).await;
    connection.write_all(&vec![7; HALF]).await.expect("the server reads");
    scene.wait_for_blobs(1).await;

    tokio::time::pause();
    let refused = scene.app.places.take(&scene.caller, SMALL).await.err();
    assert_eq!(refused, Some(Excess::Requests), "the place is held, for the ten seconds that this waited too");
    let mut early = [0; 1];
    let silent = tokio::time::timeout(Duration::from_secs(64), connection.read(&mut early)).await;
    assert!(silent.is_err(), "74 seconds are not too long");
    let answer = tokio::time::timeout(Duration::from_secs(2), connection.read(&mut early)).await;
    assert_eq!(answer.expect("75 seconds are").expect("an answer"), 1);
    let place = scene.app.places.take(&scene.caller, SMALL).await.map_err(|_| "the place is not free").unwrap();
    assert!(!place.was_waited_for(), "it was free already");
    tokio::time::resume();
    let answer = format!("{}{}", char::from(early[0]), answer_of(connection).await);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("<Code>RequestTimeout</Code>"), "{answer}");
    scene.wait_for_blobs(0).await;
}

#[tokio::test]
async fn a_body_of_a_byte_a_second_goes_on_for_as_long_as_it_takes() {
    const SECONDS: usize = 1200;
    let scene = scene().await;
    let body = Bytes::from(vec![7; HALF + SECONDS + 1]);
    let mut connection = scene.begin_put("slow", body.len()).await;
    connection.write_all(&body[..HALF]).await.expect("the server reads");
    scene.wait_for_blobs(1).await;
    tokio::time::pause();
    for second in 0..SECONDS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        connection.write_all(&body[HALF + second..=HALF + second]).await.expect("the server reads on");
    }
    // The commit is the work of another thread, whose time passes by itself.
    tokio::time::resume();
    connection.write_all(&body[HALF + SECONDS..]).await.expect("the server reads on");
    let answer = answer_of(connection).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
