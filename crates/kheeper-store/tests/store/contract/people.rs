//! Users, keys, orgs, callers.

use kheeper_model::UserId;
use kheeper_model::api::KeyState;
use kheeper_store::{Caller, CallerId, CallerSubject, Denied, KeyOwner, StoreError};

use crate::fixture::{NOON, fixture, new_key};

#[tokio::test]
async fn names_of_users_and_orgs_are_taken_once() {
    let fixture = fixture().await;
    let bob = fixture.store.create_user("bob".parse().unwrap()).await.unwrap();
    assert!(matches!(fixture.store.create_user("bob".parse().unwrap()).await, Err(StoreError::NameTaken)));
    fixture.store.register_key(KeyOwner::User(bob.id.clone()), new_key(30), KeyState::Active).await.unwrap();
    let caller = Caller { key_id: new_key(30).key_id, subject: CallerId::User(bob.id.clone()), from: None };
    let org = fixture.store.create_org(&caller, "bobs-org".parse().unwrap()).await.unwrap();
    assert_eq!((org.owners, org.host_count), (vec![bob.id.clone()], 0));
    let taken = fixture.store.create_org(&caller, "myorg".parse().unwrap()).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)));
    let nobody = Caller { subject: CallerId::User(UserId::random()), ..caller.clone() };
    let nobody = fixture.store.create_org(&nobody, "no-org".parse().unwrap()).await;
    assert!(matches!(nobody, Err(StoreError::Denied(Denied::UnknownKey))));
    // The key counts when the org is made, and not when the call was let in.
    fixture.store.revoke_key(&caller.key_id).await.unwrap();
    let revoked = fixture.store.create_org(&caller, "too-late".parse().unwrap()).await;
    assert!(matches!(revoked, Err(StoreError::Denied(Denied::KeyRevoked))));
    let users = fixture.store.users().await.unwrap();
    assert_eq!(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["alice", "bob"]);
    assert_eq!(fixture.store.orgs_of(&bob.id).await.unwrap().len(), 1);
    assert_eq!(fixture.store.user(&bob.id).await.unwrap().unwrap().owns, ["bobs-org".parse().unwrap()]);
}

#[tokio::test]
async fn a_key_is_found_by_its_id_and_subject_only() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let sub = host.record.id.as_str();
    let found = fixture.store.caller(&new_key(9).key_id, sub).await.unwrap().unwrap();
    assert_eq!((found.public_key, found.key_state), ([9; 32], KeyState::Active));
    assert_eq!(found.caller(None), host.caller);
    assert!(matches!(found.subject, CallerSubject::Host { .. }));
    assert_eq!(fixture.store.caller(&new_key(1).key_id, sub).await.unwrap(), None);
    assert_eq!(fixture.store.caller(&new_key(9).key_id, fixture.owner.subject.as_str()).await.unwrap(), None);
    assert_eq!(fixture.store.caller(&new_key(9).key_id, "root").await.unwrap(), None);
    let owner = fixture.store.caller(&new_key(1).key_id, fixture.owner.subject.as_str()).await.unwrap().unwrap();
    let CallerSubject::User { owns, disabled, .. } = owner.subject else { panic!("not a user") };
    assert_eq!((owns, disabled), (vec!["myorg".parse().unwrap()], false));
}

#[tokio::test]
async fn a_revoked_key_is_never_registered_again() {
    let fixture = fixture().await;
    let bob = fixture.store.create_user("bob".parse().unwrap()).await.unwrap();
    let owner = KeyOwner::User(bob.id.clone());
    let register = |state| fixture.store.register_key(owner.clone(), new_key(50), state);
    assert_eq!(register(KeyState::Pending).await.unwrap().state, KeyState::Pending);
    assert_eq!(fixture.store.activate_key(&new_key(50).key_id, None).await.unwrap().state, KeyState::Active);
    assert_eq!(register(KeyState::Pending).await.unwrap().state, KeyState::Active);
    let alice = fixture.store.users().await.unwrap()[0].id.clone();
    let taken = fixture.store.register_key(KeyOwner::User(alice), new_key(50), KeyState::Active).await;
    assert!(matches!(taken, Err(StoreError::KeyTaken)));

    let epoch = fixture.store.auth_epoch().await.unwrap();
    assert_eq!(fixture.store.revoke_key(&new_key(50).key_id).await.unwrap().state, KeyState::Revoked);
    assert!(fixture.store.auth_epoch().await.unwrap() > epoch);
    assert!(matches!(register(KeyState::Active).await, Err(StoreError::KeyRevoked)));
    assert!(matches!(fixture.store.activate_key(&new_key(50).key_id, None).await, Err(StoreError::KeyRevoked)));
    assert!(matches!(fixture.store.revoke_key(&new_key(51).key_id).await, Err(StoreError::UnknownKey(_))));
}

#[tokio::test]
async fn a_registration_token_counts_once() {
    let fixture = fixture().await;
    let bob = fixture.store.create_user("bob".parse().unwrap()).await.unwrap();
    let expires = NOON.plus_secs(900);
    let using = |number| fixture.store.use_registration("jti-1", expires, &bob.id, new_key(number));
    assert_eq!(using(60).await.unwrap().state, KeyState::Active);
    assert!(matches!(using(60).await, Err(StoreError::RegistrationUsed)), "not even for the same key");
    assert!(matches!(using(61).await, Err(StoreError::RegistrationUsed)));
}

#[tokio::test]
async fn revoking_and_disabling_count_inside_the_next_commit() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", b"1").await.unwrap();
    // The upload began before the key was revoked, and ends after.
    let begun = host.store.begin_put(crate::fixture::new_object("web-01/b", NOON)).await.unwrap();
    fixture.store.revoke_key(&new_key(9).key_id).await.unwrap();
    let late = begun.commit(crate::fixture::integrity(b"")).await;
    assert!(matches!(late, Err(StoreError::Denied(Denied::KeyRevoked))));

    let alice = fixture.store.users().await.unwrap()[0].id.clone();
    fixture.store.set_user_disabled(&alice, true).await.unwrap();
    let refused = fixture.store.disable_host(&fixture.owner, host.store.namespace()).await;
    assert!(matches!(refused, Err(StoreError::Denied(Denied::UserDisabled))));
    fixture.store.set_user_disabled(&alice, false).await.unwrap();
    assert!(fixture.store.disable_host(&fixture.owner, host.store.namespace()).await.is_ok());
}
