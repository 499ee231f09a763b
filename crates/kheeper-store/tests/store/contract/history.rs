//! The past: what a reader of it may see, what it costs, and until when it is whole.

use kheeper_model::limits::PAST_KEYS_PER_PAGE_MAX;
use kheeper_store::{ListQuery, ReadScope, StoreError};

use crate::fixture::{Fixture, fixture, key, namespace};

fn scope() -> ReadScope {
    ReadScope::Org("myorg".parse().unwrap())
}

#[tokio::test]
async fn a_time_is_read_as_of_once_it_is_a_minute_past() {
    let fixture = fixture().await;
    let now = fixture.store.now();
    let refused = |at| matches!(fixture.store.read_store_at(scope(), at), Err(StoreError::TimeNotPast(_)));
    assert!(refused(now));
    assert!(refused(now.minus_secs(59)));
    assert!(!refused(now.minus_secs(60)));
}

#[tokio::test]
async fn all_versions_of_a_key_are_listed_page_by_page() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for bytes in [&b"1"[..], b"22", b"333"] {
        host.put("web-01/a", bytes).await.unwrap();
        fixture.clock.advance_secs(1);
    }
    host.delete("web-01/a").await;
    host.put("web-01/b", b"4444").await.unwrap();
    let name = namespace("web-01");
    let (mut lengths, mut after) = (Vec::new(), None);
    loop {
        let page = fixture.store.versions(&name, "web-01/", after, 2).await.unwrap();
        assert!(page.versions.len() <= 2);
        for version in page.versions {
            assert_eq!(version.hidden_at.is_some(), version.key == key("web-01/a"));
            assert_eq!(version.purge_after, version.hidden_at.map(|at| at.plus_secs(7 * 24 * 3600)));
            lengths.push(version.bytes);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(lengths, [1, 2, 3, 4]);
    let outside = fixture.store.versions(&name, "web-0", None, 2).await;
    assert!(matches!(outside, Err(StoreError::Denied(_))), "a prefix that is not the namespace's own");
}

/// Each page ends after a bounded number of keys that were not there, and the pages together are complete.
#[tokio::test]
async fn keys_that_were_not_there_then_end_a_page_and_hide_nothing() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", b"first").await.unwrap();
    host.put("web-01/z", b"last").await.unwrap();
    let then = fixture.store.now();
    fixture.clock.advance_secs(100);
    put_later(&fixture, PAST_KEYS_PER_PAGE_MAX + 10).await;
    let reader = fixture.store.read_store_at(scope(), then).unwrap();
    for delimiter in [None, Some(b"/".to_vec())] {
        let mut query = ListQuery { prefix: b"web-01/".to_vec(), delimiter, after: None, max: 1000 };
        let first = reader.list(query.clone()).await.unwrap();
        assert_eq!(first.entries.len(), 1, "the page ends before it is full");
        query.after = Some(first.next.unwrap());
        let second = reader.list(query).await.unwrap();
        assert_eq!((second.entries.len(), second.next), (1, None));
    }
}

/// Writes so many keys below `web-01/later/` at once, straight through the store's own writes.
async fn put_later(fixture: &Fixture, count: usize) {
    let record = fixture.store.host(&namespace("web-01")).await.unwrap().unwrap();
    let host = fixture.joined_host("web-01", record.id, record.keys[0].key_id.clone()).await;
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..count {
        let host = host.clone();
        writes.spawn(async move { host.put(&format!("web-01/later/{number:06}"), b"x").await.map(drop) });
        if writes.len() >= 500 {
            writes.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    while let Some(written) = writes.join_next().await {
        written.unwrap().unwrap();
    }
}
