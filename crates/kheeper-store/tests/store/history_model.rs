//! The past, against a model that remembers every state it was in.

use std::collections::BTreeMap;

use kheeper_model::{AttemptId, Clock as _, Timestamp};
use kheeper_store::{CopyRequest, ListEntry, ListQuery, Precondition, ReadScope, ReadStore, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Fixture, Host, fixture, key, new_object, read_all};

/// What a host does to its keys, a few seconds after the last thing it did.
#[derive(Debug, Clone)]
enum Act {
    Put(u8),
    /// A PUT that began long before what is current did.
    StalledPut(u8),
    Delete(u8),
    Copy(u8, u8),
    Wait,
}

fn acts() -> impl Strategy<Value = Vec<(Act, u8)>> {
    let key = 0_u8..6;
    let act = prop_oneof![
        4 => key.clone().prop_map(Act::Put),
        1 => key.clone().prop_map(Act::StalledPut),
        2 => key.clone().prop_map(Act::Delete),
        1 => (key.clone(), key).prop_map(|(from, to)| Act::Copy(from, to)),
        1 => Just(Act::Wait),
    ];
    proptest::collection::vec((act, 0_u8..4), 1..40)
}

fn name(number: u8) -> String {
    // Two of the keys are common prefixes of others, and themselves keys.
    ["web-01/a", "web-01/a/", "web-01/a/1", "web-01/b/1", "web-01/b/", "web-01/c"][usize::from(number)].to_owned()
}

/// Keys with what they hold.
type State = BTreeMap<String, Vec<u8>>;

/// When the PUT of what is current began, for each key.
type Began = BTreeMap<String, Timestamp>;

async fn perform(fixture: &Fixture, host: &Host, state: &mut State, began: &mut Began, act: &Act, bytes: Vec<u8>) {
    let now = fixture.store.now();
    match act {
        Act::Put(number) => {
            host.put_new(new_object(&name(*number), now), &bytes).await.unwrap();
            state.insert(name(*number), bytes);
            began.insert(name(*number), now);
        }
        Act::StalledPut(number) => {
            let long_ago = now.minus_secs(1_000_000);
            host.put_new(new_object(&name(*number), long_ago), &bytes).await.unwrap();
            let current_is_newer = began.get(&name(*number)).is_some_and(|began| long_ago.plus_secs(10) < *began);
            if !current_is_newer {
                state.insert(name(*number), bytes);
                began.insert(name(*number), long_ago);
            }
        }
        Act::Delete(number) => {
            host.delete(&name(*number)).await;
            state.remove(&name(*number));
            began.remove(&name(*number));
        }
        Act::Copy(from, to) => {
            let Ok(source) = host.store.reader().head(&key(&name(*from))).await else { return };
            let request = CopyRequest {
                key: key(&name(*to)),
                attempt: AttemptId::random(),
                began: now,
                source,
                headers: None,
                checksum: None,
                precondition: Precondition::NONE,
            };
            host.store.copy(request).await.unwrap();
            state.insert(name(*to), state[&name(*from)].clone());
            began.insert(name(*to), now);
        }
        Act::Wait => {}
    }
}

/// What a reader sees, by listing in small pages and reading each key.
async fn seen(reader: &ReadStore, max: usize) -> State {
    let mut query = ListQuery { max, ..ListQuery::default() };
    let mut state = State::new();
    loop {
        let page = reader.list(query.clone()).await.unwrap();
        for entry in &page.entries {
            let ListEntry::Object(listed) = entry else { panic!("a common prefix without a delimiter") };
            let object = reader.get(&listed.key).await.unwrap();
            assert_eq!((object.meta.bytes, &object.meta.etag), (listed.bytes, &listed.etag));
            assert_eq!(object.meta.last_modified, listed.last_modified);
            let bytes = read_all(object.stream(0..listed.bytes).await.unwrap()).await.unwrap();
            assert!(state.insert(listed.key.to_string(), bytes).is_none(), "{} twice", listed.key);
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return state,
        }
    }
}

/// What a listing with a delimiter must show of a state.
fn rolled_up(state: &State) -> Vec<String> {
    let mut names: Vec<String> = state
        .keys()
        .map(|key| match key["web-01/".len()..].find('/') {
            Some(at) => key[..="web-01/".len() + at].to_owned(),
            None => key.clone(),
        })
        .collect();
    names.dedup();
    names
}

async fn listed_with_delimiter(reader: &ReadStore, max: usize) -> Vec<String> {
    let delimiter = Some(b"/".to_vec());
    let mut query = ListQuery { prefix: b"web-01/".to_vec(), delimiter, after: None, max };
    let mut names = Vec::new();
    loop {
        let page = reader.list(query.clone()).await.unwrap();
        names.extend(page.entries.iter().map(|entry| match entry {
            ListEntry::Object(object) => object.key.to_string(),
            ListEntry::CommonPrefix(prefix) => prefix.clone(),
        }));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return names,
        }
    }
}

async fn check(acts: &[(Act, u8)]) {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let mut states: Vec<(Timestamp, State)> = Vec::new();
    let (mut state, mut began) = (State::new(), Began::new());
    for (number, (act, secs)) in acts.iter().enumerate() {
        // Several acts may fall on the same millisecond: then only the state after the last of them is a state of then.
        perform(&fixture, &host, &mut state, &mut began, act, vec![number as u8; 1 + number % 3]).await;
        if *secs > 0 {
            // Two commits of one key at the same millisecond are a millisecond apart: let that pass, too.
            fixture.clock.advance_secs(1);
            states.push((fixture.clock.now(), state.clone()));
            fixture.clock.advance_secs(u64::from(*secs));
        }
    }
    fixture.clock.advance_secs(100);
    states.push((fixture.clock.now().minus_secs(60), state));
    let scope = || ReadScope::Hosts("myorg".parse().unwrap(), ["web-01".parse().unwrap()].into());
    for (at, then) in &states {
        let reader = fixture.store.read_store_at(scope(), *at).unwrap();
        assert_eq!(&seen(&reader, 2).await, then, "as of {at}");
        assert_eq!(listed_with_delimiter(&reader, 1).await, rolled_up(then), "as of {at}");
        for number in 0..6 {
            let found = reader.head(&key(&name(number))).await;
            match then.get(&name(number)) {
                Some(bytes) => assert_eq!(found.unwrap().bytes, bytes.len() as u64),
                None => assert!(matches!(found, Err(StoreError::NoSuchKey)), "{} as of {at}", name(number)),
            }
        }
    }
    let before = fixture.store.read_store_at(scope(), Timestamp::from_secs(1)).unwrap();
    assert!(seen(&before, 1000).await.is_empty());
    fixture.assert_clean().await;
}

#[test]
fn every_past_state_reads_as_it_was() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let checked = runner.run(&acts(), |acts| {
        runtime.block_on(check(&acts));
        Ok(())
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
}
