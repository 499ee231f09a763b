//! Listing, against a model that scans and folds.

use std::collections::{BTreeMap, BTreeSet};

use kheeper_model::HostName;
use kheeper_store::{ListEntry, ListQuery, ReadScope, ReadStore};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::fixture;

/// What a listing must hold: keys and common prefixes after `after`, in order.
fn model(keys: &BTreeSet<String>, scope: &ReadScope, query: &ListQuery) -> Vec<String> {
    let prefix = std::str::from_utf8(&query.prefix).unwrap();
    let delimiter = query.delimiter.as_deref().map(|d| std::str::from_utf8(d).unwrap()).filter(|d| !d.is_empty());
    let mut entries = BTreeMap::new();
    for key in keys.iter().filter(|key| key.starts_with(prefix) && scope.holds(&key.parse().unwrap())) {
        let rolled = delimiter.and_then(|delimiter| {
            let at = key[prefix.len()..].find(delimiter)?;
            Some(key[..prefix.len() + at + delimiter.len()].to_owned())
        });
        let after = query.after.as_deref().unwrap_or_default();
        match rolled {
            Some(common) if common.as_bytes() == after || key.as_bytes() <= after => {}
            Some(common) => drop(entries.insert(common, ())),
            None if key.as_bytes() <= after => {}
            None => drop(entries.insert(key.clone(), ())),
        }
    }
    entries.into_keys().collect()
}

fn names(entries: &[ListEntry]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| match entry {
            ListEntry::Object(object) => object.key.to_string(),
            ListEntry::CommonPrefix(prefix) => prefix.clone(),
        })
        .collect()
}

async fn all_pages(store: &ReadStore, mut query: ListQuery) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = store.list(query.clone()).await.unwrap();
        assert!(page.entries.len() <= query.max);
        all.extend(names(&page.entries));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return all,
        }
    }
}

fn key_tails() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set("[ab/.\u{e9}]{1,6}", 0..30)
}

#[test]
fn every_page_is_what_a_scan_would_give() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(fixture());
    let hosts = ["web", "web-01", "web-011"];
    let stores: Vec<_> = hosts.iter().zip(10..).map(|(name, key)| runtime.block_on(fixture.host(name, key))).collect();
    let org = || "myorg".parse().unwrap();
    let queries = (
        prop::sample::select(vec!["", "w", "web", "web-01", "web-01/", "web/a", "web-01/a/", "x", "web-01/\u{e9}"]),
        prop::sample::select(vec![None, Some(""), Some("/"), Some("a"), Some("//"), Some("\u{e9}")]),
        proptest::option::of("(web|web-01)/[ab/]{0,4}"),
        1_usize..7,
        prop::sample::select(vec![vec![], vec!["web"], vec!["web-01", "web"], vec!["web-011", "web-01"]]),
    );
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let cases = (key_tails(), key_tails(), proptest::collection::vec(queries, 1..12));
    let mut current = BTreeSet::new();
    let current = std::cell::RefCell::new(&mut current);
    let checked = runner.run(&cases, |(first, second, queries)| {
        let mut current = current.borrow_mut();
        let wanted: BTreeSet<String> = [("web", &first), ("web-01", &second), ("web-011", &first)]
            .into_iter()
            .flat_map(|(host, tails)| tails.iter().map(move |tail| format!("{host}/{tail}")))
            .collect();
        runtime.block_on(async {
            for key in current.difference(&wanted) {
                host_of(&stores, key).delete(key).await;
            }
            for key in wanted.difference(&current) {
                host_of(&stores, key).put(key, b"x").await.unwrap();
            }
        });
        **current = wanted;
        for (prefix, delimiter, after, max, narrowed) in queries {
            let scope = if narrowed.is_empty() {
                ReadScope::Org(org())
            } else {
                ReadScope::Hosts(org(), narrowed.iter().map(|host| host.parse::<HostName>().unwrap()).collect())
            };
            let query = ListQuery {
                prefix: prefix.into(),
                delimiter: delimiter.map(Into::into),
                after: after.map(Into::into),
                max,
            };
            let listed = runtime.block_on(all_pages(&fixture.store.read_store(scope.clone()), query.clone()));
            prop_assert_eq!(listed, model(&current, &scope, &query), "{:?} in {:?}", query, scope);
        }
        Ok(())
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
}

fn host_of<'h>(hosts: &'h [crate::fixture::Host], key: &str) -> &'h crate::fixture::Host {
    let name = key.split_once('/').unwrap().0;
    hosts.iter().find(|host| host.store.namespace().host.as_str() == name).unwrap()
}

#[tokio::test]
async fn an_empty_page_and_a_full_one_have_no_next_and_one_too_many_has() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    for name in ["web-01/a", "web-01/b", "web-01/c"] {
        host.put(name, b"x").await.unwrap();
    }
    let list = |max| host.store.reader().list(ListQuery { max, ..ListQuery::default() });
    assert_eq!(list(0).await.unwrap().next, None);
    assert_eq!(list(3).await.unwrap().next, None);
    assert_eq!(list(2).await.unwrap().next, Some(b"web-01/b".to_vec()));
}
