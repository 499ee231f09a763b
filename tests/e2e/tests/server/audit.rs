//! The audit log, as an owner and the operator read it.

use std::collections::BTreeMap;

use kheeper_e2e::World;
use kheeper_e2e::wait::{self, secs};
use serde_json::Value;

fn list(world: &World) -> Vec<Value> {
    world.alice.json(&["audit", "list", "--last", "1000"]).as_array().expect("a list").clone()
}

fn find<'a>(records: &'a [Value], act: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["act"] == act).collect()
}

#[test]
fn acts_refusals_deletes_and_uses_of_a_grant_are_in_the_log_with_who_and_from_where() {
    let world = World::start();
    let (web_01, web_02) = (world.host("web-01"), world.host("web-02"));
    let (door_01, door_02) = (world.direct(&web_01.cli), world.direct(&web_02.cli));
    door_01.put(&web_01.path("a"), b"a").expect(200);
    door_02.get(&web_01.path("a")).expect_error(403, "AccessDenied");
    web_02.cli.run(&["hosts", "disable", "myorg/web-01"]).failed();
    world.alice.ok(&["grants", "create", "myorg/web-01", "--to", "web-02", "--read", "--for", "1h"]);
    for _ in 0..30 {
        door_02.get(&web_01.path("a")).expect(200);
    }
    door_01.delete(&web_01.path("a")).expect(204);
    let host = |cli: &kheeper_e2e::Cli| cli.json(&["hosts", "me"])["host_id"].as_str().expect("an id").to_owned();
    let (id_01, id_02) = (host(&web_01.cli), host(&web_02.cli));

    let records = wait::until("uses of the grant to be written", secs(10), || {
        let records = list(&world);
        let count = |record: &&Value| record["details"]["count"].as_str().and_then(|count| count.parse::<u64>().ok());
        let uses: u64 = find(&records, "grant.use").iter().filter_map(count).sum();
        (uses == 30 && find(&records, "request.denied").len() >= 2).then_some(records)
    });
    let uses = find(&records, "grant.use");
    assert!(uses.len() < 10, "thirty reads are few records: {}", uses.len());
    assert!(uses.iter().all(|used| used["by"] == id_02.as_str() && used["from"] == "127.0.0.1"));
    let denied = find(&records, "request.denied");
    assert!(denied.iter().all(|record| record["outcome"] == "denied" && record["by"] == id_02.as_str()), "{denied:?}");
    assert!(denied.iter().any(|record| record["on"] == "myorg/web-01"), "{denied:?}");
    let deleted = find(&records, "objects.delete");
    assert_eq!((deleted.len(), deleted[0]["by"].as_str()), (1, Some(id_01.as_str())));
    assert_eq!(deleted[0]["details"]["keys"], "web-01/a");
    assert_eq!(find(&records, "host.join").len(), 2);
    assert_eq!(find(&records, "host.join")[0]["from"], "127.0.0.1");
    let acts: BTreeMap<&str, usize> =
        ["org.create", "host.create", "grant.create"].map(|act| (act, find(&records, act).len())).into();
    assert_eq!(acts, [("grant.create", 1), ("host.create", 2), ("org.create", 1)].into());

    // Owners read it, hosts and others do not.
    let bob = world.other_owner("bob", "otherorg");
    for cli in [&web_01.cli, &bob] {
        cli.run(&["audit", "list", "--org", "myorg"]).failed();
    }
}

#[test]
fn a_log_that_was_tampered_with_does_not_verify() {
    let mut world = World::start();
    world.host("web-01");
    let kept = world.alice.ok(&["audit", "verify"]).stdout.trim().to_owned();
    world.host("web-02");
    world.alice.ok(&["audit", "verify", "--kept", &kept]);
    let exported = world.alice.ok(&["audit", "export"]).stdout;
    assert_eq!(exported.lines().count(), 5, "{exported}");
    world.server.operator(&["audit", "verify"]).ok();
    let forged = format!("{}:{}", kept.split(':').next().expect("a number"), "0".repeat(64));
    world.alice.run(&["audit", "verify", "--kept", &forged]).failed();

    world.server.terminate();
    let mut python = std::process::Command::new("python3");
    let script = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); \
        c.execute(\"UPDATE audit_record SET record=replace(record,'web-01','web-99') WHERE org_no=1\"); c.commit()";
    python.args(["-c", script]).arg(world.server.data.join("index.db"));
    kheeper_e2e::command::run(python, secs(20)).ok();
    let offline = world.server.operator(&["audit", "verify"]).failed();
    assert!(offline.code() == 4 && offline.stdout.contains("BROKEN"), "{offline}");
    world.server.restart();
    let online = world.alice.run(&["audit", "verify"]).failed();
    assert!(online.stderr.contains("record 2 is not what was written"), "{online}");
}
