//! What is there after the store was closed, dropped, or its directory was opened by another.

use std::sync::Arc;

use kheeper_model::ManualClock;
use kheeper_store::{OpenError, Store, StoreError};

use crate::fixture::{NOON, fixture, options, payload};

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_reopen() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/small", b"tiny").await.unwrap();
    host.put("web-01/large", &payload(2_000_000)).await.unwrap();
    host.put("web-01/gone", b"x").await.unwrap();
    host.delete("web-01/gone").await;
    let record = host.record.clone();
    drop(host);
    let fixture = fixture.reopen().await;
    let host = fixture.joined_host("web-01", record.id, crate::fixture::new_key(9).key_id).await;
    assert_eq!(host.read("web-01/small").await.unwrap(), b"tiny");
    assert!(host.read("web-01/large").await.unwrap() == payload(2_000_000));
    assert!(matches!(host.read("web-01/gone").await, Err(StoreError::NoSuchKey)));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn everything_acknowledged_is_in_a_copy_of_the_directory_taken_without_closing() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/small", b"tiny").await.unwrap();
    host.put("web-01/large", &payload(200_000)).await.unwrap();
    // What a killed process leaves behind: the files as they are, with the log not checkpointed.
    let copy = tempfile::tempdir().unwrap();
    copy_directory(fixture.directory.path(), copy.path());
    let store = Store::open(options(&copy, &fixture.clock)).await.unwrap();
    let reader = store.read_store(host.store.reader().scope().clone());
    for (name, bytes) in [("web-01/small", b"tiny".to_vec()), ("web-01/large", payload(200_000))] {
        let object = reader.get(&crate::fixture::key(name)).await.unwrap();
        let stream = object.stream(0..object.meta.bytes).await.unwrap();
        assert!(crate::fixture::read_all(stream).await.unwrap() == bytes);
    }
    let report = store.fsck(kheeper_store::FsckOptions { read_data: true }).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

fn copy_directory(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_directory(&entry.path(), &target);
        } else if entry.file_name() != "index.db-shm" {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_directory_is_opened_once_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOON));
    let first = Store::open(options(&directory, &clock)).await.unwrap();
    let second = Store::open(options(&directory, &clock)).await;
    assert!(matches!(second, Err(OpenError::Locked(_))));
    drop(first);
    Store::open(options(&directory, &clock)).await.unwrap();
}

#[tokio::test]
async fn a_directory_with_something_else_in_it_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("thesis.tex"), "x").unwrap();
    let clock = Arc::new(ManualClock::new(NOON));
    assert!(matches!(Store::open(options(&directory, &clock)).await, Err(OpenError::NotOurs(_))));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_closed_store_refuses_and_does_not_hang() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    fixture.store.clone().close().await;
    assert!(matches!(host.put("web-01/a", b"x").await, Err(StoreError::Unavailable(_))));
    assert!(matches!(host.read("web-01/a").await, Err(StoreError::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_body_leaves_no_file() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let mut writer = host.store.begin_put(crate::fixture::new_object("web-01/a", NOON)).await.unwrap();
    for _ in 0..3 {
        writer.write(bytes::Bytes::from(payload(1 << 20))).await.unwrap();
    }
    drop(writer);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let report = fixture.store.fsck(kheeper_store::FsckOptions::default()).await.unwrap();
        if report.orphan_blobs == 0 {
            break;
        }
        assert!(std::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

/// Polls a future so many times, and then drops it: a request whose client went away at some `await`.
async fn poll_only<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut polls = 0;
    std::future::poll_fn(|context| match (polls, future.as_mut().poll(context)) {
        (_, std::task::Poll::Ready(output)) => std::task::Poll::Ready(Some(output)),
        (polled, _) if polled >= times => std::task::Poll::Ready(None),
        _ => {
            polls += 1;
            std::task::Poll::Pending
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_dropped_at_any_await_is_whole_or_absent_and_its_retry_succeeds() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for (size, name) in [(100, "web-01/small"), (3 << 20, "web-01/large")] {
        let mut finished = false;
        let mut polls = 0;
        while !finished && polls < 200 {
            let object = crate::fixture::new_object(name, NOON);
            let bytes = payload(size + polls);
            finished = poll_only(host.put_new(object.clone(), &bytes), polls).await.is_some();
            match host.read(name).await {
                Ok(read) => assert!(read == bytes || read == payload(size + polls - 1), "{name}: {polls}"),
                Err(error) => assert!(matches!(error, StoreError::NoSuchKey) && polls == 0, "{error}"),
            }
            let written = host.put_new(object, &bytes).await.unwrap();
            assert_eq!(written.bytes, bytes.len() as u64);
            assert!(host.read(name).await.unwrap() == bytes);
            polls += 1;
        }
        assert!(finished, "{name} needs more polls than are tried");
    }
    fixture.assert_clean().await;
}
