//! What is taken away ends within five seconds, also in the middle of an upload, and stays away after a restart.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kheeper_e2e::http::{Body, Connection, read_response};
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Cli, Door, Request, World};

/// How long an end is waited for. That the last success comes within five seconds is measured by one test; the others
/// look a little longer, since a refusal is a request later.
const PROMISE: Duration = secs(6);

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

/// Ends a caller while it asks for `request` again and again, on one connection that is kept. Returns how long after that
/// was acknowledged the last request succeeded.
fn last_success(door: &Door, request: impl Fn(u32) -> Request + Send + 'static, end: impl FnOnce()) -> Duration {
    let (address, done) = (door.address, Arc::new(AtomicU32::new(0)));
    let asking = {
        let done = Arc::clone(&done);
        thread::spawn(move || {
            let mut kept = Connection::open(address).expect("the server listens");
            let (mut last, mut cut) = (Instant::now(), false);
            loop {
                let Ok(answer) = kept.send(&request(done.load(Ordering::Relaxed))) else {
                    // An answer that is on its way when its caller is ended is cut, which is no success.
                    assert!(!cut, "the connection is kept");
                    cut = true;
                    kept = Connection::open(address).expect("the server listens");
                    continue;
                };
                if answer.status == 403 {
                    return last;
                }
                last = Instant::now();
                assert_eq!(answer.status, 200, "{answer}");
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    wait::until("a few that succeed", secs(10), || (done.load(Ordering::Relaxed) > 3).then_some(()));
    end();
    let acknowledged = Instant::now();
    wait::until("the first refusal", secs(60), || asking.is_finished().then_some(()));
    asking.join().expect("no other answer came").saturating_duration_since(acknowledged)
}

#[test]
fn the_last_success_is_within_five_seconds_of_the_word_also_on_a_connection_that_is_kept() {
    let world = World::start();
    let (revoked, disabled, idle) = (world.host("revoked"), world.host("disabled"), world.host("idle"));
    world.direct(&idle.cli).put(&idle.path("a"), b"a").expect(200);
    let person = |name: &str| {
        let cli = world.cli(name);
        let id = world.login(name, &cli);
        world.alice.ok(&["orgs", "members", "invite", "myorg", &id, "--role", "owner"]);
        (id, world.direct(&cli), kheeper_e2e::world::text(&cli.json(&["status"])["key"]))
    };
    let ((_, by_key, key), (erin, by_user, _)) = (person("dora"), person("erin"));

    let writes = |door: &Door, host: &Host| {
        let (door, path) = (door.clone(), host.path("wal"));
        move |number: u32| door.put_request(&format!("{path}-{number}"), b"a segment")
    };
    let reads = |door: &Door| {
        let (door, path) = (door.clone(), idle.path("a"));
        move |_: u32| door.request("GET", &path)
    };
    let [revoked_door, disabled_door] = [&revoked, &disabled].map(|host| world.direct(&host.cli));
    let taken = [
        (
            "hosts revoke",
            last_success(&revoked_door, writes(&revoked_door, &revoked), || {
                world.alice.ok(&["hosts", "revoke", "myorg/revoked"]);
            }),
        ),
        (
            "hosts disable",
            last_success(&disabled_door, writes(&disabled_door, &disabled), || {
                world.alice.ok(&["hosts", "disable", "myorg/disabled"]);
            }),
        ),
        (
            "keys revoke",
            last_success(&by_key, reads(&by_key), || {
                world.server.operator(&["keys", "revoke", &key]).ok();
            }),
        ),
        (
            "users disable",
            last_success(&by_user, reads(&by_user), || {
                world.server.operator(&["users", "disable", &erin]).ok();
            }),
        ),
    ];
    println!("last success after the word was acknowledged: {taken:?}");
    for (what, late) in taken {
        assert!(late <= secs(5), "{what}: the last success came {late:?} after it");
    }
}

#[test]
fn an_answer_on_its_way_is_cut_when_its_caller_is_ended() {
    let world = World::start();
    let (revoked, disabled) = (world.host("revoked"), world.host("disabled"));
    let erin = world.cli("erin");
    let id = world.login("erin", &erin);
    world.alice.ok(&["orgs", "members", "invite", "myorg", &id, "--role", "owner"]);
    let bytes = 64 << 20;
    for host in [&revoked, &disabled] {
        world.direct(&host.cli).put(&host.path("big"), &vec![7; bytes]).expect(200);
    }
    let owner = |args: &[&str]| drop(world.alice.ok(args));
    let cases: [(&Cli, &Host, &dyn Fn()); 3] = [
        // Before the host's own key ends: it is the owner who reads here.
        (&erin, &revoked, &|| drop(world.server.operator(&["users", "disable", &id]).ok())),
        (&revoked.cli, &revoked, &|| owner(&["hosts", "revoke", "myorg/revoked"])),
        (&disabled.cli, &disabled, &|| owner(&["hosts", "disable", "myorg/disabled"])),
    ];
    for (caller, host, end) in cases {
        let (door, path) = (world.direct(caller), host.path("big"));
        let mut answer = BufReader::new(door.request("GET", &path).open(door.address).expect("the server listens"));
        let mut status = String::new();
        answer.read_line(&mut status).expect("the head comes");
        assert!(status.contains("200"), "{status}");
        end();
        // What the sockets hold is on its way already; the rest waits for us, and the end comes first.
        wait::until("the end of a caller", PROMISE, || (door.head(&path).status == 403).then_some(()));
        let (mut piece, mut came) = (vec![0; 64 << 10], 0);
        wait::until("the end of the answer", secs(30), || match answer.read(&mut piece) {
            Ok(0) | Err(_) => Some(()),
            Ok(count) => {
                came += count;
                None
            }
        });
        assert!(came < bytes, "{path}: all {bytes} bytes came to a caller that was ended");
    }
}

#[test]
fn a_host_that_is_ended_during_an_upload_commits_nothing_after_a_restart_neither() {
    let mut world = World::start();
    let mut uploads = Vec::new();
    for end in ["revoke", "disable"] {
        let host = world.host(end);
        let door = world.direct(&host.cli);
        let path = host.path("slow");
        let upload = door.create_upload(&host.path("parts"));
        let etag = door.part(&host.path("parts"), &upload, 1, b"part");

        let body = Body::Declared { length: 200_000, bytes: vec![] };
        let request = door.request("PUT", &path).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD").framed(body);
        let mut open = request.open(door.address).expect("the server listens");
        open.write_all(&[1; 100_000]).expect("the server reads");
        world.alice.ok(&["hosts", end, &host.namespace()]);
        // The commit itself checks the key again, so it need not wait for the next look at revocations.
        let _ = open.write_all(&[1; 100_000]);
        if let Ok(answer) = read_response(&mut BufReader::new(open), "PUT") {
            assert_eq!(answer.status, 403, "{end}: {answer}");
        }
        let complete = door.complete(&host.path("parts"), &upload, &[(1, &etag)]);
        assert_eq!(complete.status, 403, "{end}: {complete}");
        uploads.push((end, host, door, upload, etag));
    }
    let bob = world.cli("bob");
    let id = world.login("bob", &bob);
    world.alice.ok(&["orgs", "members", "invite", "myorg", &id, "--role", "owner"]);
    let bob = world.direct(&bob);
    bob.get("/myorg?list-type=2").expect(200);
    world.server.operator(&["users", "disable", &id]).ok();
    ended(&bob, "/myorg?list-type=2");

    world.server.kill9();
    world.server.restart();
    bob.get("/myorg?list-type=2").expect_error(403, "AccessDenied");
    let alice = world.direct(&world.alice);
    for (end, host, door, upload, etag) in uploads {
        let complete = door.complete(&host.path("parts"), &upload, &[(1, &etag)]);
        assert_eq!(complete.status, 403, "{end}: {complete}");
        door.put(&host.path("slow"), b"x").expect_error(403, "AccessDenied");
        alice.get(&host.path("slow")).expect_error(404, "NoSuchKey");
        alice.get(&host.path("parts")).expect_error(404, "NoSuchKey");
    }
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
