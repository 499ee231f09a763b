//! The audit log: in the same transaction as what it records, in a chain that shows what was done to it.

use kheeper_model::audit::{AuditAct, AuditOutcome, AuditRecord};
use kheeper_model::limits::AUDIT_SECS_KEPT;
use kheeper_model::{AttemptId, OrgName};
use kheeper_store::{AuditBy, AuditNote, Store};
use rusqlite::Connection;

use crate::fixture::{Fixture, fixture, key, namespace, new_key};

fn org() -> OrgName {
    "myorg".parse().unwrap()
}

async fn records(store: &Store, org: Option<&OrgName>) -> Vec<AuditRecord> {
    let page = store.audit_page(org, 0, 1000).await.unwrap();
    page.entries.iter().map(|entry| serde_json::from_str(&entry.record).unwrap()).collect()
}

async fn acts(fixture: &Fixture) -> Vec<String> {
    records(&fixture.store, Some(&org())).await.into_iter().map(|record| record.act).collect()
}

#[tokio::test]
async fn every_act_leaves_one_record_that_says_who_what_and_on_what() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    fixture.host("web-02", 8).await;
    let name = namespace("web-01");
    let grant = fixture.store.create_grant(&fixture.owner, &name, &"web-02".parse().unwrap(), 60).await.unwrap();
    fixture.store.delete_grant(&fixture.owner, &grant.org, &grant.id).await.unwrap();
    fixture.store.disable_host(&fixture.owner, &name).await.unwrap();
    fixture.store.enable_host(&fixture.owner, &name).await.unwrap();
    fixture.set_retention(60).await;
    assert_eq!(
        acts(&fixture).await,
        [
            "org.create",
            "host.create",
            "host.join",
            "host.create",
            "host.join",
            "grant.create",
            "grant.delete",
            "host.disable",
            "host.enable",
            "host.set"
        ]
    );
    let all = records(&fixture.store, Some(&org())).await;
    let made = &all[5];
    assert_eq!((made.by.as_str(), made.key_id.as_ref()), (fixture.owner.subject.as_str(), Some(&fixture.owner.key_id)));
    assert_eq!((made.on.as_deref(), made.details["to"].as_str()), (Some("myorg/web-01"), "web-02"));
    assert_eq!(all[2].details["key"], new_key(9).key_id.as_str());
    // What is refused is not done, and leaves no record of an act.
    let before = all.len();
    fixture.store.disable_host(&host.caller, &name).await.unwrap_err();
    fixture
        .store
        .create_host(&fixture.owner, &name, kheeper_store::HostCredential::PublicKey(new_key(50)))
        .await
        .unwrap_err();
    assert_eq!(records(&fixture.store, Some(&org())).await.len(), before);
    // The operator's acts are in the server's own chain, and in those of the orgs they concern.
    fixture.store.revoke_key(&new_key(9).key_id).await.unwrap();
    let last = records(&fixture.store, Some(&org())).await.pop().unwrap();
    assert_eq!((last.act.as_str(), last.by.as_str()), ("key.revoke", "operator"));
    let server: Vec<String> = records(&fixture.store, None).await.into_iter().map(|record| record.act).collect();
    assert_eq!(server, ["user.create", "key.register", "key.revoke"]);
}

#[tokio::test]
async fn a_delete_is_one_record_with_a_count_and_a_few_of_its_keys() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let keys: Vec<_> = (0..20).map(|number| key(&format!("web-01/{number:02}"))).collect();
    for key in &keys {
        host.put(key.as_str(), b"x").await.unwrap();
    }
    let before = records(&fixture.store, Some(&org())).await.len();
    let attempt = AttemptId::random();
    host.store.delete_many(keys.clone(), attempt).await.unwrap();
    host.store.delete_many(keys.clone(), attempt).await.unwrap();
    host.store.delete_many(keys, AttemptId::random()).await.unwrap();
    let after = records(&fixture.store, Some(&org())).await;
    assert_eq!(after.len(), before + 1, "neither a repeat nor a delete of nothing is another");
    let deleted = after.last().unwrap();
    assert_eq!((deleted.act.as_str(), deleted.details["count"].as_str()), ("objects.delete", "20"));
    assert_eq!(deleted.details["keys"], "web-01/00 web-01/01 web-01/02 web-01/03 web-01/04");
    assert_eq!(deleted.by, host.caller.subject.as_str());
}

#[tokio::test]
async fn a_record_that_was_removed_altered_or_moved_is_found() {
    for (what, tamper) in [
        ("removed", "DELETE FROM audit_record WHERE org_no = 1 AND seq = 4"),
        ("removed at the start", "DELETE FROM audit_record WHERE org_no = 1 AND seq = 1"),
        (
            "removed at the end",
            "DELETE FROM audit_record WHERE org_no = 1 AND seq = (SELECT max(seq) FROM audit_record WHERE org_no = 1)",
        ),
        (
            "altered",
            "UPDATE audit_record SET record = replace(record, 'host.join', 'host.look') WHERE org_no = 1 AND seq = 3",
        ),
        ("altered in its hash", "UPDATE audit_record SET hash = zeroblob(32) WHERE org_no = 1 AND seq = 3"),
        (
            "moved",
            "UPDATE audit_record SET seq = -2 WHERE org_no = 1 AND seq = 2;
             UPDATE audit_record SET seq = 2 WHERE org_no = 1 AND seq = 3;
             UPDATE audit_record SET seq = 3 WHERE org_no = 1 AND seq = -2",
        ),
        ("removed whole", "DELETE FROM audit_record WHERE org_no = 1"),
        ("without its head", "DELETE FROM audit_head WHERE org_no = 1"),
    ] {
        let fixture = fixture().await;
        fixture.host("web-01", 9).await;
        fixture.host("web-02", 8).await;
        let whole = fixture.store.verify_audit().await.unwrap();
        assert!(whole.len() == 2 && whole.iter().all(|chain| chain.broken.is_none()), "{whole:?}");
        let database = fixture.directory.path().join("index.db");
        Connection::open(database).unwrap().execute_batch(tamper).unwrap();
        let fixture = fixture.reopen().await;
        let chains = fixture.store.verify_audit().await.unwrap();
        let broken: Vec<_> = chains.iter().filter(|chain| chain.broken.is_some()).collect();
        assert_eq!(broken.len(), 1, "{what}: {chains:?}");
        assert_eq!(broken[0].org, Some(org()), "{what}");
    }
}

#[tokio::test]
async fn old_records_go_and_what_is_left_can_still_be_followed() {
    let fixture = fixture().await;
    fixture.host("web-01", 9).await;
    let note = || AuditNote::denied(AuditAct::RequestDenied, AuditBy::Nobody(None), "myorg/web-01");
    fixture.store.note(Some(&org()), vec![note(), note()]).await.unwrap();
    fixture.clock.advance_secs(AUDIT_SECS_KEPT);
    fixture.store.note(Some(&org()), vec![note()]).await.unwrap();
    // After such a leap of the clock nothing is removed for a day.
    for _ in 0..25 {
        fixture.clock.advance_secs(3600);
        fixture.store.heartbeat().await.unwrap();
    }
    let before = fixture.store.audit_page(Some(&org()), 0, 1000).await.unwrap();
    fixture.store.sweep().await.unwrap();
    let after = fixture.store.audit_page(Some(&org()), 0, 1000).await.unwrap();
    assert!(after.first_seq > before.first_seq && after.head_seq == before.head_seq);
    assert_eq!((after.entries.len() as u64, after.head_seq + 1 - after.first_seq), (1, 1));
    assert!(fixture.store.verify_audit().await.unwrap().iter().all(|chain| chain.broken.is_none()));
    let oldest: AuditRecord = serde_json::from_str(&after.entries[0].record).unwrap();
    assert_eq!(oldest.outcome, AuditOutcome::Denied);
}
