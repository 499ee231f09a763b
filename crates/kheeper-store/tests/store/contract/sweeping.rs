//! Sweep: what is purged, when, and when nothing is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kheeper_model::{AttemptId, ObjectHeaders, Timestamp};
use kheeper_store::{
    Background, CompletePart, CompleteRequest, CopyRequest, DeleteHost, FsckOptions, HostCredential, NewJoinToken,
    NewPart, NewUpload, Precondition, StoreError, SweepReport,
};

use crate::fixture::{Fixture, Host, fixture, fixture_with, integrity, key, namespace, new_object, payload};

const HOUR: u64 = 3600;

/// Lets hours pass as they do on a running server: it says every half hour that the clock goes on.
async fn pass_hours(fixture: &Fixture, hours: u64) {
    for _ in 0..2 * hours {
        fixture.clock.advance_secs(HOUR / 2);
        fixture.store.heartbeat().await.unwrap();
    }
}

async fn sweep(fixture: &Fixture) -> SweepReport {
    let report = fixture.store.sweep().await.unwrap();
    assert_eq!(report.refused, None);
    fixture.assert_clean().await;
    report
}

fn blob_files(fixture: &Fixture) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![fixture.directory.path().join("blobs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files
}

async fn with_retention(fixture: &Fixture, secs: u64) -> Host {
    let host = fixture.host("web-01", 9).await;
    fixture.set_retention(secs).await;
    // The seven days that were set first count until they have passed.
    pass_hours(fixture, 7 * 24 + 1).await;
    host
}

#[tokio::test]
async fn a_hidden_version_is_purged_after_its_window_and_its_bytes_a_day_later() {
    let fixture = fixture().await;
    let host = with_retention(&fixture, 2 * HOUR).await;
    host.put("web-01/a", &payload(10_000)).await.unwrap();
    host.put("web-01/a", &payload(20_000)).await.unwrap();
    host.put("web-01/small", b"tiny").await.unwrap();
    host.delete("web-01/small").await;
    pass_hours(&fixture, 1).await;
    assert_eq!(sweep(&fixture).await.purged_versions, 0);
    pass_hours(&fixture, 2).await;
    assert_eq!(sweep(&fixture).await.purged_versions, 2);
    assert_eq!(blob_files(&fixture).len(), 2, "condemned, and still there");
    pass_hours(&fixture, 23).await;
    assert_eq!(sweep(&fixture).await.deleted_contents, 0);
    pass_hours(&fixture, 2).await;
    assert_eq!(sweep(&fixture).await.deleted_contents, 2);
    assert_eq!(blob_files(&fixture).len(), 1);
    assert_eq!(host.read("web-01/a").await.unwrap(), payload(20_000));
    let record = fixture.store.host(&namespace("web-01")).await.unwrap().unwrap();
    assert_eq!((record.current_bytes, record.hidden_bytes), (20_000, 0));
}

#[tokio::test]
async fn shortening_the_window_counts_only_once_the_old_one_has_passed() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", b"1").await.unwrap();
    fixture.set_retention(0).await;
    host.delete("web-01/a").await;
    pass_hours(&fixture, 7 * 24 - 1).await;
    assert_eq!(sweep(&fixture).await.purged_versions, 0);
    pass_hours(&fixture, 2).await;
    assert_eq!(sweep(&fixture).await.purged_versions, 1);
    host.put("web-01/b", b"1").await.unwrap();
    host.delete("web-01/b").await;
    pass_hours(&fixture, 1).await;
    assert_eq!(sweep(&fixture).await.purged_versions, 1, "now the short one counts");
}

#[tokio::test]
async fn what_was_purged_is_known_as_a_hole_in_the_history() {
    let fixture = fixture().await;
    let host = with_retention(&fixture, HOUR).await;
    host.put("web-01/a", b"1").await.unwrap();
    let since = async || fixture.store.host(&namespace("web-01")).await.unwrap().unwrap().history_since;
    fixture.clock.advance_secs(60);
    host.delete("web-01/a").await;
    let deleted = fixture.store.now();
    assert_eq!(since().await, None);
    pass_hours(&fixture, 2).await;
    assert_eq!(sweep(&fixture).await.purged_versions, 1);
    assert_eq!(since().await, Some(deleted));
}

#[tokio::test]
async fn a_window_that_cannot_be_read_keeps_what_is_hidden() {
    let fixture = fixture().await;
    let host = with_retention(&fixture, HOUR).await;
    host.put("web-01/a", b"1").await.unwrap();
    let index = rusqlite::Connection::open(fixture.directory.path().join("index.db")).unwrap();
    index.execute("UPDATE retention SET secs = 'soon'", []).unwrap();
    host.delete("web-01/a").await;
    pass_hours(&fixture, 30 * 24).await;
    let refused = fixture.store.sweep().await.unwrap();
    assert!(refused.refused.is_some() && refused.purged_versions == 0, "{refused:?}");
    // Nor later, when it can be read again: what was hidden under it never got a time.
    index.execute("UPDATE retention SET secs = 3600", []).unwrap();
    assert_eq!(sweep(&fixture).await.purged_versions, 0);
}

#[tokio::test]
async fn nothing_is_purged_after_the_clock_jumped() {
    let fixture = fixture().await;
    let host = with_retention(&fixture, HOUR).await;
    host.put("web-01/a", b"1").await.unwrap();
    host.delete("web-01/a").await;
    let before = fixture.store.now();
    fixture.clock.advance_secs(10 * 365 * 24 * HOUR);
    assert!(fixture.store.sweep().await.unwrap().refused.is_some());
    // A commit at the wrong time does not make it right.
    host.put("web-01/b", b"1").await.unwrap();
    assert!(fixture.store.sweep().await.unwrap().refused.is_some());
    fixture.clock.set(before);
    assert!(fixture.store.sweep().await.unwrap().refused.is_some());
    fixture.clock.advance_secs(10 * 365 * 24 * HOUR);
    pass_hours(&fixture, 25).await;
    assert_eq!(sweep(&fixture).await.purged_versions, 1, "a day later somebody has noticed, or it was no jump");
}

#[tokio::test]
async fn orphans_are_counted_condemned_and_deleted_a_day_later() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", &payload(10_000)).await.unwrap();
    // As a crash between blob and commit would leave it: the bytes of another object under a name of their own.
    let blob = blob_files(&fixture).remove(0);
    let orphan = orphan_beside(&blob, 0);
    fs::copy(&blob, &orphan).unwrap();
    let report = fixture.store.fsck(FsckOptions::default()).await.unwrap();
    assert!(report.is_clean());
    assert_eq!((report.orphan_blobs, report.orphan_bytes), (1, fs::metadata(&orphan).unwrap().len()));

    set_modified(&orphan, fixture.store.now().to_system_time());
    pass_hours(&fixture, 23).await;
    assert_eq!(sweep(&fixture).await.condemned_blobs, 0, "it may belong to a commit that is still to come");
    pass_hours(&fixture, 2).await;
    assert_eq!(sweep(&fixture).await.condemned_blobs, 1);
    assert!(orphan.exists());
    pass_hours(&fixture, 25).await;
    assert_eq!(sweep(&fixture).await.deleted_blobs, 1);
    assert!(!orphan.exists() && blob.exists());
    assert_eq!(host.read("web-01/a").await.unwrap(), payload(10_000));
}

/// Where a blob would lie that differs from `blob` in its name only; another one for each number below 255.
fn orphan_beside(blob: &Path, number: usize) -> PathBuf {
    let name = blob.file_name().unwrap().to_str().unwrap();
    let (day, rest) = name.split_once('-').unwrap();
    let own = usize::from_str_radix(&rest[..2], 16).unwrap();
    let other = if number < own { number } else { number + 1 };
    blob.with_file_name(format!("{day}-{other:02x}{}", &rest[2..]))
}

fn set_modified(path: &Path, time: std::time::SystemTime) {
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test]
async fn idle_uploads_are_given_up_and_active_ones_are_not() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let create = |name: &str| NewUpload {
        key: key(name),
        attempt: AttemptId::random(),
        headers: ObjectHeaders::new(),
        checksum: None,
    };
    let idle = host.store.create_upload(create("web-01/idle")).await.unwrap();
    let active = host.store.create_upload(create("web-01/active")).await.unwrap();
    let send = |name: &'static str, upload, number| {
        let host = host.clone();
        async move {
            let part = NewPart { key: key(name), upload, number, attempt: AttemptId::random(), length: Some(0) };
            host.store.begin_part(part).await.unwrap().commit(integrity(b"")).await.unwrap();
        }
    };
    send("web-01/idle", idle, 1).await;
    pass_hours(&fixture, 4 * 24).await;
    send("web-01/active", active, 1).await;
    pass_hours(&fixture, 4 * 24).await;
    sweep(&fixture).await;
    let parts = |name: &'static str, upload| {
        let host = host.clone();
        async move { host.store.list_parts(&key(name), &upload, 0, 10).await }
    };
    assert!(matches!(parts("web-01/idle", idle).await, Err(StoreError::NoSuchUpload)));
    assert_eq!(parts("web-01/active", active).await.unwrap().parts.len(), 1);
    pass_hours(&fixture, 25).await;
    let report = sweep(&fixture).await;
    assert_eq!((report.deleted_contents, report.deleted_blobs), (1, 1));
    assert_eq!(blob_files(&fixture).len(), 1);
}

#[tokio::test]
async fn a_store_that_runs_gives_up_idle_uploads_within_the_hour_without_being_asked() {
    let fixture = fixture_with(|options| options.background = Background::Run).await;
    let host = fixture.host("web-01", 9).await;
    let (key, attempt) = (key("web-01/idle"), AttemptId::random());
    let create = NewUpload { key: key.clone(), attempt, headers: ObjectHeaders::new(), checksum: None };
    let upload = host.store.create_upload(create).await.unwrap();
    pass_hours(&fixture, 7 * 24 + 1).await;
    assert!(host.store.list_parts(&key, &upload, 0, 10).await.is_ok(), "its week is over, and nobody has looked");
    // An hour that upkeep has waited; what it does then takes the time that it takes.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(HOUR)).await;
    tokio::time::resume();
    let gone = async {
        while host.store.list_parts(&key, &upload, 0, 10).await.is_ok() {}
        host.store.list_parts(&key, &upload, 0, 10).await
    };
    let gone = tokio::time::timeout(Duration::from_secs(60), gone).await;
    assert!(matches!(gone, Ok(Err(StoreError::NoSuchUpload))), "nobody gave it up: {gone:?}");
}

#[tokio::test]
async fn a_deleted_host_keeps_its_window_and_then_frees_its_name() {
    let fixture = fixture().await;
    let host = with_retention(&fixture, 5 * HOUR).await;
    host.put("web-01/a", &payload(5000)).await.unwrap();
    let name = namespace("web-01");
    fixture.store.delete_host(&fixture.owner, &name, DeleteHost::WithBackups).await.unwrap();
    pass_hours(&fixture, 4).await;
    assert_eq!(sweep(&fixture).await.closed_rows, 0);
    pass_hours(&fixture, 2).await;
    let report = sweep(&fixture).await;
    assert_eq!((report.closed_rows, report.purged_versions), (1, 1));
    sweep(&fixture).await;
    assert!(fixture.store.host(&name).await.unwrap().is_none());
    let token = NewJoinToken { secret_sha256: [70; 32], expires_at: fixture.store.now().plus_secs(60) };
    let again = fixture.store.create_host(&fixture.owner, &name, HostCredential::JoinToken(token)).await.unwrap();
    assert_ne!(again.namespace_id, host.record.namespace_id);
    pass_hours(&fixture, 25).await;
    sweep(&fixture).await;
    assert!(blob_files(&fixture).is_empty());
}

#[tokio::test]
async fn fsck_names_each_blob_that_is_missing_cut_off_or_damaged() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for name in ["web-01/a", "web-01/b", "web-01/c", "web-01/d"] {
        host.put(name, &payload(10_000)).await.unwrap();
    }
    let blobs = blob_files(&fixture);
    fs::remove_file(&blobs[0]).unwrap();
    fs::File::options().write(true).open(&blobs[1]).unwrap().set_len(100).unwrap();
    let mut damaged = fs::read(&blobs[2]).unwrap();
    damaged[500] ^= 1;
    fs::write(&blobs[2], damaged).unwrap();
    let quick = fixture.store.fsck(FsckOptions { read_data: false }).await.unwrap();
    assert_eq!(quick.finding_count, 2);
    let whole = fixture.store.fsck(FsckOptions { read_data: true }).await.unwrap();
    assert_eq!(whole.finding_count, 3, "{:?}", whole.findings);
    for blob in &blobs[..3] {
        let name = blob.file_name().unwrap().to_str().unwrap();
        assert!(whole.findings.iter().any(|finding| finding.contains(name)), "{name}");
    }
    let mut read = 0;
    for name in ["web-01/a", "web-01/b", "web-01/c", "web-01/d"] {
        match host.read(name).await {
            Ok(bytes) => read += usize::from(bytes == payload(10_000)),
            Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{error}"),
        }
    }
    assert_eq!(read, 1);
}

#[tokio::test]
async fn an_index_that_was_put_back_from_an_older_copy_costs_no_blob_until_the_operator_says_so() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/kept", &payload(5_000)).await.unwrap();
    drop(host);
    let fixture = fixture.reopen().await;
    let Fixture { directory, clock, store, owner } = fixture;
    store.close().await;
    let (index, older) = (directory.path().join("index.db"), directory.path().join("blobs/older"));
    fs::copy(&index, &older).unwrap();
    let fixture = Fixture {
        store: kheeper_store::Store::open(crate::fixture::options(&directory, &clock)).await.unwrap(),
        directory,
        clock,
        owner,
    };
    let id = fixture.store.host(&namespace("web-01")).await.unwrap().unwrap().id;
    let host = fixture.joined_host("web-01", id, crate::fixture::new_key(9).key_id).await;
    for n in 0..70 {
        host.put(&format!("web-01/{n}"), &payload(5_000 + n)).await.unwrap();
    }
    drop(host);
    let Fixture { directory, clock, store, owner } = fixture;
    store.close().await;
    fs::rename(&older, &index).unwrap();
    let store = kheeper_store::Store::open(crate::fixture::options(&directory, &clock)).await.unwrap();
    let fixture = Fixture { directory, clock, store, owner };
    blob_files(&fixture).iter().for_each(|blob| set_modified(blob, fixture.store.now().to_system_time()));
    pass_hours(&fixture, 50).await;
    let why = fixture.store.sweep().await.unwrap().refused.unwrap();
    assert!(why.contains("--accept-orphans 70"), "{why}");
    assert_eq!(fixture.store.sweep_refusal(), Some(why));
    assert!(fixture.store.sweep_accepting(69).await.unwrap().refused.is_some());
    assert_eq!(blob_files(&fixture).len(), 71);
    let report = fixture.store.sweep_accepting(70).await.unwrap();
    assert_eq!((report.condemned_blobs, report.refused), (70, None));
    assert_eq!(fixture.store.sweep_refusal(), None);
}

#[tokio::test]
async fn as_many_orphans_as_a_crash_may_leave_are_collected_and_as_many_of_a_whole_day_are_not() {
    const WRITES: usize = 150;
    for (noted, hours_between, collected) in [(true, 0, true), (true, 1, false), (false, 0, false)] {
        let fixture = fixture().await;
        let host = fixture.host("web-01", 9).await;
        host.put("web-01/kept", &payload(5_000)).await.unwrap();
        let kept = blob_files(&fixture).remove(0);
        if noted {
            fixture.store.heartbeat().await.unwrap();
        }
        for number in 0..WRITES {
            fs::copy(&kept, orphan_beside(&kept, number)).unwrap();
        }
        drop(host);
        let fixture = fixture.reopen().await;
        assert_eq!(blob_files(&fixture).len(), 1 + WRITES);
        for (number, blob) in blob_files(&fixture).iter().enumerate() {
            let before = HOUR * hours_between * (number % 24) as u64;
            set_modified(blob, fixture.store.now().minus_secs(before).to_system_time());
        }
        pass_hours(&fixture, 25).await;
        let report = fixture.store.sweep().await.unwrap();
        assert_eq!(report.refused.is_none(), collected, "{noted} {hours_between}: {report:?}");
        assert_eq!(report.condemned_blobs, if collected { WRITES as u64 } else { 0 });
        pass_hours(&fixture, 25).await;
        fixture.store.sweep().await.unwrap();
        assert_eq!(blob_files(&fixture).len(), if collected { 1 } else { 1 + WRITES });
    }
}

#[tokio::test]
async fn an_index_that_fails_its_check_costs_nothing() {
    let fixture = fixture().await;
    let host = with_retention(&fixture, HOUR).await;
    host.put("web-01/a", &payload(5_000)).await.unwrap();
    host.delete("web-01/a").await;
    pass_hours(&fixture, 2).await;
    drop(host);
    let fixture = fixture.reopen().await;
    let index = rusqlite::Connection::open(fixture.directory.path().join("index.db")).unwrap();
    for (hurt, mend) in [
        ("UPDATE content SET refs = refs + 1", "UPDATE content SET refs = refs - 1"),
        (
            "UPDATE retention SET secs = 'soon' WHERE secs = 3600",
            "UPDATE retention SET secs = 3600 WHERE secs = 'soon'",
        ),
    ] {
        index.execute(hurt, []).unwrap();
        let report = fixture.store.sweep().await.unwrap();
        assert!(report.refused.is_some_and(|why| why.contains("fsck")), "{hurt}");
        assert_eq!(report.purged_versions, 0, "{hurt}");
        index.execute(mend, []).unwrap();
    }
    pass_hours(&fixture, 26).await;
    assert_eq!(sweep(&fixture).await.purged_versions, 1);
}

/// Whatever order they come in: a key that was answered is there, whole, and its blob is not swept away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweep_takes_no_blob_from_under_puts_copies_and_completes() {
    let fixture = fixture().await;
    let host = with_retention(&fixture, 0).await;
    let writers: Vec<_> = (0..3_usize)
        .map(|writer| {
            let (host, store) = (host.clone(), fixture.store.clone());
            tokio::spawn(async move {
                let mut last: std::collections::BTreeMap<String, Vec<u8>> = std::collections::BTreeMap::new();
                for turn in 0..30 {
                    let bytes = payload(5_000 + 100 * turn + writer);
                    let name = format!("web-01/{writer}/{}", turn % 3);
                    let written = match turn % 3 {
                        0 => host.put_new(new_object(&name, store.now()), &bytes).await.map(drop),
                        1 => upload(&host, &name, &bytes).await,
                        _ => copy(&host, &format!("web-01/{writer}/0"), &name, store.now()).await,
                    };
                    match written {
                        Ok(()) if turn % 3 == 2 => drop(last.insert(name, last[&format!("web-01/{writer}/0")].clone())),
                        Ok(()) => drop(last.insert(name, bytes)),
                        // Sweep was first: the blob was taken for one that a crash left. It yields, and what was there stays.
                        Err(error) => assert!(
                            matches!(
                                error,
                                StoreError::Unavailable(_) | StoreError::NoSuchKey | StoreError::NoSuchUpload
                            ),
                            "{error}"
                        ),
                    }
                    for (name, bytes) in &last {
                        assert!(host.read(name).await.unwrap() == *bytes, "{name} at turn {turn}");
                    }
                }
                last.len()
            })
        })
        .collect();
    let mut swept = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        pass_hours(&fixture, 13).await;
        let report = fixture.store.sweep().await.unwrap();
        swept += report.deleted_contents;
    }
    for writer in writers {
        assert!(writer.await.unwrap() > 0);
    }
    for _ in 0..2 {
        pass_hours(&fixture, 26).await;
        swept += sweep(&fixture).await.deleted_contents;
    }
    assert!(swept > 0, "it had something to remove");
    fixture.assert_clean().await;
}

async fn upload(host: &Host, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let new = NewUpload { key: key(name), attempt: AttemptId::random(), headers: ObjectHeaders::new(), checksum: None };
    let upload = host.store.create_upload(new).await?;
    let length = Some(bytes.len() as u64);
    let part = NewPart { key: key(name), upload, number: 1, attempt: AttemptId::random(), length };
    let mut writer = host.store.begin_part(part).await?;
    writer.write(bytes.to_vec().into()).await?;
    writer.commit(integrity(bytes)).await?;
    let parts = host.store.list_parts(&key(name), &upload, 0, 10).await?.parts;
    let request = CompleteRequest {
        key: key(name),
        upload,
        parts: vec![CompletePart { number: 1, etag: parts[0].etag.clone(), checksums: Vec::new() }],
        attempt: AttemptId::random(),
        object_bytes: None,
        checksum: None,
        checksum_kind: None,
        precondition: Precondition::NONE,
    };
    host.store.complete_upload(request).await.map(drop)
}

async fn copy(host: &Host, from: &str, to: &str, began: Timestamp) -> Result<(), StoreError> {
    let request = CopyRequest {
        key: key(to),
        attempt: AttemptId::random(),
        began,
        source: host.store.reader().head(&key(from)).await?,
        headers: None,
        checksum: None,
        precondition: Precondition::NONE,
    };
    host.store.copy(request).await.map(drop)
}
