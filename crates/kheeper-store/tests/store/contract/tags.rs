//! Tags, and what else is done to an object that is there.

use kheeper_model::{AttemptId, ETag};
use kheeper_store::{Deleted, Denied, ETagMatch, Precondition, ReadScope, StoreError};

use crate::fixture::{Host, NOON, fixture, key, new_object};

const TAGGING: &str = "x-amz-tagging";

async fn tags(host: &Host, name: &str) -> Option<String> {
    host.store.reader().head(&key(name)).await.unwrap().headers.get(TAGGING).map(str::to_owned)
}

async fn set(host: &Host, name: &str, tagging: Option<&str>) -> Result<(), StoreError> {
    host.store.set_tags(&key(name), tagging.map(str::to_owned), AttemptId::random()).await
}

#[tokio::test]
async fn tags_change_and_nothing_else_does() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let mut object = new_object("web-01/a", NOON);
    object.headers.insert("content-type", "text/plain");
    object.headers.insert(TAGGING, "old=1");
    host.put_new(object, b"bytes").await.unwrap();
    let before = host.store.reader().head(&key("web-01/a")).await.unwrap();
    fixture.clock.advance_secs(100);

    set(&host, "web-01/a", Some("new=2")).await.unwrap();
    let mut after = host.store.reader().head(&key("web-01/a")).await.unwrap();
    assert_eq!(after.headers.remove(TAGGING).as_deref(), Some("new=2"));
    let mut untagged = before.clone();
    untagged.headers.remove(TAGGING);
    assert_eq!(after, untagged, "its Last-Modified, ETag and other headers stay");
    assert_eq!(host.read("web-01/a").await.unwrap(), b"bytes");

    set(&host, "web-01/a", None).await.unwrap();
    assert_eq!(tags(&host, "web-01/a").await, None);
    assert!(matches!(set(&host, "web-01/never", Some("a=1")).await, Err(StoreError::NoSuchKey)));
    host.put("web-01/a", b"newer").await.unwrap();
    host.delete("web-01/a").await;
    assert!(matches!(set(&host, "web-01/a", Some("a=1")).await, Err(StoreError::NoSuchKey)));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_repeated_tagging_does_not_undo_a_later_one() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", b"bytes").await.unwrap();
    let (first, name) = (AttemptId::random(), key("web-01/a"));
    let again = || host.store.set_tags(&name, Some("first=1".to_owned()), first);
    again().await.unwrap();
    set(&host, "web-01/a", Some("second=2")).await.unwrap();
    again().await.unwrap();
    assert_eq!(tags(&host, "web-01/a").await.as_deref(), Some("second=2"));
    let other = host.store.set_tags(&name, None, first).await;
    assert!(matches!(other, Err(StoreError::AttemptMismatch)));
}

#[tokio::test]
async fn nobody_tags_what_is_not_theirs() {
    let fixture = fixture().await;
    let (host, other) = (fixture.host("web-01", 9).await, fixture.host("web-011", 8).await);
    other.put("web-011/a", b"bytes").await.unwrap();
    let outside = |refused| matches!(refused, Err(StoreError::Denied(Denied::OutsideNamespace)));
    assert!(outside(set(&host, "web-011/a", Some("a=1")).await));
    // Also with a handle that was given the wrong namespace: the commit knows better.
    let namespace = (other.store.namespace().clone(), other.record.namespace_id.clone());
    let forged = fixture.store.host_store(host.caller.clone(), namespace.0, namespace.1);
    let forged = Host { store: forged, ..host.clone() };
    assert!(outside(set(&forged, "web-011/a", Some("a=1")).await));
    assert_eq!(tags(&other, "web-011/a").await, None);

    fixture.store.disable_host(&fixture.owner, other.store.namespace()).await.unwrap();
    let refused = set(&other, "web-011/a", Some("a=1")).await;
    assert!(matches!(refused, Err(StoreError::Denied(Denied::HostDisabled))), "{refused:?}");
}

#[tokio::test]
async fn a_delete_on_condition_deletes_that_object_or_none() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let etag = host.put("web-01/a", b"one").await.unwrap().etag;
    let delete_if = |if_match: ETagMatch| {
        let precondition = Precondition { if_match: Some(if_match), if_none_match: None };
        let (store, key) = (host.store.clone(), key("web-01/a"));
        async move { store.delete_if(&key, AttemptId::random(), precondition).await }
    };
    let other = delete_if(ETagMatch::OneOf(vec![ETag::new("0")])).await;
    assert!(matches!(other, Err(StoreError::PreconditionFailed)));
    assert_eq!(host.read("web-01/a").await.unwrap(), b"one");
    assert_eq!(delete_if(ETagMatch::OneOf(vec![etag])).await.unwrap(), Deleted::Hidden);
    assert!(matches!(delete_if(ETagMatch::Any).await, Err(StoreError::NoSuchKey)));
    host.put("web-01/a", b"two").await.unwrap();
    assert_eq!(delete_if(ETagMatch::Any).await.unwrap(), Deleted::Hidden);
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_version_that_is_past_has_the_tags_that_it_was_given() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", b"one").await.unwrap();
    set(&host, "web-01/a", Some("first=1")).await.unwrap();
    fixture.clock.advance_secs(10);
    let then = fixture.store.now();
    fixture.clock.advance_secs(10);
    host.put("web-01/a", b"two").await.unwrap();
    set(&host, "web-01/a", Some("second=2")).await.unwrap();
    fixture.clock.advance_secs(100);
    let past = fixture.store.read_store_at(ReadScope::Org("myorg".parse().unwrap()), then).unwrap();
    let old = past.head(&key("web-01/a")).await.unwrap();
    assert_eq!((old.bytes, old.headers.get(TAGGING)), (3, Some("first=1")));
    assert_eq!(tags(&host, "web-01/a").await.as_deref(), Some("second=2"));
}
