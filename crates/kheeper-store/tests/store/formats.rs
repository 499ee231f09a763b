//! A data directory of every format that was ever written opens with this build, and nothing in it has changed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use kheeper_model::api::{HostState, KeyState};
use kheeper_model::{HostId, ManualClock};
use kheeper_store::{Caller, CallerId, Store, StoreError, UploadEntry, UploadQuery};
use tempfile::TempDir;

use crate::fixture::{Fixture, Host, NOON, key, namespace, new_key, options, payload};

/// A copy of a fixture's data directory, as it is in the repository.
fn copy_of(format: u32) -> TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}/data"));
    let directory = tempfile::tempdir().unwrap();
    copy(&from, directory.path());
    directory
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The fixture, opened an hour after it was begun, which is when it was closed.
async fn open(directory: TempDir) -> (Fixture, Host) {
    let clock = Arc::new(ManualClock::new(NOON.plus_secs(3_660)));
    let store = Store::open(options(&directory, &clock)).await.unwrap();
    let users = store.users().await.unwrap();
    let owner = Caller { key_id: new_key(1).key_id, subject: CallerId::User(users[0].id.clone()), from: None };
    let fixture = Fixture { directory, clock, store, owner };
    let host: HostId = fixture.store.host(&namespace("web-01")).await.unwrap().unwrap().id;
    let host = fixture.joined_host("web-01", host, new_key(9).key_id).await;
    (fixture, host)
}

#[tokio::test]
async fn a_directory_of_format_1_opens_and_everything_in_it_is_as_it_was() {
    let (fixture, host) = open(copy_of(1)).await;
    for (name, bytes) in [
        ("web-01/small", b"tiny".to_vec()),
        ("web-01/large", payload(150_000)),
        ("web-01/overwritten", payload(5_000)),
        ("web-01/complete", payload(30_000)),
    ] {
        assert!(host.read(name).await.unwrap() == bytes, "{name}");
    }
    let object = host.store.reader().head(&key("web-01/overwritten")).await.unwrap();
    assert_eq!(object.last_modified, NOON.plus_secs(60));
    let object = host.store.reader().head(&key("web-01/complete")).await.unwrap();
    assert_eq!(object.part_count, Some(1));
    assert_eq!(object.headers.get("content-type"), Some("application/x-tar"));
    assert!(matches!(host.read("web-01/deleted").await, Err(StoreError::NoSuchKey)));
    // Hidden versions too: every byte verifies, and the ledger agrees with the rows.
    fixture.assert_clean().await;
    let record = fixture.store.host(&namespace("web-01")).await.unwrap().unwrap();
    assert_eq!((record.objects, record.current_bytes), (4, 4 + 150_000 + 5_000 + 30_000));
    assert_eq!((record.hidden_bytes, record.uploading_bytes), (20_000 + 6_000, 7_000));

    let keys = fixture.store.keys().await.unwrap();
    assert!(keys.len() == 2 && keys.iter().all(|key| key.state == KeyState::Active), "{keys:?}");
    let hosts = fixture.store.hosts(&"myorg".parse().unwrap()).await.unwrap();
    let states: Vec<_> = hosts.iter().map(|host| (host.host.as_str(), host.state)).collect();
    assert_eq!(states, [("db-01", HostState::Invited), ("web-01", HostState::Active)]);
    let usage = fixture.store.usage(&"myorg".parse().unwrap(), None, None).await.unwrap();
    let web = usage.iter().find(|usage| usage.host.as_str() == "web-01").unwrap();
    assert_eq!((web.ingress_bytes, web.egress_bytes, web.write_requests), (211_004, 150_000, 9));
}

#[tokio::test]
async fn a_directory_of_format_1_is_written_to_as_if_it_were_new() {
    let (fixture, host) = open(copy_of(1)).await;
    let query = UploadQuery { prefix: String::new(), delimiter: None, after_key: None, after_upload: None, max: 10 };
    let uploads = host.store.list_uploads(query).await.unwrap().entries;
    let [UploadEntry::Upload(upload)] = uploads.as_slice() else { panic!("{uploads:?}") };
    assert_eq!(upload.key, key("web-01/open"));
    let parts = host.store.list_parts(&upload.key, &upload.id, 0, 10).await.unwrap().parts;
    let [part] = parts.as_slice() else { panic!("{parts:?}") };
    let listed = kheeper_store::CompletePart { number: 1, etag: part.etag.clone(), checksums: Vec::new() };
    host.store.complete_upload(complete(upload.id, listed)).await.unwrap();
    assert!(host.read("web-01/open").await.unwrap() == payload(7_000));
    host.put("web-01/large", &payload(160_000)).await.unwrap();
    host.delete("web-01/small").await;
    let other = fixture.host("app-01", 11).await;
    other.put("app-01/a", &payload(9_000)).await.unwrap();
    drop((host, other));
    fixture.assert_clean().await;
    let fixture = fixture.reopen().await;
    fixture.assert_clean().await;
    assert!(fixture.directory.path().join("index.format-1.db").exists(), "a copy of the old index is kept");
}

fn complete(upload: kheeper_model::ContentId, part: kheeper_store::CompletePart) -> kheeper_store::CompleteRequest {
    kheeper_store::CompleteRequest {
        key: key("web-01/open"),
        upload,
        parts: vec![part],
        attempt: kheeper_model::AttemptId::random(),
        object_bytes: None,
        checksum: None,
        checksum_kind: None,
        precondition: kheeper_store::Precondition::NONE,
    }
}

#[tokio::test]
async fn a_directory_of_format_2_opens_and_everything_in_it_is_as_it_was() {
    const DAY: u64 = 24 * 3600;
    let (fixture, host) = open(copy_of(2)).await;
    for (name, bytes) in [
        ("web-01/small", b"tiny".to_vec()),
        ("web-01/large", payload(150_000)),
        ("web-01/overwritten", payload(5_000)),
        ("web-01/restored", payload(8_000)),
    ] {
        assert!(host.read(name).await.unwrap() == bytes, "{name}");
    }
    let head = async |name: &str| host.store.reader().head(&key(name)).await.unwrap();
    assert_eq!(head("web-01/restored").await.last_modified, NOON);
    assert_eq!(head("web-01/overwritten").await.last_modified, NOON.plus_secs(60));
    assert_eq!(head("web-01/small").await.headers.get("x-amz-tagging"), Some("team=db"));
    fixture.assert_clean().await;

    let record = fixture.store.host(&namespace("web-01")).await.unwrap().unwrap();
    assert_eq!((record.objects, record.current_bytes), (4, 4 + 150_000 + 5_000 + 8_000));
    // The version that was restored shares the bytes of the one that was deleted, and each counts.
    assert_eq!((record.hidden_bytes, record.uploading_bytes), (20_000 + 8_000, 7_000));
    assert_eq!((record.retention_secs, record.no_overwrite), (Some(8 * DAY), true));
    let states: Vec<_> = record.keys.iter().map(|key| key.state).collect();
    assert_eq!(states, [KeyState::Active, KeyState::Pending]);
    let org = "myorg".parse().unwrap();
    assert_eq!(fixture.store.org(&org).await.unwrap().unwrap().retention_secs, Some(9 * DAY));
    let invited = fixture.store.host(&namespace("db-01")).await.unwrap().unwrap();
    assert_eq!((invited.state, invited.retention_secs), (HostState::Invited, Some(9 * DAY)));
    assert_eq!(fixture.store.grants(&org).await.unwrap().len(), 1);
    assert_eq!(fixture.store.members(&org).await.unwrap().len(), 2);
    let chains = fixture.store.verify_audit().await.unwrap();
    assert!(chains.len() == 2 && chains.iter().all(|chain| chain.broken.is_none() && chain.records > 0), "{chains:?}");
    assert!(fixture.store.scrub_status().await.unwrap().last.is_some());
    // Nothing in it is taken for an older copy or for a snapshot.
    assert_eq!(fixture.store.quarantined_since().await.unwrap(), None);
    assert_eq!(fixture.store.sweep().await.unwrap().refused, None);
}
