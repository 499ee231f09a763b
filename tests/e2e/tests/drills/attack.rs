//! What an intruder with the host's key does, and what must come of each act.

use std::time::{SystemTime, UNIX_EPOCH};

use kheeper_e2e::s3::{delete_body, percent};
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::{Host, ORG};
use kheeper_e2e::{Cli, Door, Response, World};
use serde_json::Value;

/// A moment, as `--at` takes it.
#[derive(Debug, Clone)]
pub(crate) struct Moment(pub(crate) String);

impl Moment {
    /// Now; what is done after this call lies after it.
    pub(crate) fn now() -> Self {
        let millis = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let now = millis();
        wait::until("the next millisecond", secs(1), || (millis() > now).then_some(()));
        let time = jiff::Timestamp::from_millisecond(i64::try_from(now).expect("not that late")).expect("a time");
        Self(time.to_string())
    }

    /// Waits until it is so long ago that it can be read as of.
    pub(crate) fn wait_until_past(&self, owner: &Cli) {
        wait::until("the moment to be a minute past", secs(90), || {
            owner.run(&["objects", "list", "--at", &self.0, ORG]).status.success().then_some(())
        });
    }
}

/// Calls that a key has no right to make, whoever it belongs to: each is refused, and changes nothing.
pub(crate) fn try_to_reach_the_history(world: &World, host: &Host, door: &Door, key: &str) {
    let bucket = format!("/{ORG}");
    let refused = |method: &str, target: &str, body: &str| {
        let answer = door.request(method, target).body(body).send(door.address);
        assert_eq!(answer.status, 501, "{method} {target}: {answer:?}");
    };
    refused("DELETE", &format!("{key}?versionId=00000000"), "");
    refused("GET", &format!("{key}?versionId=00000000"), "");
    refused("GET", &format!("{bucket}?versions"), "");
    for (name, document) in [
        ("versioning", "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"),
        ("lifecycle", "<LifecycleConfiguration/>"),
        ("object-lock", "<ObjectLockConfiguration/>"),
        ("policy", "{}"),
    ] {
        refused("PUT", &format!("{bucket}?{name}"), document);
    }
    refused("DELETE", &format!("{bucket}?lifecycle"), "");
    refused("PUT", &format!("{key}?retention"), "<Retention/>");
    refused("PUT", &format!("{key}?legal-hold"), "<LegalHold/>");
    let bypass = door.request("DELETE", key).header("x-amz-bypass-governance-retention", "true").send(door.address);
    assert_eq!(bypass.status, 501, "{bypass:?}");
    // Nor by the way that owners go.
    let name = host.namespace();
    host.cli.run(&["hosts", "set", &name, "--retention", "0"]).failed();
    host.cli.run(&["hosts", "set", &name, "--quota", "none"]).failed();
    host.cli.run(&["objects", "list", "--versions", &name]).failed();
    host.cli.run(&["objects", "list", "--at", "2h ago", &name]).failed();
    host.cli.run(&["objects", "restore", "--at", "2h ago", &name]).failed();
    host.cli.run(&["object-proxy", "--at", "2h ago", "--listen", "127.0.0.1:0"]).failed();
    let past = world.direct(&host.cli).request("GET", key).header("x-kheeper-at", "1").send(world.server.address());
    past.expect_error(403, "AccessDenied");
}

/// Overwrites every other key, copies some onto themselves, deletes all that is there, and leaves a note.
pub(crate) fn destroy_everything(door: &Door, host: &Host) {
    let keys = door.keys(ORG, &format!("{}/", host.name), 1000);
    assert!(!keys.is_empty(), "there is something to destroy");
    for (number, key) in keys.iter().enumerate() {
        let target = format!("/{ORG}/{}", percent(key));
        match number % 4 {
            0 => drop(door.put(&target, b"encrypted").expect(200)),
            1 => {
                let copy = door.request("PUT", &target).header("x-amz-copy-source", &target);
                copy.header("x-amz-metadata-directive", "REPLACE").send(door.address).expect(200);
            }
            _ => {}
        }
    }
    for keys in keys.chunks(1000) {
        door.post(&format!("/{ORG}?delete"), &delete_body(keys, true)).expect(200);
    }
    assert_eq!(door.keys(ORG, &format!("{}/", host.name), 1000), Vec::<String>::new());
    door.put(&host.path("README-TO-GET-YOUR-FILES-BACK"), b"pay").expect(200);
}

/// Writes until something is refused, and returns the refusal.
pub(crate) fn flood(door: &Door, host: &Host) -> Response {
    let noise = kheeper_e2e::files::random_bytes(66, 1 << 20);
    (0..200)
        .map(|number| door.put(&host.path(&format!("flood/{number}")), &noise))
        .find(|answer| answer.status != 200)
        .expect("200 MiB went in, and nobody said anything")
}

/// Records of what the host did, once `enough` of them are written: what was gathered waits for its turn.
fn records_of(world: &World, host: &Host, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let id = host.cli.json(&["hosts", "me"])["host_id"].clone();
    let records = wait::until("the acts to be written to the audit log", secs(180), || {
        let all = world.alice.json(&["audit", "list", "--last", "1000"]);
        let by_host = all.as_array().expect("a list").iter().filter(|record| record["by"] == id);
        Some(by_host.cloned().collect::<Vec<_>>()).filter(|records| enough(records))
    });
    assert!(records.iter().all(|record| record["from"] == "127.0.0.1" && record["key_id"].is_string()), "{records:#?}");
    world.alice.ok(&["audit", "verify"]);
    records
}

/// How many acts of a kind the records stand for.
fn count(records: &[Value], act: &str, told: &str) -> u64 {
    let of_kind = records.iter().filter(|record| record["act"] == act && record.to_string().contains(told));
    of_kind.map(|record| record["details"]["count"].as_str().and_then(|count| count.parse().ok()).unwrap_or(1)).sum()
}

/// The log names what [`destroy_everything`] did: who, with which key, from where, and how much.
pub(crate) fn its_deletes_and_overwrites_are_in_the_log(world: &World, host: &Host) -> Vec<Value> {
    let written = |records: &[Value]| {
        ["PutObject", "CopyObject"].iter().all(|operation| count(records, "objects.overwrite", operation) > 0)
            && count(records, "objects.delete", "") > 0
    };
    records_of(world, host, written)
}

/// The log names all of it: what was destroyed, what was tried in vain, and the flood that was refused.
pub(crate) fn every_act_is_in_the_log(world: &World, host: &Host) {
    its_deletes_and_overwrites_are_in_the_log(world, host);
    let tried = [
        ("DELETE", "query parameter", "versionId"),
        ("PUT", "query parameter", "versioning"),
        ("PUT", "query parameter", "lifecycle"),
        ("PUT", "query parameter", "object-lock"),
        ("PUT", "query parameter", "policy"),
        ("DELETE", "query parameter", "lifecycle"),
        ("PUT", "query parameter", "retention"),
        ("PUT", "query parameter", "legal-hold"),
        ("DELETE", "header", "x-amz-bypass-governance-retention"),
    ]
    .map(|(method, what, name)| {
        format!("{method}: A {what} you provided implies functionality that is not implemented: {name}")
    });
    let all = |records: &[Value]| {
        tried.iter().all(|told| count(records, "request.denied", told) > 0)
            // Settings and the past, by the control API; and what the quota refused.
            && count(records, "request.denied", "/-/api/") > 0
            && count(records, "request.denied", "flood/") > 0
    };
    records_of(world, host, all);
}
