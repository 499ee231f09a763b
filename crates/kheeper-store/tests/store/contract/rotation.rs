//! Keys side by side: a host changes its key while it goes on, and people revoke their own.

use kheeper_model::api::KeyState;
use kheeper_model::limits::{KEY_OVERLAP_SECS_MAX, KEYS_PER_HOST_MAX};
use kheeper_store::{Caller, CallerId, Denied, KeyOwner, StoreError};

use crate::fixture::{NOON, fixture, namespace, new_key, new_object};

#[tokio::test]
async fn two_keys_work_side_by_side_and_the_old_one_ends_when_the_new_one_says() {
    let fixture = fixture().await;
    let old = fixture.host("web-01", 9).await;
    let name = namespace("web-01");
    fixture.store.add_host_key(&old.caller, &name, new_key(10)).await.unwrap();
    fixture.store.add_host_key(&old.caller, &name, new_key(10)).await.unwrap();
    let new = fixture.joined_host("web-01", old.record.id.clone(), new_key(10).key_id).await;
    assert!(
        matches!(new.put("web-01/a", b"x").await, Err(StoreError::Denied(Denied::KeyPending))),
        "it proves itself first"
    );
    fixture.store.activate_key(&new_key(10).key_id, None).await.unwrap();
    new.put("web-01/a", b"new").await.unwrap();
    old.put("web-01/a", b"old").await.unwrap();

    let begun = old.store.begin_put(new_object("web-01/slow", NOON)).await.unwrap();
    let host = fixture.store.retire_host_keys(&new.caller, &name, 60).await.unwrap();
    let ends: Vec<_> = host.keys.iter().map(|key| key.ends_at).collect();
    assert!(ends.contains(&Some(NOON.plus_secs(60))) && ends.contains(&None), "{ends:?}");
    // A later word does not give the old key a longer life.
    fixture.store.retire_host_keys(&new.caller, &name, 600).await.unwrap();
    old.put("web-01/b", b"still").await.unwrap();
    begun.commit(crate::fixture::integrity(b"")).await.unwrap();
    fixture.clock.advance_secs(60);
    let late = old.store.begin_put(new_object("web-01/late", NOON)).await.unwrap();
    assert!(matches!(late.commit(crate::fixture::integrity(b"")).await, Err(StoreError::Denied(Denied::KeyRevoked))));
    let seen = fixture.store.caller(&new_key(9).key_id, old.caller.subject.as_str()).await.unwrap().unwrap();
    assert_eq!(seen.key_state, KeyState::Revoked);
    new.put("web-01/b", b"new").await.unwrap();
    assert!(matches!(
        fixture.store.retire_host_keys(&old.caller, &name, 0).await,
        Err(StoreError::Denied(Denied::KeyRevoked))
    ));
}

#[tokio::test]
async fn only_the_host_itself_adds_and_retires_its_keys_and_only_a_few() {
    let fixture = fixture().await;
    let (host, other) = (fixture.host("web-01", 9).await, fixture.host("web-02", 8).await);
    let name = namespace("web-01");
    for stranger in [&fixture.owner, &other.caller] {
        let add = fixture.store.add_host_key(stranger, &name, new_key(20)).await;
        assert!(matches!(add, Err(StoreError::Denied(Denied::OutsideNamespace))));
        let retire = fixture.store.retire_host_keys(stranger, &name, 0).await;
        assert!(matches!(retire, Err(StoreError::Denied(Denied::OutsideNamespace))));
    }
    for number in 0..KEYS_PER_HOST_MAX as u8 - 1 {
        fixture.store.add_host_key(&host.caller, &name, new_key(20 + number)).await.unwrap();
    }
    let enough = fixture.store.add_host_key(&host.caller, &name, new_key(40)).await;
    assert!(matches!(enough, Err(StoreError::TooManyKeys)));
    assert!(fixture.store.keys().await.unwrap().iter().all(|key| key.key_id != new_key(40).key_id));
    let record = fixture.store.retire_host_keys(&host.caller, &name, u64::MAX).await.unwrap();
    let latest = record.keys.iter().filter_map(|key| key.ends_at).max();
    assert_eq!(latest, Some(NOON.plus_secs(KEY_OVERLAP_SECS_MAX)));
    let taken = fixture.store.add_host_key(&host.caller, &name, new_key(8)).await;
    assert!(matches!(taken, Err(StoreError::KeyTaken)));
    fixture.store.disable_host(&fixture.owner, &name).await.unwrap();
    let disabled = fixture.store.retire_host_keys(&host.caller, &name, 0).await;
    assert!(matches!(disabled, Err(StoreError::Denied(Denied::HostDisabled))));
}

#[tokio::test]
async fn a_person_revokes_their_own_keys_and_no_others() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let CallerId::User(alice) = fixture.owner.subject.clone() else { panic!("not a user") };
    fixture.store.register_key(KeyOwner::User(alice.clone()), new_key(50), KeyState::Active).await.unwrap();
    let laptop = Caller { key_id: new_key(50).key_id, ..fixture.owner.clone() };
    let foreign = fixture.store.revoke_own_key(&laptop, &new_key(9).key_id).await;
    assert!(matches!(foreign, Err(StoreError::UnknownKey(_))));
    let by_host = fixture.store.revoke_own_key(&host.caller, &new_key(9).key_id).await;
    assert!(matches!(by_host, Err(StoreError::Denied(Denied::NotOwner))));
    assert_eq!(fixture.store.revoke_own_key(&fixture.owner, &laptop.key_id).await.unwrap().state, KeyState::Revoked);
    let refused = fixture.store.revoke_own_key(&laptop, &fixture.owner.key_id).await;
    assert!(matches!(refused, Err(StoreError::Denied(Denied::KeyRevoked))));
}
