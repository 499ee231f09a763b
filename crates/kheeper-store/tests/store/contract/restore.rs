//! Restoring: what was is current again, and what was current meanwhile is history.

use kheeper_model::Timestamp;
use kheeper_model::api::{RestoreAction, RestorePage};
use kheeper_model::limits::RESTORE_KEYS_PER_COMMIT;
use kheeper_store::{DeleteHost, ListEntry, ListQuery, RestoreTarget, StoreError};

use crate::fixture::{Fixture, Host, fixture, key, namespace, new_object};

async fn put(fixture: &Fixture, host: &Host, name: &str, bytes: &[u8]) -> Timestamp {
    let written = host.put_new(new_object(name, fixture.store.now()), bytes).await.unwrap();
    fixture.clock.advance_secs(100);
    written.last_modified
}

async fn restore_all(fixture: &Fixture, target: RestoreTarget) -> RestorePage {
    let (mut all, mut after) = (RestorePage::default(), None);
    loop {
        let page = fixture.store.restore(&fixture.owner, &namespace("web-01"), "web-01/", target, after).await.unwrap();
        assert!(page.steps.len() <= RESTORE_KEYS_PER_COMMIT);
        all.steps.extend(page.steps);
        all.unchanged += page.unchanged;
        match page.next {
            Some(next) => after = Some(key(&next)),
            None => return all,
        }
    }
}

fn actions(page: &RestorePage) -> Vec<(&str, RestoreAction)> {
    page.steps.iter().map(|step| (step.key.as_str(), step.action)).collect()
}

#[tokio::test]
async fn a_prefix_becomes_what_it_was_and_keeps_its_times() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let first = put(&fixture, &host, "web-01/changed", b"first").await;
    put(&fixture, &host, "web-01/deleted", &[7; 10_000]).await;
    put(&fixture, &host, "web-01/same", b"same").await;
    let then = fixture.store.now();
    fixture.clock.advance_secs(100);
    put(&fixture, &host, "web-01/changed", b"second").await;
    put(&fixture, &host, "web-01/new", b"new").await;
    host.delete("web-01/deleted").await;
    fixture.clock.advance_secs(100);
    let attacked = fixture.store.now();
    fixture.clock.advance_secs(1);

    let name = namespace("web-01");
    let plan = fixture.store.plan_restore(&name, "web-01/", RestoreTarget::AsOf(then), None);
    let plan = plan.await.unwrap();
    assert_eq!(
        actions(&plan),
        [
            ("web-01/changed", RestoreAction::Restore),
            ("web-01/deleted", RestoreAction::Restore),
            ("web-01/new", RestoreAction::Hide)
        ]
    );
    assert!(matches!(host.read("web-01/deleted").await, Err(StoreError::NoSuchKey)), "a plan changes nothing");

    assert_eq!(restore_all(&fixture, RestoreTarget::AsOf(then)).await, plan);
    assert_eq!(host.read("web-01/changed").await.unwrap(), b"first");
    assert_eq!(host.read("web-01/deleted").await.unwrap(), [7; 10_000]);
    assert!(matches!(host.read("web-01/new").await, Err(StoreError::NoSuchKey)));
    let meta = host.store.reader().head(&key("web-01/changed")).await.unwrap();
    assert_eq!(meta.last_modified, first, "clients choose the newest by it");
    let page = host.store.reader().list(ListQuery { max: 1, ..ListQuery::default() }).await.unwrap();
    assert!(matches!(&page.entries[0], ListEntry::Object(object) if object.last_modified == first));
    fixture.assert_clean().await;

    // Again: nothing to do. And what was current in between is history like any.
    let again = restore_all(&fixture, RestoreTarget::AsOf(then)).await;
    assert_eq!((again.steps.len(), again.unchanged), (0, 4));
    fixture.clock.advance_secs(100);
    let back = restore_all(&fixture, RestoreTarget::AsOf(attacked)).await;
    assert_eq!(back.steps.len(), 3);
    assert_eq!(host.read("web-01/changed").await.unwrap(), b"second");
    assert_eq!(host.read("web-01/new").await.unwrap(), b"new");
    // The host writes on over what was restored.
    put(&fixture, &host, "web-01/changed", b"third").await;
    assert_eq!(host.read("web-01/changed").await.unwrap(), b"third");
    fixture.assert_clean().await;
}

#[tokio::test]
async fn an_undelete_and_a_restore_that_keeps_new_keys_hide_nothing() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    put(&fixture, &host, "web-01/a", b"1").await;
    put(&fixture, &host, "web-01/a", b"2").await;
    let then = fixture.store.now();
    fixture.clock.advance_secs(100);
    host.delete("web-01/a").await;
    put(&fixture, &host, "web-01/b", b"3").await;
    assert_eq!(actions(&restore_all(&fixture, RestoreTarget::Undelete).await), [("web-01/a", RestoreAction::Restore)]);
    assert_eq!(host.read("web-01/a").await.unwrap(), b"2", "in its last version");
    host.delete("web-01/a").await;
    let kept = restore_all(&fixture, RestoreTarget::AsOfKeepingNew(then)).await;
    assert_eq!(actions(&kept), [("web-01/a", RestoreAction::Restore)]);
    assert_eq!(host.read("web-01/b").await.unwrap(), b"3");
}

#[tokio::test]
async fn only_an_owner_restores_and_needs_neither_the_hosts_key_nor_its_quota() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    put(&fixture, &host, "web-01/a", b"1234").await;
    host.delete("web-01/a").await;
    let name = namespace("web-01");
    let target = RestoreTarget::Undelete;
    let denied = fixture.store.restore(&host.caller, &name, "web-01/", target, None).await;
    assert!(matches!(denied, Err(StoreError::Denied(_))));
    let outside = fixture.store.restore(&fixture.owner, &name, "web-0", target, None).await;
    assert!(matches!(outside, Err(StoreError::Denied(_))));
    fixture.set_quota(kheeper_model::api::Quota::Bytes(1)).await;
    fixture.store.revoke_host_keys(&fixture.owner, &name).await.unwrap();
    fixture.store.delete_host(&fixture.owner, &name, DeleteHost::WithBackups).await.unwrap();
    assert_eq!(restore_all(&fixture, target).await.steps.len(), 1);
    assert_eq!(host.read("web-01/a").await.unwrap(), b"1234");
    let record = fixture.store.host(&name).await.unwrap().unwrap();
    assert_eq!((record.current_bytes, record.hidden_bytes), (4, 4), "restored versions count");
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_restore_of_many_keys_goes_batch_by_batch() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let names: Vec<String> = (0..RESTORE_KEYS_PER_COMMIT + 1).map(|number| format!("web-01/{number:04}")).collect();
    for name in &names {
        host.put(name, b"x").await.unwrap();
    }
    let keys = names.iter().map(|name| key(name)).collect();
    host.store.delete_many(keys, kheeper_model::AttemptId::random()).await.unwrap();
    let name = namespace("web-01");
    let first = fixture.store.restore(&fixture.owner, &name, "web-01/", RestoreTarget::Undelete, None).await.unwrap();
    assert_eq!(first.steps.len(), RESTORE_KEYS_PER_COMMIT);
    assert!(first.next.is_some());
    // Interrupted here, and begun anew.
    let rest = restore_all(&fixture, RestoreTarget::Undelete).await;
    assert_eq!((rest.steps.len(), rest.unchanged), (1, RESTORE_KEYS_PER_COMMIT as u64));
    fixture.assert_clean().await;
}
