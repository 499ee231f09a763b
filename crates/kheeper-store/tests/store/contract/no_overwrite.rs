//! Namespaces in which what was written first stays.

use kheeper_model::AttemptId;
use kheeper_model::api::HostSettings;
use kheeper_store::{CopyRequest, Precondition, StoreError};

use crate::fixture::{Fixture, Host, fixture, key, new_object, payload};

async fn keeping_host(fixture: &Fixture) -> Host {
    let host = fixture.host("web-01", 9).await;
    fixture.set(HostSettings { no_overwrite: Some(true), ..HostSettings::default() }).await;
    host
}

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::WouldOverwrite(_)))
}

#[tokio::test]
async fn the_same_bytes_again_are_a_success_and_others_are_refused() {
    let fixture = fixture().await;
    let host = keeping_host(&fixture).await;
    for size in [10, 100_000] {
        let name = format!("web-01/{size}");
        let first = host.put(&name, &payload(size)).await.unwrap();
        fixture.clock.advance_secs(5);
        assert_eq!(host.put(&name, &payload(size)).await.unwrap(), first, "also its Last-Modified");
        let mut other = payload(size);
        other[size / 2] ^= 1;
        assert!(refused(host.put(&name, &other).await));
        assert!(refused(host.put(&name, &other[1..]).await));
        // A PUT that stalled for long is no exception.
        let late = new_object(&name, fixture.store.now().minus_secs(3600));
        assert!(refused(host.put_new(late, &other).await));
        assert_eq!(host.read(&name).await.unwrap(), payload(size));
    }
    let versions = fixture.store.versions(host.store.namespace(), "web-01/", None, 10).await.unwrap();
    assert_eq!(versions.versions.len(), 2, "no second version of either");
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_copy_over_it_is_refused() {
    let fixture = fixture().await;
    let host = keeping_host(&fixture).await;
    host.put("web-01/a", b"first").await.unwrap();
    let copy = async |to: &str| {
        let request = CopyRequest {
            key: key(to),
            attempt: AttemptId::random(),
            began: fixture.store.now(),
            source: host.store.reader().head(&key("web-01/a")).await.unwrap(),
            headers: None,
            checksum: None,
            precondition: Precondition::NONE,
        };
        host.store.copy(request).await
    };
    copy("web-01/b").await.unwrap();
    assert!(refused(copy("web-01/a").await), "a copy onto itself changes at least its headers");
    assert!(refused(copy("web-01/b").await));
}

#[tokio::test]
async fn a_deleted_name_takes_its_own_bytes_only_for_as_long_as_they_are_kept() {
    let fixture = fixture().await;
    let host = keeping_host(&fixture).await;
    host.put("web-01/a", b"first").await.unwrap();
    host.delete("web-01/a").await;
    assert!(refused(host.put("web-01/a", b"other").await), "a second cluster does not take over what the first pruned");
    host.put("web-01/a", b"first").await.unwrap();
    assert_eq!(host.read("web-01/a").await.unwrap(), b"first");
    host.delete("web-01/a").await;
    fixture.clock.advance_secs(7 * 24 * 3600 + 1);
    host.put("web-01/a", b"other").await.unwrap();
    fixture.assert_clean().await;
}

#[tokio::test]
async fn of_a_hundred_writers_at_once_exactly_one_content_survives() {
    let fixture = fixture().await;
    let host = keeping_host(&fixture).await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..100_u8 {
        let host = host.clone();
        writers.spawn(async move { (number, host.put("web-01/a", &[number; 9]).await) });
    }
    let mut winners = Vec::new();
    while let Some(done) = writers.join_next().await {
        match done.unwrap() {
            (number, Ok(_)) => winners.push(number),
            (_, answer) => assert!(refused(answer)),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(host.read("web-01/a").await.unwrap(), [winners[0]; 9]);
}

#[tokio::test]
async fn without_it_the_last_one_wins_and_the_first_is_kept() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", b"first").await.unwrap();
    host.put("web-01/a", b"second").await.unwrap();
    assert_eq!(host.read("web-01/a").await.unwrap(), b"second");
    let versions = fixture.store.versions(host.store.namespace(), "web-01/a", None, 10).await.unwrap();
    assert_eq!(versions.versions.len(), 2);
}
