//! A grant: another host's objects, to read, until it ends; seen by both.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use kheeper_e2e::s3::delete_body;
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::{Host, text};
use kheeper_e2e::{Door, Proxy, World};

/// web-01 with an object, web-02 that may read it for `duration`, and a third that may not.
struct Scene {
    web_01: Host,
    web_02: Host,
    door: Door,
    grant: String,
    world: World,
}

fn scene(duration: &str) -> Scene {
    let world = World::start();
    let (web_01, web_02) = (world.host("web-01"), world.host("web-02"));
    world.direct(&web_01.cli).put(&web_01.path("a"), b"lent").expect(200);
    world.direct(&web_01.cli).put(&web_01.path("b/c"), b"lent too").expect(200);
    world.direct(&web_02.cli).put(&web_02.path("own"), b"own").expect(200);
    let door = world.direct(&web_02.cli);
    door.get(&web_01.path("a")).expect_error(403, "AccessDenied");
    let grant = grant(&world, duration);
    // The token was seen before the grant: what was remembered of it is forgotten at once on this server.
    assert_eq!(door.get(&web_01.path("a")).expect(200).body, b"lent");
    Scene { web_01, web_02, door, grant, world }
}

fn grant(world: &World, duration: &str) -> String {
    let create = ["grants", "create", "myorg/web-01", "--to", "web-02", "--read", "--for", duration];
    text(&world.alice.json(&create)["id"])
}

#[test]
fn a_grant_lets_a_host_read_and_list_another_and_nothing_more() {
    let Scene { web_01, web_02, door, world, .. } = scene("1h");
    let lent = web_01.path("a");
    assert_eq!(door.head(&lent).expect(200).header("content-length"), Some("4"));
    let part = door.request("GET", &lent).header("Range", "bytes=1-2").send(door.address).expect(206);
    assert_eq!(part.body, b"en");
    assert_eq!(part.header("x-kheeper-grant-of"), Some("web-01"));
    assert_eq!(door.keys("myorg", "web-01/", 10), ["web-01/a", "web-01/b/c"]);
    assert_eq!(door.keys("myorg", "", 1), ["web-01/a", "web-01/b/c", "web-02/own"], "own and granted, page by page");
    assert_eq!(door.get(&web_02.path("own")).expect(200).header("x-kheeper-grant-of"), None);
    door.get(&web_01.path("never")).expect_error(404, "NoSuchKey");

    door.put(&lent, b"x").expect_error(403, "AccessDenied");
    door.delete(&lent).expect_error(403, "AccessDenied");
    door.post("/myorg?delete", &delete_body(["web-01/a"], false)).expect_error(403, "AccessDenied");
    door.post(&format!("{lent}?uploads"), "").expect_error(403, "AccessDenied");
    door.get("/myorg?uploads&prefix=web-01/").expect_error(403, "AccessDenied");
    let copy = door.request("PUT", &web_02.path("copy")).header("x-amz-copy-source", &lent).body("");
    copy.send(door.address).expect_error(403, "AccessDenied");
    // It goes one way, and is for one host.
    world.direct(&web_01.cli).get(&web_02.path("own")).expect_error(403, "AccessDenied");
    let web_03 = world.host("web-03");
    world.direct(&web_03.cli).get(&lent).expect_error(403, "AccessDenied");
    assert_eq!(world.direct(&world.alice).get(&lent).expect(200).body, b"lent", "nothing was changed");
}

#[test]
fn a_listing_that_begins_above_the_hosts_and_shows_lent_keys_uses_the_grant() {
    let Scene { web_01, web_02, door, grant, world } = scene("30m");
    let uses = || {
        let log = world.alice.json(&["audit", "list", "--last", "1000"]);
        let lent = log.as_array().expect("a list").iter().filter(|record| record["act"] == "grant.use").cloned();
        lent.map(|record| (text(&record["on"]), text(&record["details"]["operation"]))).collect::<Vec<_>>()
    };
    let on = format!("myorg/web-01 by {grant}");
    wait::until("the GET of before in the log", secs(10), || {
        (uses() == [(on.clone(), "GetObject".into())]).then_some(())
    });
    // The host's own keys are no use of a grant, whatever is listed of them.
    for own in ["/myorg?list-type=2&prefix=web-02/", "/myorg?list-type=2&start-after=web-02/", "/myorg?marker=web-02/"]
    {
        assert_eq!(door.get(own).expect(200).header("x-kheeper-grant-of"), None, "{own}");
    }
    let (v1, v2) = ("ListObjectsV1", "ListObjectsV2");
    for (operation, listing) in [
        (v2, "/myorg?list-type=2"),
        (v2, "/myorg?list-type=2&prefix=web-0&delimiter=/"),
        (v1, "/myorg"),
        (v1, "/myorg?prefix=web-01&max-keys=1"),
    ] {
        let answer = door.get(listing).expect(200);
        assert_eq!(answer.header("x-kheeper-grant-of"), Some("web-01"), "{listing}: {answer}");
        assert!(answer.header("x-kheeper-grant-secs-left").is_some(), "{listing}: {answer}");
        wait::until("the use in the log", secs(10), || uses().contains(&(on.clone(), operation.into())).then_some(()));
    }
    // That something is not there is read by the grant, too.
    door.get(&web_01.path("never")).expect_error(404, "NoSuchKey");
    let lent = |operation: &str| uses().iter().filter(|(_, used)| used == operation).count();
    wait::until("the GET of nothing in the log", secs(10), || (lent("GetObject") == 2).then_some(()));

    let mut proxy = Proxy::start(&web_02.cli, &[]);
    proxy.door().get("/myorg?list-type=2").expect(200);
    wait::until("the proxy to warn", secs(5), || {
        proxy.running().log().contains("the grant to read web-01 ends soon").then_some(())
    });
}

#[test]
fn both_hosts_and_the_owner_see_a_grant_and_the_reader_is_warned_of_its_end() {
    let Scene { web_01, web_02, grant, world, .. } = scene("30m");
    for cli in [&world.alice, &web_01.cli, &web_02.cli] {
        let seen = cli.json(&["grants", "list"]);
        assert_eq!((text(&seen[0]["id"]), text(&seen[0]["to"])), (grant.clone(), "web-02".into()), "{seen}");
    }
    assert!(world.host("web-03").cli.json(&["grants", "list"]).as_array().expect("a list").is_empty());
    assert_eq!(text(&web_02.cli.json(&["status"])["server"]["grants"][0]["id"]), grant);
    let status = web_02.cli.ok(&["status"]);
    assert!(status.stdout.contains("web-02 may read myorg/web-01"), "{status}");
    assert!(status.stderr.contains("ends soon"), "{status}");
    let mut proxy = Proxy::start(&web_02.cli, &[]);
    proxy.door().get(&web_01.path("a")).expect(200);
    wait::until("the proxy to warn", secs(5), || {
        proxy.running().log().contains("the grant to read web-01 ends soon").then_some(())
    });

    // Hosts see; owners change.
    for cli in [&web_01.cli, &web_02.cli] {
        cli.run(&["grants", "delete", &grant]).failed();
        cli.run(&["grants", "create", "myorg/web-01", "--to", "web-02", "--read", "--for", "24h"]).failed();
    }
    world.other_owner("bob", "otherorg").run(&["grants", "delete", &grant]).failed();
    let wrong =
        world.alice.run(&["grants", "create", "myorg/web-01", "--to", "web-02", "--read", "--for", "90d"]).failed();
    assert!(wrong.stderr.contains("30 days"), "{wrong}");
    let mute = world.alice.run(&["grants", "create", "myorg/web-01", "--to", "web-02", "--for", "1h"]).failed();
    assert_eq!(mute.code(), 2, "what it may do has to be said: {mute}");
}

#[test]
fn a_grant_ends_by_itself_or_when_it_is_deleted_and_says_so() {
    let Scene { web_01, web_02, door, grant: long, world } = scene("1h");
    world.alice.ok(&["grants", "delete", &long]);
    door.get(&web_01.path("a")).expect_error(403, "AccessDenied");
    grant(&world, "2s");
    door.get(&web_01.path("a")).expect(200);
    // Nobody says anything: the server's clock does it, also for a token that it remembers.
    let ended = wait::until("the end of the grant", secs(6), || {
        Some(door.get(&web_01.path("a"))).filter(|answer| answer.status == 403)
    });
    assert!(ended.text().contains("the grant to read web-01 ended at"), "{ended}");
    door.get("/myorg?list-type=2&prefix=web-01/").expect_error(403, "AccessDenied");
    assert_eq!(door.keys("myorg", "", 10), ["web-02/own"]);
    assert!(web_02.cli.json(&["grants", "list"]).as_array().expect("a list").is_empty());
}

#[test]
fn an_answer_on_its_way_is_cut_when_its_grant_ends() {
    let Scene { web_01, door, grant: long, world, .. } = scene("1h");
    let bytes = 64 << 20;
    world.direct(&web_01.cli).put(&web_01.path("big"), &vec![7; bytes]).expect(200);
    for (what, end) in [("deleted", None), ("over", Some("2s"))] {
        if let Some(duration) = end {
            grant(&world, duration);
        }
        let request = door.request("GET", &web_01.path("big"));
        let mut answer = BufReader::new(request.open(door.address).expect("the server listens"));
        answer.get_mut().flush().expect("it was sent");
        let mut status = String::new();
        answer.read_line(&mut status).expect("the head comes");
        assert!(status.contains("200"), "{status}");
        if end.is_none() {
            world.alice.ok(&["grants", "delete", &long]);
        }
        // Read in small pieces, it would take longer than the grant lasts.
        let (mut piece, mut came) = (vec![0; 64 << 10], 0);
        wait::until("the end of the answer", secs(30), || match answer.read(&mut piece) {
            Ok(0) | Err(_) => Some(()),
            Ok(count) => {
                came += count;
                None
            }
        });
        assert!(came < bytes, "{what}: all {bytes} bytes came");
    }
}
