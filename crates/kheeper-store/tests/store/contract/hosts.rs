//! Hosts: create, join, rejoin, disable, delete.

use kheeper_model::api::{HostSettings, HostState, KeyState, OrgSettings, Quota};
use kheeper_store::{
    Caller, CallerId, DeleteHost, Denied, HostCredential, KeyOwner, NewJoinToken, ReadScope, StoreError,
};

use crate::fixture::{Fixture, NOON, fixture, key, namespace, new_key};

fn token(number: u8) -> NewJoinToken {
    NewJoinToken { secret_sha256: [number; 32], expires_at: NOON.plus_secs(3600) }
}

async fn state(fixture: &Fixture, host: &str) -> HostState {
    fixture.store.host(&namespace(host)).await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_join_token_is_bound_to_the_first_key_that_used_it() {
    let fixture = fixture().await;
    let name = namespace("web-01");
    let invited = fixture.store.create_host(&fixture.owner, &name, HostCredential::JoinToken(token(7))).await.unwrap();
    assert_eq!(invited.state, HostState::Invited);
    assert!(matches!(fixture.store.join([8; 32], new_key(2)).await, Err(StoreError::JoinTokenInvalid)));
    let joined = fixture.store.join([7; 32], new_key(2)).await.unwrap();
    assert_eq!((joined.host_id.clone(), joined.state), (invited.id, HostState::Active));
    assert_eq!(fixture.store.join([7; 32], new_key(2)).await.unwrap(), joined);
    assert!(matches!(fixture.store.join([7; 32], new_key(3)).await, Err(StoreError::JoinTokenUsed)));
    let unused = namespace("web-02");
    fixture.store.create_host(&fixture.owner, &unused, HostCredential::JoinToken(token(6))).await.unwrap();
    fixture.clock.advance_secs(3601);
    assert!(matches!(fixture.store.join([6; 32], new_key(4)).await, Err(StoreError::JoinTokenExpired)));
    // Whoever joined in time and lost the answer may still ask for it.
    assert_eq!(fixture.store.join([7; 32], new_key(2)).await.unwrap(), joined);
    let again = fixture.store.create_host(&fixture.owner, &name, HostCredential::JoinToken(token(9))).await;
    assert!(matches!(again, Err(StoreError::NameTaken)));
}

#[tokio::test]
async fn a_rejoined_host_reads_only_until_it_is_resumed_and_its_old_key_is_dead() {
    let fixture = fixture().await;
    let old = fixture.host("web-01", 9).await;
    old.put("web-01/wal", b"precious").await.unwrap();
    fixture.store.rejoin_host(&fixture.owner, &namespace("web-01"), token(20)).await.unwrap();
    assert!(old.put("web-01/b", b"x").await.is_ok(), "the old key works until the new one joins");
    let joined = fixture.store.join([20; 32], new_key(20)).await.unwrap();
    assert_eq!(joined.state, HostState::ReadOnly);
    assert!(matches!(old.put("web-01/wal", b"x").await, Err(StoreError::Denied(Denied::KeyRevoked))));
    let new = fixture.joined_host("web-01", joined.host_id, joined.key_id).await;
    assert!(matches!(new.put("web-01/wal", b"empty").await, Err(StoreError::ReadOnlyHost)));
    assert_eq!(new.read("web-01/wal").await.unwrap(), b"precious");
    fixture.store.resume_host(&new.caller, &namespace("web-01")).await.unwrap();
    new.put("web-01/wal", b"more").await.unwrap();
}

#[tokio::test]
async fn only_an_owner_changes_hosts_and_only_the_host_itself_resumes_besides() {
    let fixture = fixture().await;
    let (host, other) = (fixture.host("web-01", 9).await, fixture.host("web-02", 8).await);
    let bob = fixture.store.create_user("bob".parse().unwrap()).await.unwrap();
    fixture.store.register_key(KeyOwner::User(bob.id.clone()), new_key(30), KeyState::Active).await.unwrap();
    let bob = Caller { key_id: new_key(30).key_id, subject: CallerId::User(bob.id), from: None };
    let name = namespace("web-01");
    for stranger in [&bob, &host.caller, &other.caller] {
        let denied = |error| matches!(error, StoreError::Denied(_));
        let credential = HostCredential::JoinToken(token(40));
        assert!(denied(fixture.store.create_host(stranger, &namespace("new"), credential).await.unwrap_err()));
        assert!(denied(fixture.store.disable_host(stranger, &name).await.unwrap_err()));
        assert!(denied(fixture.store.delete_host(stranger, &name, DeleteHost::WithBackups).await.unwrap_err()));
        for settings in [
            HostSettings { retention_secs: Some(0), ..HostSettings::default() },
            HostSettings { quota: Some(Quota::None), ..HostSettings::default() },
            HostSettings { no_overwrite: Some(false), ..HostSettings::default() },
        ] {
            assert!(denied(fixture.store.set_host(stranger, &name, settings).await.unwrap_err()));
        }
        assert!(denied(fixture.store.rejoin_host(stranger, &name, token(41)).await.unwrap_err()));
    }
    assert!(fixture.store.resume_host(&other.caller, &name).await.is_err());
    assert!(fixture.store.resume_host(&bob, &name).await.is_err());
    assert!(fixture.store.resume_host(&host.caller, &name).await.is_ok());
    let absent = fixture.store.disable_host(&bob, &namespace("absent")).await;
    assert!(matches!(absent, Err(StoreError::Denied(Denied::NotOwner))), "existence is told to owners only");
}

#[tokio::test]
async fn disabling_stops_the_key_and_enabling_gives_back_what_was() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let epoch = fixture.store.auth_epoch().await.unwrap();
    fixture.store.disable_host(&fixture.owner, &namespace("web-01")).await.unwrap();
    assert!(fixture.store.auth_epoch().await.unwrap() > epoch);
    assert!(matches!(host.put("web-01/a", b"x").await, Err(StoreError::Denied(Denied::HostDisabled))));
    assert_eq!(state(&fixture, "web-01").await, HostState::Disabled);
    fixture.store.enable_host(&fixture.owner, &namespace("web-01")).await.unwrap();
    host.put("web-01/a", b"x").await.unwrap();
    fixture.store.revoke_host_keys(&fixture.owner, &namespace("web-01")).await.unwrap();
    assert!(matches!(host.put("web-01/a", b"x").await, Err(StoreError::Denied(Denied::KeyRevoked))));
}

#[tokio::test]
async fn a_key_from_a_file_is_pending_until_it_has_proved_itself() {
    let fixture = fixture().await;
    let credential = HostCredential::PublicKey(new_key(12));
    let record = fixture.store.create_host(&fixture.owner, &namespace("web-01"), credential).await.unwrap();
    assert_eq!((record.state, record.keys[0].state), (HostState::Invited, KeyState::Pending));
    let host = fixture.joined_host("web-01", record.id, new_key(12).key_id).await;
    assert!(matches!(host.put("web-01/a", b"x").await, Err(StoreError::Denied(Denied::KeyPending))));
    fixture.store.activate_key(&new_key(12).key_id, None).await.unwrap();
    host.put("web-01/a", b"x").await.unwrap();
    assert_eq!(state(&fixture, "web-01").await, HostState::Active);
}

#[tokio::test]
async fn a_deleted_host_is_still_read_by_its_owner_and_comes_back() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    host.put("web-01/a", b"kept").await.unwrap();
    let name = namespace("web-01");
    let refused = fixture.store.delete_host(&fixture.owner, &name, DeleteHost::IfEmpty).await.unwrap_err();
    let StoreError::HostHasBackups { objects: 1, bytes: 4, newest: Some(newest) } = refused else {
        panic!("{refused}");
    };
    assert!(newest.starts_with("web-01/a of 2026-"), "{newest}");
    fixture.store.delete_host(&fixture.owner, &name, DeleteHost::WithBackups).await.unwrap();
    assert_eq!(state(&fixture, "web-01").await, HostState::Deleted);
    assert!(matches!(host.put("web-01/b", b"x").await, Err(StoreError::Denied(Denied::HostDeleted))));
    let owner = fixture.store.read_store(ReadScope::Org("myorg".parse().unwrap()));
    assert_eq!(owner.head(&key("web-01/a")).await.unwrap().bytes, 4);
    let credential = HostCredential::JoinToken(token(50));
    let taken = fixture.store.create_host(&fixture.owner, &name, credential).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "not before its last version is purged");
    fixture.store.undelete_host(&fixture.owner, &name).await.unwrap();
    host.put("web-01/b", b"x").await.unwrap();
    let twice = fixture.store.undelete_host(&fixture.owner, &name).await;
    assert!(matches!(twice, Err(StoreError::HostState(_))));
}

#[tokio::test]
async fn the_newest_base_backup_and_object_are_known_without_a_search() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let record = || async { fixture.store.host(&namespace("web-01")).await.unwrap().unwrap() };
    assert_eq!((record().await.last_object_at, record().await.last_base_backup_at), (None, None));
    let sentinel = |number| format!("web-01/basebackups_005/base_{number}_backup_stop_sentinel.json");
    let first = host.put(&sentinel(1), b"{}").await.unwrap().last_modified;
    fixture.clock.advance_secs(60);
    let second = host.put(&sentinel(2), b"{}").await.unwrap().last_modified;
    fixture.clock.advance_secs(60);
    let wal = host.put("web-01/wal_005/1", b"x").await.unwrap().last_modified;
    assert_eq!(record().await.last_object_at, Some(wal));
    assert_eq!(record().await.last_base_backup_at, Some(second));
    host.delete(&sentinel(2)).await;
    assert_eq!(record().await.last_base_backup_at, Some(first));
    assert_eq!(record().await.last_object_at, Some(wal));
}

#[tokio::test]
async fn revoking_a_host_ends_its_unused_join_token_and_its_used_one() {
    let fixture = fixture().await;
    let name = namespace("web-01");
    fixture.store.create_host(&fixture.owner, &name, HostCredential::JoinToken(token(7))).await.unwrap();
    fixture.store.revoke_host_keys(&fixture.owner, &name).await.unwrap();
    assert!(matches!(fixture.store.join([7; 32], new_key(2)).await, Err(StoreError::JoinTokenInvalid)));
    fixture.store.rejoin_host(&fixture.owner, &name, token(8)).await.unwrap();
    fixture.store.join([8; 32], new_key(3)).await.unwrap();
    fixture.store.revoke_host_keys(&fixture.owner, &name).await.unwrap();
    assert!(matches!(fixture.store.join([8; 32], new_key(3)).await, Err(StoreError::KeyRevoked)));
}

#[tokio::test]
async fn the_window_of_an_org_is_that_of_its_hosts_that_have_none_of_their_own() {
    const DAY: u64 = 24 * 3600;
    let fixture = fixture().await;
    fixture.host("web-01", 9).await;
    fixture.host("db-01", 10).await;
    fixture.set_retention(3 * DAY).await;
    let org: kheeper_model::OrgName = "myorg".parse().unwrap();
    let settings = OrgSettings { retention_secs: Some(30 * DAY) };
    let record = fixture.store.set_org(&fixture.owner, &org, settings.clone()).await.unwrap();
    assert_eq!(record.retention_secs, Some(30 * DAY));
    fixture.host("app-01", 11).await;
    let mut windows = Vec::new();
    for name in ["web-01", "db-01", "app-01"] {
        let host = fixture.store.host(&namespace(name)).await.unwrap().unwrap();
        windows.push((host.retention_secs, host.retention_in_force_secs));
    }
    let (own, orgs) = ((Some(3 * DAY), Some(7 * DAY)), (Some(30 * DAY), Some(30 * DAY)));
    assert_eq!(windows, [own, orgs, orgs], "the host's own window counts, and a shorter one only later");

    // Shortened for all: what was longer counts on.
    fixture.store.set_org(&fixture.owner, &org, OrgSettings { retention_secs: Some(DAY) }).await.unwrap();
    let host = fixture.store.host(&namespace("db-01")).await.unwrap().unwrap();
    assert_eq!((host.retention_secs, host.retention_in_force_secs), (Some(DAY), Some(30 * DAY)));
    let stranger = fixture.store.create_user("mallory".parse().unwrap()).await.unwrap();
    let caller = kheeper_store::Caller {
        key_id: fixture.owner.key_id.clone(),
        subject: kheeper_store::CallerId::User(stranger.id),
        from: None,
    };
    assert!(matches!(fixture.store.set_org(&caller, &org, settings).await, Err(StoreError::Denied(_))));
}
