//! PUT, GET, HEAD, DELETE, copy.

use kheeper_model::{AttemptId, ObjectHeaders};
use kheeper_store::{CopyRequest, Deleted, Denied, ListEntry, ListQuery, Precondition, ReadScope, StoreError};

use crate::fixture::{NOON, fixture, key, new_object, payload, read_all};

#[tokio::test]
async fn what_was_put_reads_back_at_every_size() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for size in [0, 1, 4096, 4097, 65_536, 65_537, 1 << 20, (5 << 20) + 3] {
        let bytes = payload(size);
        let written = host.put("web-01/a", &bytes).await.unwrap();
        assert_eq!(written.bytes, size as u64);
        assert_eq!(written.etag.as_str().len(), 32);
        let object = host.store.reader().get(&key("web-01/a")).await.unwrap();
        assert_eq!(object.meta.etag, written.etag);
        assert_eq!(object.meta.last_modified, written.last_modified);
        assert!(host.read("web-01/a").await.unwrap() == bytes, "{size}");
        for (start, end) in [(0, 0), (0, size / 2), (size / 3, size), (size.saturating_sub(1), size)] {
            let stream = object.stream(start as u64..end as u64).await.unwrap();
            assert_eq!(stream.remaining(), (end - start) as u64);
            assert!(read_all(stream).await.unwrap() == bytes[start..end], "{size}: {start}..{end}");
        }
    }
    fixture.assert_clean().await;
}

#[tokio::test]
async fn headers_are_kept_and_given_back() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let mut object = new_object("web-01/a", NOON);
    object.headers.insert("content-type", "text/plain");
    object.headers.insert("x-amz-meta-mtime", "1.5 \u{fc}");
    let headers = object.headers.clone();
    host.put_new(object, b"x").await.unwrap();
    assert_eq!(host.store.reader().head(&key("web-01/a")).await.unwrap().headers, headers);
}

#[tokio::test]
async fn an_absent_key_is_no_such_key_and_nothing_else() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    assert!(matches!(host.read("web-01/a").await, Err(StoreError::NoSuchKey)));
    assert!(matches!(host.store.reader().head(&key("web-01/a")).await, Err(StoreError::NoSuchKey)));
    assert_eq!(host.store.delete(&key("web-01/a"), AttemptId::random()).await.unwrap(), Deleted::Absent);
}

#[tokio::test]
async fn a_reader_of_an_overwritten_object_goes_on_reading_the_old_bytes() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let old = payload(3 << 20);
    host.put("web-01/a", &old).await.unwrap();
    let object = host.store.reader().get(&key("web-01/a")).await.unwrap();
    host.put("web-01/a", b"new").await.unwrap();
    assert!(read_all(object.stream(0..old.len() as u64).await.unwrap()).await.unwrap() == old);
    assert_eq!(host.read("web-01/a").await.unwrap(), b"new");
}

#[tokio::test]
async fn a_deleted_key_is_absent_and_may_be_written_again() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let first = host.put("web-01/a", b"1").await.unwrap();
    assert_eq!(host.store.delete(&key("web-01/a"), AttemptId::random()).await.unwrap(), Deleted::Hidden);
    assert!(matches!(host.read("web-01/a").await, Err(StoreError::NoSuchKey)));
    let second = host.put("web-01/a", b"2").await.unwrap();
    assert!(second.last_modified > first.last_modified, "LastModified of a key only grows");
    fixture.assert_clean().await;
}

#[tokio::test]
async fn delete_many_hides_all_keys_or_none() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for name in ["web-01/a", "web-01/b", "web-01/c"] {
        host.put(name, b"x").await.unwrap();
    }
    let foreign = vec![key("web-01/a"), key("web-02/b")];
    let refused = host.store.delete_many(foreign, AttemptId::random()).await;
    assert!(matches!(refused, Err(StoreError::Denied(Denied::OutsideNamespace))));
    assert!(host.read("web-01/a").await.is_ok());
    let keys = vec![key("web-01/a"), key("web-01/a"), key("web-01/absent"), key("web-01/c")];
    host.store.delete_many(keys, AttemptId::random()).await.unwrap();
    let page = host.store.reader().list(ListQuery { max: 10, ..ListQuery::default() }).await.unwrap();
    let left = page.entries.iter().map(|entry| match entry {
        ListEntry::Object(object) => object.key.as_str(),
        ListEntry::CommonPrefix(prefix) => prefix,
    });
    let left: Vec<&str> = left.collect();
    assert_eq!(left, ["web-01/b"]);
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_copy_shares_bytes_and_outlives_its_source() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for (size, source) in [(10, "web-01/small"), (100_000, "web-01/large")] {
        let mut object = new_object(source, NOON);
        object.headers.insert("content-type", "text/plain");
        host.put_new(object, &payload(size)).await.unwrap();
        let meta = host.store.reader().head(&key(source)).await.unwrap();
        let request = |to: &str, headers| CopyRequest {
            key: key(to),
            attempt: AttemptId::random(),
            began: NOON,
            source: meta.clone(),
            headers,
            checksum: None,
            precondition: Precondition::NONE,
        };
        let copied = host.store.copy(request("web-01/copy", None)).await.unwrap();
        assert_eq!(copied.etag, meta.etag);
        host.store.copy(request(source, Some(ObjectHeaders::new()))).await.unwrap();
        let onto_itself = host.store.reader().head(&key(source)).await.unwrap();
        assert!(onto_itself.headers.is_empty() && onto_itself.last_modified > meta.last_modified);
        host.delete(source).await;
        assert_eq!(host.read("web-01/copy").await.unwrap(), payload(size));
        let copy = host.store.reader().head(&key("web-01/copy")).await.unwrap();
        assert_eq!(copy.headers.get("content-type"), Some("text/plain"));
    }
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_host_cannot_name_a_key_of_another() {
    let fixture = fixture().await;
    let (host, other) = (fixture.host("web-01", 9).await, fixture.host("web-011", 8).await);
    other.put("web-011/a", b"secret").await.unwrap();
    let outside = |error| matches!(error, StoreError::Denied(Denied::OutsideNamespace));
    assert!(outside(host.put("web-011/a", b"x").await.unwrap_err()));
    assert!(outside(host.read("web-011/a").await.unwrap_err()));
    assert!(outside(host.store.delete(&key("web-011/a"), AttemptId::random()).await.unwrap_err()));
    // Also with a handle that was given the wrong namespace: the commit knows better.
    let forged = fixture.store.host_store(
        host.caller.clone(),
        other.store.namespace().clone(),
        other.record.namespace_id.clone(),
    );
    let forged = crate::fixture::Host { store: forged, ..host.clone() };
    assert!(outside(forged.put("web-011/a", b"x").await.unwrap_err()));
    assert_eq!(other.read("web-011/a").await.unwrap(), b"secret");
    let owner = fixture.store.read_store(ReadScope::Org("myorg".parse().unwrap()));
    assert!(owner.head(&key("web-011/a")).await.is_ok());
    let foreign = fixture.store.read_store(ReadScope::Org("other-org".parse().unwrap()));
    assert!(matches!(foreign.head(&key("web-011/a")).await, Err(StoreError::NoSuchKey)));
}
