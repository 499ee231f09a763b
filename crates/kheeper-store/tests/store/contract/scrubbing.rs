//! Scrub finds what is damaged and nothing else, names it, goes on where it stopped, and removes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use kheeper_model::{AttemptId, ObjectHeaders};
use kheeper_store::{NewPart, NewUpload, ScrubReport, StoreError};

use crate::fixture::{Fixture, fixture, integrity, key, payload};

const FAST: NonZeroU64 = NonZeroU64::MAX;

/// The file of the only blob that has this length.
fn blob_of(fixture: &Fixture, payload_bytes: u64) -> PathBuf {
    let length = 64 + payload_bytes + 8 * payload_bytes.div_ceil(65_536);
    let mut directories = vec![fixture.directory.path().join("blobs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match fs::metadata(&path).unwrap() {
                found if found.is_dir() => directories.push(path),
                found if found.len() == length => return path,
                _ => {}
            }
        }
    }
    panic!("no blob of {payload_bytes} bytes")
}

fn flip(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The keys of damaged objects, with whether they are current.
fn named(report: &ScrubReport) -> BTreeSet<(String, bool)> {
    report.damaged.iter().map(|damaged| (damaged.key.to_string(), damaged.hidden_at.is_none())).collect()
}

#[tokio::test]
async fn exactly_what_is_damaged_is_named_by_host_key_and_version_and_stays() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let other = fixture.host("db-01", 10).await;
    for n in 0..20_usize {
        host.put(&format!("web-01/{n:02}"), &payload(10_000 + n)).await.unwrap();
    }
    host.put("web-01/small", b"in the index").await.unwrap();
    other.put("db-01/hidden", &payload(30_000)).await.unwrap();
    other.put("db-01/hidden", &payload(31_000)).await.unwrap();
    let clean = fixture.store.scrub().await.unwrap();
    assert_eq!((clean.damaged_count, clean.contents), (0, 23), "{clean:?}");
    assert_eq!(clean.verified_bytes, (0..20).map(|n| 10_000 + n).sum::<u64>() + 12 + 61_000);

    flip(&blob_of(&fixture, 10_000), 5000);
    fs::File::options().write(true).open(blob_of(&fixture, 10_001)).unwrap().set_len(900).unwrap();
    fs::remove_file(blob_of(&fixture, 10_002)).unwrap();
    let (a, b) = (blob_of(&fixture, 10_003), blob_of(&fixture, 10_004));
    let swapped = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
    fs::write(&a, swapped.1).unwrap();
    fs::write(&b, swapped.0).unwrap();
    flip(&blob_of(&fixture, 30_000), 70);
    let before = fs::metadata(&a).unwrap().len();

    let report = fixture.store.scrub().await.unwrap();
    let current = (0..5).map(|n| (format!("web-01/{n:02}"), true));
    assert_eq!(named(&report), current.chain([("db-01/hidden".to_owned(), false)]).collect());
    assert_eq!(report.damaged_count, 6);
    let hidden = report.damaged.iter().find(|damaged| damaged.hidden_at.is_some()).unwrap();
    assert_eq!(hidden.namespace.to_string(), "myorg/db-01");
    assert!(hidden.committed_at.is_some() && hidden.blob.starts_with("blob "), "{hidden:?}");
    assert_eq!(fixture.store.scrub_status().await.unwrap().damaged_objects(), 6);
    assert_eq!(fs::metadata(&a).unwrap().len(), before, "nothing is removed because of damage");
    for n in 0..20 {
        match host.read(&format!("web-01/{n:02}")).await {
            Ok(bytes) => assert!(n >= 5 && bytes == payload(10_000 + n)),
            Err(error) => assert!(n < 5 && matches!(error, StoreError::Damaged { .. }), "{error}"),
        }
    }
}

#[tokio::test]
async fn each_version_that_shares_a_damaged_content_is_named_and_so_is_an_open_upload() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let new = NewUpload {
        key: key("web-01/open"),
        attempt: AttemptId::random(),
        headers: ObjectHeaders::new(),
        checksum: None,
    };
    let upload = host.store.create_upload(new).await.unwrap();
    for (number, bytes) in [(1, 7_000), (2, 8_000)] {
        let part =
            NewPart { key: key("web-01/open"), upload, number, attempt: AttemptId::random(), length: Some(bytes) };
        let mut writer = host.store.begin_part(part).await.unwrap();
        let bytes = payload(bytes as usize);
        writer.write(bytes.clone().into()).await.unwrap();
        writer.commit(integrity(&bytes)).await.unwrap();
    }
    flip(&blob_of(&fixture, 8_000), 100);
    let report = fixture.store.scrub().await.unwrap();
    assert_eq!(named(&report), BTreeSet::from([("web-01/open".to_owned(), true)]));
    assert_eq!(report.damaged[0].committed_at, None);
    assert_eq!(report.verified_bytes, 7_000);
    // fsck says the same.
    let fsck = fixture.store.fsck(kheeper_store::FsckOptions { read_data: true }).await.unwrap();
    assert_eq!((fsck.damaged, fsck.finding_count), (report.damaged, 1));
}

#[tokio::test]
async fn bytes_that_are_damaged_inside_the_index_are_found_too() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/small", b"needle in the index").await.unwrap();
    let fixture = fixture.reopen().await;
    let index = fixture.directory.path().join("index.db");
    let clock = fixture.clock.clone();
    let Fixture { directory, store, .. } = fixture;
    store.close().await;
    let mut bytes = fs::read(&index).unwrap();
    let at = bytes.windows(6).position(|window| window == b"needle").unwrap();
    bytes[at] = b'N';
    fs::write(&index, bytes).unwrap();
    let store = kheeper_store::Store::open(crate::fixture::options(&directory, &clock)).await.unwrap();
    let report = store.scrub().await.unwrap();
    assert_eq!(named(&report), BTreeSet::from([("web-01/small".to_owned(), true)]));
    assert!(report.damaged[0].what.contains("checksum"), "{report:?}");
}

#[tokio::test]
async fn a_round_in_the_background_goes_on_after_a_restart_and_the_next_waits_a_week() {
    let mut fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for n in 0..10_usize {
        host.put(&format!("web-01/{n}"), &payload(10_000 + n)).await.unwrap();
    }
    drop(host);
    flip(&blob_of(&fixture, 10_003), 2000);
    // No time at all is enough for one object, after which it notes where it is.
    let mut steps = 0;
    while fixture.store.scrub_step(FAST, Duration::ZERO).await.unwrap() {
        steps += 1;
        let round = fixture.store.scrub_status().await.unwrap().round.unwrap();
        assert_eq!((round.contents, round.completed_at), (steps, None));
        if steps == 5 {
            fixture = fixture.reopen().await;
            // The lease of the one that stopped.
            fixture.clock.advance_secs(61);
        }
    }
    assert_eq!(steps, 10);
    let last = fixture.store.scrub_status().await.unwrap().last.unwrap();
    assert_eq!((last.contents, last.damaged_count), (10, 1));
    assert!(last.completed_at.is_some());
    assert!(!fixture.store.scrub_step(FAST, Duration::ZERO).await.unwrap());
    assert_eq!(fixture.store.scrub_status().await.unwrap().round, None, "there is a week until the next");
    fixture.clock.advance_secs(7 * 24 * 3600);
    assert!(fixture.store.scrub_step(FAST, Duration::ZERO).await.unwrap());
}

#[tokio::test]
async fn the_background_reads_no_faster_than_it_was_told() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for name in ["web-01/a", "web-01/b", "web-01/c"] {
        host.put(name, &payload(1 << 20)).await.unwrap();
    }
    let began = std::time::Instant::now();
    let rate = NonZeroU64::new(6 << 20).unwrap();
    while fixture.store.scrub_step(rate, Duration::from_secs(60)).await.unwrap() {}
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(500), "three mebibytes at six a second in {took:?}");
}
