//! Snapshots: all that was committed, nobody let in, and nothing else in the directory touched. And an index that is put
//! back from a copy is known for one.

use std::fs;
use std::path::{Path, PathBuf};

use kheeper_model::api::KeyState;
use kheeper_model::{AttemptId, ObjectHeaders, Timestamp};
use kheeper_store::{
    CompletePart, CompleteRequest, FsckOptions, HostCredential, NewJoinToken, NewPart, NewUpload, Precondition,
    SnapshotError, SnapshotReport, Store, StoreError, write_snapshot,
};
use tempfile::TempDir;

use crate::fixture::{Fixture, Host, NOON, fixture, integrity, key, namespace, new_key, options, payload};

async fn snapshot(fixture: &Fixture, to: &Path) -> Result<SnapshotReport, SnapshotError> {
    let copy = fixture.store.copy_index().await.unwrap();
    let written = write_snapshot(fixture.directory.path(), &copy, to, |_| {});
    fs::remove_file(copy).unwrap();
    written
}

/// A snapshot, opened as what it is: a data directory.
async fn open(fixture: &Fixture, directory: TempDir) -> Fixture {
    let store = Store::open(options(&directory, &fixture.clock)).await.unwrap();
    Fixture { directory, clock: fixture.clock.clone(), store, owner: fixture.owner.clone() }
}

fn same_host(host: &Host, fixture: &Fixture) -> Host {
    let namespace = namespace(host.record.host.as_str());
    let store = fixture.store.host_store(host.caller.clone(), namespace, host.record.namespace_id.clone());
    Host { record: host.record.clone(), caller: host.caller.clone(), store }
}

async fn upload(host: &Host, name: &str) -> kheeper_model::ContentId {
    let upload =
        NewUpload { key: key(name), attempt: AttemptId::random(), headers: ObjectHeaders::new(), checksum: None };
    let id = host.store.create_upload(upload).await.unwrap();
    let part = NewPart { key: key(name), upload: id, number: 1, attempt: AttemptId::random(), length: None };
    let mut writer = host.store.begin_part(part).await.unwrap();
    writer.write(payload(40_000).into()).await.unwrap();
    writer.commit(integrity(&payload(40_000))).await.unwrap();
    id
}

async fn complete(host: &Host, name: &str, id: kheeper_model::ContentId) {
    let parts = host.store.list_parts(&key(name), &id, 0, 10).await.unwrap().parts;
    let parts = parts.iter().map(|part| CompletePart { number: 1, etag: part.etag.clone(), checksums: Vec::new() });
    let request = CompleteRequest {
        key: key(name),
        upload: id,
        parts: parts.collect(),
        attempt: AttemptId::random(),
        object_bytes: None,
        checksum: None,
        checksum_kind: None,
        precondition: Precondition::NONE,
    };
    host.store.complete_upload(request).await.unwrap();
}

async fn orphans(store: &Store) -> u64 {
    store.fsck(FsckOptions { read_data: true }).await.unwrap().orphan_blobs
}

fn blobs(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.join("blobs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files
}

#[tokio::test]
async fn a_snapshot_holds_all_that_was_committed_and_lets_nobody_in_until_it_is_confirmed() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let lost = fixture.host("web-02", 10).await;
    let token = NewJoinToken { secret_sha256: [77; 32], expires_at: fixture.clock.now_plus(3600) };
    fixture.store.create_host(&fixture.owner, &namespace("web-03"), HostCredential::JoinToken(token)).await.unwrap();
    fixture.store.create_grant(&fixture.owner, &namespace("web-01"), &"web-02".parse().unwrap(), 3600).await.unwrap();
    host.put("web-01/small", b"tiny").await.unwrap();
    host.put("web-01/large", &payload(3_000_000)).await.unwrap();
    host.put("web-01/again", &payload(10_000)).await.unwrap();
    host.put("web-01/again", &payload(20_000)).await.unwrap();
    let id = upload(&host, "web-01/parts").await;
    complete(&host, "web-01/parts", id).await;
    let open_upload = upload(&host, "web-01/open").await;
    // An orphan, and a part that was replaced: neither is in a snapshot.
    let directory = tempfile::tempdir().unwrap();
    let report = snapshot(&fixture, directory.path()).await.unwrap();
    assert_eq!((report.blobs, report.copied_blobs, report.damaged_count), (5, 5, 0), "{report:?}");
    host.put("web-01/later", &payload(30_000)).await.unwrap();
    host.delete("web-01/large").await;

    let copy = open(&fixture, directory).await;
    let copied = same_host(&host, &copy);
    copy.assert_clean().await;
    assert_eq!(orphans(&copy.store).await, 0);
    let quarantined = |error: StoreError| matches!(error, StoreError::Quarantined(_));
    assert!(!copy.store.health().await.is_ready());
    assert!(quarantined(copy.store.caller(&host.caller.key_id, host.caller.subject.as_str()).await.unwrap_err()));
    assert!(quarantined(copied.put("web-01/x", b"x").await.unwrap_err()));
    assert!(quarantined(copy.store.join([77; 32], new_key(11)).await.unwrap_err()));
    assert!(quarantined(copy.store.create_org(&copy.owner, "other".parse().unwrap()).await.unwrap_err()));
    let refused = copy.store.sweep().await.unwrap().refused;
    assert!(refused.as_ref().is_some_and(|why| why.contains("quarantine end")), "{refused:?}");

    let mistyped = copy.store.end_quarantine(vec![new_key(99).key_id]).await;
    assert!(matches!(mistyped, Err(StoreError::UnknownKey(_))), "{mistyped:?}");
    assert!(copy.store.quarantined_since().await.unwrap().is_some());
    copy.store.end_quarantine(vec![lost.caller.key_id.clone()]).await.unwrap();
    copy.store.end_quarantine(Vec::new()).await.unwrap();

    assert!(copy.store.health().await.is_ready());
    let record = copy.store.caller(&lost.caller.key_id, lost.caller.subject.as_str()).await.unwrap().unwrap();
    assert_eq!(record.key_state, KeyState::Revoked);
    assert!(matches!(copy.store.join([77; 32], new_key(11)).await, Err(StoreError::JoinTokenInvalid)));
    assert!(copy.store.grants(&"myorg".parse().unwrap()).await.unwrap().is_empty());
    for (name, bytes) in [
        ("web-01/small", b"tiny".to_vec()),
        ("web-01/large", payload(3_000_000)),
        ("web-01/again", payload(20_000)),
        ("web-01/parts", payload(40_000)),
    ] {
        assert!(copied.read(name).await.unwrap() == bytes, "{name}");
    }
    assert!(matches!(copied.read("web-01/later").await, Err(StoreError::NoSuchKey)));
    complete(&copied, "web-01/open", open_upload).await;
    assert!(copied.read("web-01/open").await.unwrap() == payload(40_000));
    copied.put("web-01/new", &payload(50_000)).await.unwrap();
    // Time to notice that something is missing, before anything is purged for good.
    assert!(copy.store.sweep().await.unwrap().refused.is_some());
    copy.assert_clean().await;
    let acts = copy.store.audit_page(None, 0, 100).await.unwrap();
    let log = format!("{:?}", acts.entries);
    assert!(log.contains("snapshot.take") && log.contains("quarantine.end"), "{log}");
}

#[tokio::test]
async fn the_next_snapshot_copies_what_is_new_and_lets_go_of_what_is_gone() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for n in 0..10_usize {
        host.put(&format!("web-01/{n}"), &payload(10_000 + n)).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(snapshot(&fixture, directory.path()).await.unwrap().copied_blobs, 10);
    host.put("web-01/new", &payload(20_000)).await.unwrap();
    // What a snapshot of another day had, and what a copy that was cut off would leave.
    let stray =
        blobs(directory.path())[0].with_file_name("20261122-00000000000000000000000000000001.00000.0000000000000000");
    fs::write(&stray, b"of an earlier day").unwrap();
    let second = snapshot(&fixture, directory.path()).await.unwrap();
    assert_eq!((second.blobs, second.copied_blobs, second.removed_blobs), (11, 1, 1), "{second:?}");
    let copy = open(&fixture, directory).await;
    copy.assert_clean().await;
    copy.store.end_quarantine(Vec::new()).await.unwrap();
    assert!(same_host(&host, &copy).read("web-01/new").await.unwrap() == payload(20_000));
}

#[tokio::test]
async fn a_snapshot_that_was_cut_off_is_finished_by_the_next_and_no_torn_blob_is_taken_for_whole() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for n in 0..5_usize {
        host.put(&format!("web-01/{n}"), &payload(10_000)).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    snapshot(&fixture, directory.path()).await.unwrap();
    // As after a power loss in the middle: no index yet, a blob of the right length with other bytes.
    let torn = &blobs(directory.path())[2];
    fs::write(torn, vec![0; fs::metadata(torn).unwrap().len() as usize]).unwrap();
    fs::remove_file(directory.path().join("index.db")).unwrap();
    let first = fs::read_dir(fixture.directory.path()).unwrap().count();
    let marker = directory.path().join("snapshot.incomplete");
    fs::write(&marker, "a snapshot of store 0 is being written here\n").unwrap();
    let other = snapshot(&fixture, directory.path()).await;
    assert!(matches!(other, Err(SnapshotError::OfAnother(_))), "{other:?}");
    let copied = snapshot_id(&fixture).await;
    fs::write(&marker, format!("a snapshot of store {copied} is being written here\n")).unwrap();
    let report = snapshot(&fixture, directory.path()).await.unwrap();
    assert_eq!((report.blobs, report.copied_blobs, report.damaged_count), (5, 1, 0), "{report:?}");
    assert!(!marker.exists());
    assert_eq!(fs::read_dir(fixture.directory.path()).unwrap().count(), first, "no copy of the index stays behind");
    open(&fixture, directory).await.assert_clean().await;
}

/// What the store calls itself.
async fn snapshot_id(fixture: &Fixture) -> i64 {
    let copy = fixture.store.copy_index().await.unwrap();
    let connection = rusqlite::Connection::open(&copy).unwrap();
    let id = connection.query_row("SELECT value FROM meta WHERE name = 'store_id'", [], |row| row.get(0)).unwrap();
    fs::remove_file(copy).unwrap();
    id
}

#[tokio::test]
async fn nothing_but_a_snapshot_of_the_same_store_is_written_over() {
    let (one, another) = (fixture().await, fixture().await);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letters.txt"), "dear").unwrap();
    let refused = snapshot(&one, directory.path()).await;
    assert!(matches!(refused, Err(SnapshotError::NotASnapshot(_))), "{refused:?}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing of ours is left there");
    fs::remove_file(directory.path().join("letters.txt")).unwrap();
    snapshot(&one, directory.path()).await.unwrap();
    let refused = snapshot(&another, directory.path()).await;
    assert!(matches!(refused, Err(SnapshotError::OfAnother(_))), "{refused:?}");
    let Fixture { directory: in_use, store, .. } = another;
    let refused = snapshot(&one, in_use.path()).await;
    assert!(matches!(refused, Err(SnapshotError::Open(_))), "it is locked: {refused:?}");
    store.close().await;
    let refused = snapshot(&one, in_use.path()).await;
    assert!(matches!(refused, Err(SnapshotError::InUse(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_damaged_in_the_store_is_named_and_the_rest_is_copied() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for n in 0..6_usize {
        host.put(&format!("web-01/{n}"), &payload(10_000 + n)).await.unwrap();
    }
    let found = blobs(fixture.directory.path());
    let with_length = |bytes: u64| {
        found.iter().find(|path| fs::metadata(path).is_ok_and(|found| found.len() == 64 + bytes + 8)).unwrap()
    };
    let mut flipped = fs::read(with_length(10_002)).unwrap();
    flipped[700] ^= 1;
    fs::write(with_length(10_002), flipped).unwrap();
    fs::remove_file(with_length(10_004)).unwrap();
    // One that cannot be read at all.
    let unreadable = with_length(10_001);
    fs::remove_file(unreadable).unwrap();
    fs::create_dir(unreadable).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let report = snapshot(&fixture, directory.path()).await.unwrap();
    let named: Vec<_> = report.damaged.iter().map(|damaged| damaged.key.to_string()).collect();
    assert_eq!((named, report.damaged_count), (["1", "2", "4"].map(|n| format!("web-01/{n}")).to_vec(), 3));
    assert_eq!(snapshot(&fixture, directory.path()).await.unwrap().damaged_count, 3, "it is not forgotten by the next");
    let copy = open(&fixture, directory).await;
    copy.store.end_quarantine(Vec::new()).await.unwrap();
    assert!(same_host(&host, &copy).read("web-01/5").await.unwrap() == payload(10_005));
}

#[tokio::test]
async fn an_index_put_back_from_a_copy_stops_sweep_however_few_objects_it_forgot() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/old", &payload(10_000)).await.unwrap();
    let copy = fixture.directory.path().join("kept");
    let index = fixture.directory.path().join("index.db");
    let fixture = fixture.reopen().await;
    fixture.store.clone().close().await;
    fs::copy(&index, &copy).unwrap();
    let fixture = fixture.reopen().await;
    let host = same_host(&host, &fixture);
    fixture.clock.advance_secs(120);
    host.put("web-01/acknowledged", &payload(20_000)).await.unwrap();
    fixture.store.heartbeat().await.unwrap();
    fixture.store.clone().close().await;
    fs::copy(&copy, &index).unwrap();

    let mut fixture = fixture.reopen().await;
    for _ in 0..3 * 24 {
        fixture.clock.advance_secs(1800);
        fixture.store.heartbeat().await.unwrap();
    }
    blobs(fixture.directory.path()).iter().for_each(|blob| set_modified(blob, NOON));
    let files = blobs(fixture.directory.path()).len();
    for _ in 0..2 {
        for report in [fixture.store.sweep().await.unwrap(), fixture.store.sweep_rows().await.unwrap()] {
            assert!(report.refused.as_ref().is_some_and(|why| why.contains("--accept-older-index")), "{report:?}");
        }
        assert_eq!(blobs(fixture.directory.path()).len(), files);
        // It is not forgotten by a restart.
        fixture = fixture.reopen().await;
    }
    let findings = fixture.store.fsck(FsckOptions::default()).await.unwrap().findings;
    assert!(findings.iter().any(|finding| finding.contains("older copy")), "{findings:?}");
    fixture.store.accept_older_index().await.unwrap();
    assert_eq!(fixture.store.sweep().await.unwrap().condemned_blobs, 1);
    fixture.reopen().await.assert_clean().await;
}

#[tokio::test]
async fn what_a_search_refused_the_sweeps_after_it_refuse_too() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", &payload(10_000)).await.unwrap();
    fixture.set_retention(0).await;
    for _ in 0..2 * 24 * 9 {
        fixture.clock.advance_secs(1800);
        fixture.store.heartbeat().await.unwrap();
    }
    host.delete("web-01/a").await;
    let blob = &blobs(fixture.directory.path())[0];
    let strays: Vec<PathBuf> = (0..70)
        .map(|n| blob.with_file_name(format!("20261122-{n:032x}.00000.0000000000000000")))
        .inspect(|path| {
            fs::write(path, b"a blob").unwrap();
            set_modified(path, NOON);
        })
        .collect();
    fixture.clock.advance_secs(60);
    assert!(fixture.store.sweep().await.unwrap().refused.is_some());
    let report = fixture.store.sweep_rows().await.unwrap();
    assert!(report.refused.is_some() && report.purged_versions == 0, "{report:?}");
    assert!(fixture.store.sweep_refusal().is_some());
    strays.iter().for_each(|path| fs::remove_file(path).unwrap());
    assert_eq!(fixture.store.sweep().await.unwrap().refused, None);
    assert_eq!(fixture.store.sweep_rows().await.unwrap().refused, None);
    assert_eq!(fixture.store.sweep_refusal(), None);
}

fn set_modified(path: &Path, at: Timestamp) {
    fs::File::options().append(true).open(path).unwrap().set_modified(at.to_system_time()).unwrap();
}

trait NowPlus {
    fn now_plus(&self, secs: u64) -> Timestamp;
}

impl NowPlus for kheeper_model::ManualClock {
    fn now_plus(&self, secs: u64) -> Timestamp {
        kheeper_model::Clock::now(self).plus_secs(secs)
    }
}
