//! Roles: owners and auditors of an org.

use kheeper_model::UserId;
use kheeper_model::api::{KeyState, Role};
use kheeper_store::{Caller, CallerId, CallerSubject, Denied, HostCredential, KeyOwner, StoreError};

use crate::fixture::{Fixture, fixture, namespace, new_key};

async fn person(fixture: &Fixture, name: &str, number: u8) -> (UserId, Caller) {
    let user = fixture.store.create_user(name.parse().unwrap()).await.unwrap();
    fixture.store.register_key(KeyOwner::User(user.id.clone()), new_key(number), KeyState::Active).await.unwrap();
    let caller = Caller { key_id: new_key(number).key_id, subject: CallerId::User(user.id.clone()), from: None };
    (user.id, caller)
}

#[tokio::test]
async fn an_auditor_is_known_as_one_and_changes_nothing() {
    let fixture = fixture().await;
    fixture.host("web-01", 9).await;
    let (bob, caller) = person(&fixture, "bob", 30).await;
    let org = "myorg".parse().unwrap();
    let stranger = fixture.store.put_member(Some(&caller), &org, &bob, Role::Auditor).await;
    assert!(matches!(stranger, Err(StoreError::Denied(Denied::NotOwner))));
    let members = fixture.store.put_member(Some(&fixture.owner), &org, &bob, Role::Auditor).await.unwrap();
    let roles: Vec<_> = members.iter().map(|member| (member.name.as_str(), member.role)).collect();
    assert_eq!(roles, [("alice", Role::Owner), ("bob", Role::Auditor)]);
    let seen = fixture.store.caller(&caller.key_id, bob.as_str()).await.unwrap().unwrap().subject;
    let CallerSubject::User { owns, audits, .. } = seen else { panic!("not a user") };
    assert_eq!((owns, audits), (vec![], vec![org.clone()]));
    let refused = |result: Result<_, StoreError>| assert!(matches!(result, Err(StoreError::Denied(Denied::NotOwner))));
    refused(fixture.store.disable_host(&caller, &namespace("web-01")).await.map(drop));
    refused(fixture.store.put_member(Some(&caller), &org, &bob, Role::Owner).await.map(drop));
    refused(fixture.store.remove_member(&caller, &org, &bob).await.map(drop));
    let credential = HostCredential::PublicKey(new_key(40));
    refused(fixture.store.create_host(&caller, &namespace("web-02"), credential).await.map(drop));
    let nobody = fixture.store.put_member(Some(&fixture.owner), &org, &UserId::random(), Role::Owner).await;
    assert!(matches!(nobody, Err(StoreError::NoSuchUser(_))));
}

#[tokio::test]
async fn the_last_owner_who_is_let_in_stays_however_two_race() {
    let fixture = fixture().await;
    let org = "myorg".parse().unwrap();
    let CallerId::User(alice) = fixture.owner.subject.clone() else { panic!("not a user") };
    let alone = fixture.store.remove_member(&fixture.owner, &org, &alice).await;
    assert!(matches!(alone, Err(StoreError::LastOwner)));
    let demoted = fixture.store.put_member(Some(&fixture.owner), &org, &alice, Role::Auditor).await;
    assert!(matches!(demoted, Err(StoreError::LastOwner)));
    for round in 0..8 {
        let (bob, caller) = person(&fixture, &format!("bob-{round}"), 30 + round).await;
        fixture.store.put_member(Some(&fixture.owner), &org, &bob, Role::Owner).await.unwrap();
        // Each removes the other at once: one succeeds, and the loser is no owner any more.
        let (one, two) = tokio::join!(
            fixture.store.remove_member(&fixture.owner, &org, &bob),
            fixture.store.remove_member(&caller, &org, &alice)
        );
        assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count(), 1, "{one:?} {two:?}");
        let left = fixture.store.members(&org).await.unwrap();
        assert_eq!(left.len(), 1);
        if two.is_ok() {
            fixture.store.put_member(None, &org, &alice, Role::Owner).await.unwrap();
            fixture.store.remove_member(&fixture.owner, &org, &bob).await.unwrap();
        }
    }
    // One who is disabled does not count: nobody would be left who is let in.
    let (bob, _) = person(&fixture, "carol", 60).await;
    fixture.store.put_member(Some(&fixture.owner), &org, &bob, Role::Owner).await.unwrap();
    fixture.store.set_user_disabled(&bob, true).await.unwrap();
    let refused = fixture.store.remove_member(&fixture.owner, &org, &alice).await;
    assert!(matches!(refused, Err(StoreError::LastOwner)));
}
