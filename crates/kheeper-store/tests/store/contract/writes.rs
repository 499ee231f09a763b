//! What may go wrong with a write: integrity, retries, conditions, stalls, a full disk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kheeper_model::{AttemptId, Crc64Nvme, ETag};
use kheeper_store::{ETagMatch, FsckOptions, IntegrityFailure, Precondition, Space, SpaceProbe, Store, StoreError};

use crate::fixture::{Fixture, NOON, fixture, fixture_with, integrity, key, new_object, options, payload};

#[tokio::test]
async fn bytes_that_differ_from_their_declaration_are_never_committed() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for size in [10, 100_000] {
        let bytes = payload(size);
        let begin = |length| {
            let mut object = new_object("web-01/a", NOON);
            object.length = length;
            host.store.begin_put(object)
        };
        let length = |error| matches!(error, StoreError::Integrity(IntegrityFailure::Length { .. }));

        let mut short = begin(Some(size as u64 + 1)).await.unwrap();
        short.write(Bytes::from(bytes.clone())).await.unwrap();
        assert!(length(short.commit(integrity(&bytes)).await.unwrap_err()));

        let mut long = begin(Some(size as u64 - 1)).await.unwrap();
        assert!(length(long.write(Bytes::from(bytes.clone())).await.unwrap_err()));
        drop(long);

        let mut cut = begin(None).await.unwrap();
        cut.write(Bytes::from(bytes[1..].to_vec())).await.unwrap();
        assert!(length(cut.commit(integrity(&bytes)).await.unwrap_err()));

        let mut flipped = begin(None).await.unwrap();
        flipped.write(Bytes::from(bytes.clone())).await.unwrap();
        let mut wrong = integrity(&bytes);
        wrong.crc64nvme = Crc64Nvme(wrong.crc64nvme.0 ^ 1);
        let refused = flipped.commit(wrong).await.unwrap_err();
        assert!(matches!(refused, StoreError::Integrity(IntegrityFailure::Crc64Nvme)));
    }
    assert!(matches!(host.read("web-01/a").await, Err(StoreError::NoSuchKey)));
    assert_eq!(fixture.store.fsck(FsckOptions::default()).await.unwrap().contents, 0);
}

#[tokio::test]
async fn an_attempt_that_is_repeated_gets_the_first_answer() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let mut object = new_object("web-01/a", NOON);
    let attempt = object.attempt;
    let first = host.put_new(object.clone(), b"same").await.unwrap();
    fixture.clock.advance_secs(3);
    assert_eq!(host.put_new(object.clone(), b"same").await.unwrap(), first);
    // Also when the key was written by someone else in between.
    let other = host.put("web-01/a", b"other").await.unwrap();
    assert_eq!(host.put_new(object.clone(), b"same").await.unwrap(), first);
    assert_eq!(host.store.reader().head(&key("web-01/a")).await.unwrap().etag, other.etag);
    assert!(matches!(host.put_new(object.clone(), b"else").await, Err(StoreError::AttemptMismatch)));
    object.key = key("web-01/b");
    assert!(matches!(host.put_new(object, b"same").await, Err(StoreError::AttemptMismatch)));
    let deleted = host.store.delete(&key("web-01/a"), attempt).await;
    assert!(matches!(deleted, Err(StoreError::AttemptMismatch)));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_repeated_delete_does_not_delete_what_came_after_the_first() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", b"1").await.unwrap();
    let attempt = AttemptId::random();
    host.store.delete(&key("web-01/a"), attempt).await.unwrap();
    host.put("web-01/a", b"2").await.unwrap();
    host.store.delete(&key("web-01/a"), attempt).await.unwrap();
    assert_eq!(host.read("web-01/a").await.unwrap(), b"2");
}

#[tokio::test]
async fn a_stalled_put_does_not_bury_its_retry() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let stalled = new_object("web-01/a", NOON);
    fixture.clock.advance_secs(60);
    host.put_new(new_object("web-01/a", NOON.plus_secs(20)), b"retry").await.unwrap();
    host.put_new(stalled, b"first").await.unwrap();
    assert_eq!(host.read("web-01/a").await.unwrap(), b"retry");
    // Ten seconds or fewer are concurrency, and the last one wins.
    host.put_new(new_object("web-01/a", NOON.plus_secs(10)), b"late").await.unwrap();
    assert_eq!(host.read("web-01/a").await.unwrap(), b"late");
    let record = fixture.store.host(host.store.namespace()).await.unwrap().unwrap();
    assert_eq!((record.objects, record.current_bytes, record.hidden_bytes), (1, 4, 10));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_hides_no_overwrite() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put_new(new_object("web-01/a", fixture.store.now()), b"before").await.unwrap();
    fixture.clock.set(NOON.minus_secs(3600));
    host.put_new(new_object("web-01/a", fixture.store.now()), b"after").await.unwrap();
    assert_eq!(host.read("web-01/a").await.unwrap(), b"after");
    // Also by a server that was started after the clock was set back.
    let Fixture { directory, clock, store, owner } = fixture;
    store.close().await;
    let reopened = Store::open(options(&directory, &clock)).await.unwrap();
    assert!(reopened.now() >= NOON, "it begins no earlier than what was committed");
    let fixture = Fixture { directory, clock, store: reopened, owner };
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_refused_or_repeated_write_leaves_no_orphan() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let bytes = vec![7; 100_000];
    let mut object = new_object("web-01/a", NOON);
    host.put_new(object.clone(), &bytes).await.unwrap();
    host.put_new(object.clone(), &bytes).await.unwrap();
    object.attempt = AttemptId::random();
    object.precondition = Precondition::absent();
    assert!(matches!(host.put_new(object, &bytes).await, Err(StoreError::PreconditionFailed)));
    let report = fixture.store.fsck(FsckOptions::default()).await.unwrap();
    assert_eq!((report.contents, report.orphan_blobs), (1, 0));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_replayed_conditional_write_gets_its_first_answer() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let mut object = new_object("web-01/a", NOON);
    object.length = Some(5);
    object.precondition = Precondition::absent();
    let first = host.put_new(object.clone(), b"bytes").await.unwrap();
    assert_eq!(host.put_new(object, b"bytes").await.unwrap(), first);
}

#[tokio::test]
async fn preconditions_hold_at_the_commit_and_not_only_before() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let mut object = new_object("web-01/a", NOON);
    object.precondition = Precondition::absent();
    let late = host.store.begin_put(object.clone()).await.unwrap();
    let written = host.put("web-01/a", b"won").await.unwrap();
    assert!(matches!(late.commit(integrity(b"")).await, Err(StoreError::PreconditionFailed)));
    object.attempt = AttemptId::random();
    assert!(matches!(host.store.begin_put(object.clone()).await, Err(StoreError::PreconditionFailed)));

    object.precondition =
        Precondition { if_match: Some(ETagMatch::OneOf(vec![ETag::new("x"), written.etag])), if_none_match: None };
    host.put_new(object.clone(), b"matched").await.unwrap();
    object.attempt = AttemptId::random();
    assert!(matches!(host.put_new(object.clone(), b"no").await, Err(StoreError::PreconditionFailed)));
    object.key = key("web-01/absent");
    assert!(matches!(host.put_new(object, b"no").await, Err(StoreError::NoSuchKey)));
    assert_eq!(host.read("web-01/a").await.unwrap(), b"matched");
    fixture.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_concurrent_creates_one_wins() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let racing: Vec<_> = (0..100_u32)
        .map(|number| {
            let host = host.clone();
            tokio::spawn(async move {
                let mut object = new_object("web-01/lock", NOON);
                object.precondition = Precondition::absent();
                (number, host.put_new(object, &number.to_be_bytes()).await)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racing {
        match racer.await.unwrap() {
            (number, Ok(_)) => winners.push(number),
            (_, Err(error)) => assert!(matches!(error, StoreError::PreconditionFailed), "{error}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(host.read("web-01/lock").await.unwrap(), winners[0].to_be_bytes());
    fixture.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_of_one_key_leave_one_whole_object_and_a_full_history() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let writers: Vec<_> = (0..40_u8)
        .map(|number| {
            let host = host.clone();
            tokio::spawn(async move { host.put("web-01/a", &vec![number; 5000]).await.unwrap() })
        })
        .collect();
    let mut times = Vec::new();
    for writer in writers {
        times.push(writer.await.unwrap().last_modified);
    }
    times.sort();
    times.dedup();
    assert_eq!(times.len(), 40, "each version has a time of its own");
    let read = host.read("web-01/a").await.unwrap();
    assert!(read.len() == 5000 && read.iter().all(|byte| *byte == read[0]));
    let record = fixture.store.host(host.store.namespace()).await.unwrap().unwrap();
    assert_eq!((record.objects, record.hidden_bytes), (1, 39 * 5000));
    fixture.assert_clean().await;
}

struct Shrinking(AtomicU64);

impl SpaceProbe for Shrinking {
    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space { total_bytes: 1_000_000, free_bytes: self.0.load(Ordering::SeqCst) })
    }
}

#[tokio::test]
async fn a_full_disk_refuses_bodies_and_still_deletes_and_reads() {
    let probe = Arc::new(Shrinking(AtomicU64::new(900_000)));
    let space = probe.clone();
    let fixture = fixture_with(move |options| options.space = space).await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", &payload(10_000)).await.unwrap();
    let mut large = new_object("web-01/b", NOON);
    large.length = Some(850_000);
    assert!(matches!(host.store.begin_put(large).await, Err(StoreError::StorageFull)));

    probe.0.store(50_000, Ordering::SeqCst);
    // The probe's answer is believed for a moment; every wait has a deadline.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while host.put("web-01/b", b"x").await.is_ok() {
        assert!(std::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert!(!fixture.store.health().await.is_ready());
    assert_eq!(host.read("web-01/a").await.unwrap(), payload(10_000));
    host.delete("web-01/a").await;
    fixture.assert_clean().await;
}
