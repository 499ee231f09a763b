//! Grants: one host reads another for a time.

use kheeper_model::HostName;
use kheeper_model::api::KeyState;
use kheeper_model::limits::{GRANT_ENDED_SECS, GRANT_SECS_MAX, GRANTS_PER_HOST_MAX};
use kheeper_store::{
    Caller, CallerId, CallerSubject, DeleteHost, Denied, GrantRefusal, KeyOwner, ReadGrant, StoreError,
};

use crate::fixture::{Fixture, Host, NOON, fixture, namespace, new_key};

const DAY: u64 = 24 * 3600;

fn name(host: &str) -> HostName {
    host.parse().unwrap()
}

/// What the index says a host may read of others.
async fn grants_of(fixture: &Fixture, host: &Host) -> Vec<ReadGrant> {
    let found = fixture.store.caller(&host.caller.key_id, host.caller.subject.as_str()).await.unwrap().unwrap();
    let CallerSubject::Host { grants, .. } = found.subject else { panic!("not a host") };
    grants
}

#[tokio::test]
async fn a_grant_is_made_by_an_owner_seen_in_the_next_lookup_and_ends_when_deleted() {
    let fixture = fixture().await;
    let (web_01, web_02) = (fixture.host("web-01", 9).await, fixture.host("web-02", 8).await);
    let epoch = fixture.store.auth_epoch().await.unwrap();
    let made = fixture.store.create_grant(&fixture.owner, &namespace("web-01"), &name("web-02"), DAY).await.unwrap();
    assert_eq!((made.host.as_str(), made.to.as_str(), made.ends_at), ("web-01", "web-02", NOON.plus_secs(DAY)));
    assert!(fixture.store.auth_epoch().await.unwrap() > epoch);
    let seen = grants_of(&fixture, &web_02).await;
    assert_eq!(seen, [ReadGrant { id: made.id.clone(), host: name("web-01"), ends_at: made.ends_at }]);
    assert!(grants_of(&fixture, &web_01).await.is_empty(), "it goes one way");
    assert_eq!(fixture.store.grants(&made.org).await.unwrap(), std::slice::from_ref(&made));

    fixture.clock.advance_secs(60);
    let epoch = fixture.store.auth_epoch().await.unwrap();
    let ended = fixture.store.delete_grant(&fixture.owner, &made.org, &made.id).await.unwrap();
    assert_eq!(ended.ends_at, NOON.plus_secs(60));
    assert!(fixture.store.auth_epoch().await.unwrap() > epoch);
    assert!(fixture.store.grants(&made.org).await.unwrap().is_empty());
    fixture.clock.advance_secs(60);
    let again = fixture.store.delete_grant(&fixture.owner, &made.org, &made.id).await.unwrap();
    assert_eq!(again.ends_at, NOON.plus_secs(60), "a second delete does not move the end");
    // The end is still told for a while, and then forgotten.
    assert_eq!(grants_of(&fixture, &web_02).await[0].ends_at, NOON.plus_secs(60));
    fixture.clock.advance_secs(GRANT_ENDED_SECS);
    assert!(grants_of(&fixture, &web_02).await.is_empty());
}

#[tokio::test]
async fn only_an_owner_of_the_org_makes_and_ends_grants() {
    let fixture = fixture().await;
    let (web_01, web_02) = (fixture.host("web-01", 9).await, fixture.host("web-02", 8).await);
    let bob = fixture.store.create_user("bob".parse().unwrap()).await.unwrap();
    fixture.store.register_key(KeyOwner::User(bob.id.clone()), new_key(30), KeyState::Active).await.unwrap();
    let bob = Caller { key_id: new_key(30).key_id, subject: CallerId::User(bob.id), from: None };
    let made = fixture.store.create_grant(&fixture.owner, &namespace("web-01"), &name("web-02"), DAY).await.unwrap();
    for stranger in [&bob, &web_01.caller, &web_02.caller] {
        let create = fixture.store.create_grant(stranger, &namespace("web-01"), &name("web-02"), DAY).await;
        assert!(matches!(create, Err(StoreError::Denied(Denied::NotOwner))));
        let delete = fixture.store.delete_grant(stranger, &made.org, &made.id).await;
        assert!(matches!(delete, Err(StoreError::Denied(Denied::NotOwner))));
    }
    fixture.store.revoke_key(&fixture.owner.key_id).await.unwrap();
    let revoked = fixture.store.create_grant(&fixture.owner, &namespace("web-01"), &name("web-02"), DAY).await;
    assert!(matches!(revoked, Err(StoreError::Denied(Denied::KeyRevoked))));
}

#[tokio::test]
async fn a_grant_has_two_hosts_that_are_there_a_length_and_a_limited_number() {
    let fixture = fixture().await;
    fixture.host("web-01", 9).await;
    fixture.host("web-02", 8).await;
    let create = |of: &str, to: &str, secs| {
        let (of, to) = (namespace(of), name(to));
        let (store, owner) = (fixture.store.clone(), fixture.owner.clone());
        async move { store.create_grant(&owner, &of, &to, secs).await }
    };
    assert!(matches!(create("web-01", "web-01", DAY).await, Err(StoreError::Grant(GrantRefusal::ToItself))));
    for secs in [0, GRANT_SECS_MAX + 1, u64::MAX] {
        assert!(matches!(create("web-01", "web-02", secs).await, Err(StoreError::Grant(GrantRefusal::Duration))));
    }
    for (of, to) in [("nobody", "web-02"), ("web-01", "nobody")] {
        assert!(matches!(create(of, to, DAY).await, Err(StoreError::NoSuchHost(_))));
    }
    for _ in 0..GRANTS_PER_HOST_MAX {
        create("web-01", "web-02", DAY).await.unwrap();
    }
    assert!(matches!(create("web-01", "web-02", DAY).await, Err(StoreError::Grant(GrantRefusal::TooMany))));
    fixture.clock.advance_secs(DAY);
    create("web-01", "web-02", GRANT_SECS_MAX).await.unwrap();
}

#[tokio::test]
async fn a_host_that_is_made_again_under_a_name_has_no_part_in_its_grants() {
    let fixture = fixture().await;
    let (_web_01, web_02) = (fixture.host("web-01", 9).await, fixture.host("web-02", 8).await);
    for (of, to) in [("web-01", "web-02"), ("web-02", "web-01")] {
        fixture.store.create_grant(&fixture.owner, &namespace(of), &name(to), GRANT_SECS_MAX).await.unwrap();
    }
    fixture.store.delete_host(&fixture.owner, &namespace("web-01"), DeleteHost::IfEmpty).await.unwrap();
    assert!(grants_of(&fixture, &web_02).await.is_empty(), "a deleted host is its owner's to read");
    fixture.store.undelete_host(&fixture.owner, &namespace("web-01")).await.unwrap();
    assert_eq!(grants_of(&fixture, &web_02).await.len(), 1, "and comes back as it was");
    fixture.store.delete_host(&fixture.owner, &namespace("web-01"), DeleteHost::IfEmpty).await.unwrap();
    let to_a_deleted_one = fixture.store.create_grant(&fixture.owner, &namespace("web-02"), &name("web-01"), DAY).await;
    assert!(matches!(to_a_deleted_one, Err(StoreError::HostState("deleted"))));
    // Day by day, as a store that runs: a leap of the clock would put off every removal.
    for _ in 0..8 * 24 {
        fixture.clock.advance_secs(3600);
        fixture.store.sweep().await.unwrap();
    }
    let again = fixture.host("web-01", 7).await;
    assert!(grants_of(&fixture, &again).await.is_empty(), "the new host of the name may read nothing");
    assert!(grants_of(&fixture, &web_02).await.is_empty(), "and is not read");
}
