//! What is taken away ends within five seconds, also in the middle of an upload, and stays away after a restart.

use std::io::{BufReader, Write as _};
use std::time::Instant;

use kheeper_e2e::http::{Body, read_response};
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::{Door, World};

/// What design.md promises, with a little for a busy machine.
const PROMISE: std::time::Duration = secs(6);

#[test]
fn a_revoked_key_ends_in_five_seconds_with_an_answer_that_says_so() {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let mut proxy = world.host_proxy(&host);
    door.put(&host.path("a"), b"a").expect(200);
    proxy.door().get(&host.path("a")).expect(200);

    world.alice.ok(&["hosts", "revoke", "myorg/web-01"]);
    let answer = ended(&door, &host.path("a"));
    assert!(answer.text().contains("revoked"), "{answer}");
    let through = ended(&proxy.door(), &host.path("a"));
    assert!(through.text().contains("revoked"), "{through}");
    wait::until("the proxy's log to say so too", secs(5), || proxy.running().log().contains("revoked").then_some(()));
    door.get(&host.path("never")).expect_error(403, "AccessDenied");

    world.server.kill9();
    world.server.restart();
    door.get(&host.path("a")).expect_error(403, "AccessDenied");
    proxy.door().put(&host.path("a"), b"b").expect_error(403, "AccessDenied");
    assert_eq!(world.direct(&world.alice).get(&host.path("a")).expect(200).body, b"a");
}

fn ended(door: &Door, path: &str) -> kheeper_e2e::Response {
    wait::until("the end of a key", PROMISE, || {
        let answer = door.get(path);
        (answer.status == 403).then_some(answer)
    })
}

#[test]
fn a_key_revoked_during_an_upload_commits_nothing() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let path = host.path("slow");
    let upload = door.create_upload(&host.path("parts"));
    let etag = door.part(&host.path("parts"), &upload, 1, b"part");

    let body = Body::Declared { length: 200_000, bytes: vec![] };
    let request = door.request("PUT", &path).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD").framed(body);
    let mut open = request.open(door.address).expect("the server listens");
    open.write_all(&[1; 100_000]).expect("the server reads");
    world.alice.ok(&["hosts", "revoke", "myorg/web-01"]);
    let revoked = Instant::now();
    // The commit itself checks the key again, so it need not wait for the next look at revocations.
    let _ = open.write_all(&[1; 100_000]);
    if let Ok(answer) = read_response(&mut BufReader::new(open), "PUT") {
        assert_eq!(answer.status, 403, "{answer}");
    }
    let complete = door.complete(&host.path("parts"), &upload, &[(1, &etag)]);
    assert_eq!(complete.status, 403, "{complete}");
    assert!(revoked.elapsed() < PROMISE);
    let alice = world.direct(&world.alice);
    alice.get(&path).expect_error(404, "NoSuchKey");
    alice.get(&host.path("parts")).expect_error(404, "NoSuchKey");
}

#[test]
fn a_disabled_host_is_refused_until_it_is_enabled_again() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    door.put(&host.path("a"), b"a").expect(200);
    world.alice.ok(&["hosts", "disable", "myorg/web-01"]);
    ended(&door, &host.path("a"));
    assert_eq!(world.direct(&world.alice).get(&host.path("a")).expect(200).body, b"a");
    world.alice.ok(&["hosts", "enable", "myorg/web-01"]);
    wait::until("the host to be let in again", PROMISE, || (door.get(&host.path("a")).status == 200).then_some(()));
}

#[test]
fn a_users_key_revoked_by_the_operator_ends_too() {
    let world = World::start();
    let door = world.direct(&world.alice);
    door.get("/myorg?list-type=2").expect(200);
    let key_id = world.alice.json(&["status"]).to_string();
    let whoami = kheeper_e2e::Request::new("GET", "/-/api/v1/whoami")
        .header("Authorization", door.authorization.as_deref().expect("a token"))
        .send(door.address)
        .expect(200)
        .json();
    let kid = whoami["key_id"].as_str().expect("a key id").to_owned();
    assert!(key_id.contains(&kid), "status names the key: {key_id}");
    world.server.operator(&["keys", "revoke", &kid]).ok();
    wait::until("the end of a key", PROMISE, || (door.get("/myorg?list-type=2").status == 403).then_some(()));
}
