//! Roles of people: an auditor sees how an org is doing and no object; an owner's loss can be survived.

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::text;
use kheeper_e2e::{Request, World};

#[test]
fn an_auditor_sees_hosts_usage_and_the_log_and_no_object() {
    let world = World::start();
    let web_01 = world.host("web-01");
    world.direct(&web_01.cli).put(&web_01.path("a"), b"a").expect(200);
    let bob = world.cli("bob");
    let id = world.login("bob", &bob);
    bob.run(&["hosts", "list", "--org", "myorg"]).failed();
    world.alice.ok(&["orgs", "members", "invite", "myorg", &id, "--role", "auditor"]);

    assert_eq!(text(&bob.json(&["hosts", "list"])[0]["host"]), "web-01");
    assert_eq!(bob.json(&["hosts", "get", "myorg/web-01"])["objects"], 1);
    assert_eq!(text(&bob.json(&["usage", "--org", "myorg"])[0]["host"]), "web-01");
    assert_eq!(text(&bob.json(&["orgs", "list"])[0]["name"]), "myorg");
    assert_eq!(bob.json(&["orgs", "members", "list", "myorg"]).as_array().expect("a list").len(), 2);
    bob.ok(&["grants", "list"]);
    bob.ok(&["audit", "verify"]);
    let status = bob.ok(&["status"]);
    assert!(status.stdout.contains("audits myorg"), "{status}");

    let door = world.direct(&bob);
    for target in ["/myorg/web-01/a", "/myorg?list-type=2", "/myorg?list-type=2&prefix=web-01/", "/myorg?uploads"] {
        door.get(target).expect_error(403, "AccessDenied");
    }
    assert_eq!(door.head("/myorg").status, 403);
    door.put("/myorg/web-01/b", b"b").expect_error(403, "AccessDenied");
    for change in [
        &["hosts", "create", "myorg/web-02"][..],
        &["hosts", "disable", "myorg/web-01"],
        &["hosts", "revoke", "myorg/web-01"],
        &["grants", "create", "myorg/web-01", "--to", "web-01", "--read", "--for", "1h"],
        &["orgs", "members", "invite", "myorg", &id, "--role", "owner"],
        &["orgs", "members", "remove", "myorg", &id],
    ] {
        assert_eq!(bob.run(change).failed().code(), 77, "{change:?}");
    }
    world.alice.ok(&["orgs", "members", "remove", "myorg", &id]);
    bob.run(&["hosts", "list", "--org", "myorg"]).failed();
    assert!(bob.json(&["orgs", "list"]).as_array().expect("a list").is_empty());
}

#[test]
fn the_last_owner_stays_and_one_who_lost_their_key_is_followed_by_another() {
    let world = World::start();
    let web_01 = world.host("web-01");
    world.direct(&web_01.cli).put(&web_01.path("a"), b"a").expect(200);
    let alice = text(&world.alice.json(&["status"])["server"]["id"]);
    let refused = world.alice.run(&["orgs", "members", "remove", "myorg", &alice]).failed();
    assert!(refused.code() == 5 && refused.stderr.contains("owner"), "{refused}");
    let door = world.direct(&world.alice);

    // Alice's laptop is stolen, and the only owner's key with it.
    let bob = world.cli("bob");
    let id = world.login("bob", &bob);
    world.server.operator(&["orgs", "add-owner", "myorg", &id]).ok();
    world.server.operator(&["users", "disable", &alice]).ok();
    wait::until("the end of alice's key", secs(6), || (door.get("/myorg?list-type=2").status == 403).then_some(()));
    assert_eq!(world.direct(&bob).get(&web_01.path("a")).expect(200).body, b"a");
    let log = bob.json(&["audit", "list"]);
    let acts: Vec<(String, String)> =
        log.as_array().expect("a list").iter().map(|record| (text(&record["act"]), text(&record["by"]))).collect();
    for act in ["member.put", "user.disable"] {
        assert!(acts.contains(&(act.to_owned(), "operator".to_owned())), "{act}: {acts:?}");
    }
    world.server.operator(&["users", "enable", &alice]).ok();
    wait::until("alice to be let in", secs(6), || (door.get("/myorg?list-type=2").status == 200).then_some(()));
    bob.ok(&["orgs", "members", "remove", "myorg", &alice]);
    wait::until("the end of her role", secs(6), || (door.get("/myorg?list-type=2").status == 403).then_some(()));
    let stale = Request::new("PUT", &format!("/-/api/v1/orgs/myorg/members/{alice}"));
    stale.send(world.server.address()).expect(403);
}
