//! What passes through, and what never does.

use kheeper_e2e::s3::DUMMY_AUTHORIZATION;
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::{Body, Proxy, Request, World};

use crate::scene;

#[test]
fn credentials_are_dropped_and_the_hosts_own_are_attached() {
    let scene = scene();
    let door = scene.proxy.door();
    let path = scene.host.path("a");
    door.put(&path, b"a").expect(200);
    let address = door.address;
    for authorization in
        [DUMMY_AUTHORIZATION, "AWS dummy:c2lnbmF0dXJl", "AWS4-HMAC-SHA256 Credential=x,SignedHeaders=host,Signature=y"]
    {
        Request::new("GET", &path).header("Authorization", authorization).send(address).expect(200);
    }
    // Nothing that the client says becomes identity, or takes the identity away.
    let forged = [
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-User", "alice"),
        ("X-Kheeper-Length", "1"),
        ("X-Kheeper-Attempt", "00000000000000000000000000000000"),
        ("Connection", "authorization"),
        ("Connection", "close, x-kheeper-attempt"),
        ("Proxy-Authorization", "Bearer x"),
        ("X-Amz-Security-Token", "dummy"),
        ("X-Amz-Date", "20200101T000000Z"),
        ("TE", "trailers"),
    ];
    for (name, value) in forged {
        let request = door.put_request(&path, b"again").header(name, value);
        assert_eq!(request.send(address).status, 200, "{name}: {value}");
    }
    assert_eq!(door.get(&path).expect(200).body, b"again");
    let bearer = Request::new("GET", &path).header("Authorization", "Bearer forged").send(address);
    bearer.expect_error(403, "AccessDenied");
    let signed = format!(
        "{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Date=b&X-Amz-Expires=1\
         &X-Amz-SignedHeaders=host&X-Amz-Signature=c"
    );
    door.get(&signed).expect(200);
    Request::new("GET", &signed).send(address).expect_error(403, "AccessDenied");
    let hidden = format!("{path}?x-amz-storage-class=GLACIER&x-amz-made-up=1");
    door.get(&hidden).expect_error(501, "NotImplemented");
}

#[test]
fn the_path_goes_through_byte_for_byte() {
    let scene = scene();
    let door = scene.proxy.door();
    let tails = ["a%2Fb", "a//b", "./a", "../web-01/a", "%2e%2e/x", "a+b", "a%20b", "caf%C3%A9", "seg.", "d/", "%41"];
    for tail in tails {
        let path = scene.host.path(tail);
        door.put(&path, tail.as_bytes()).expect(200);
        assert_eq!(door.get(&path).expect(200).body, tail.as_bytes(), "{tail}");
        let direct = scene.world.direct(&scene.host.cli);
        assert_eq!(direct.get(&path).expect(200).body, tail.as_bytes(), "{tail}");
    }
    let keys = door.keys("myorg", "web-01/", 3);
    assert_eq!(keys.len(), tails.len(), "{keys:?}");
    assert!(keys.contains(&"web-01/../web-01/a".to_owned()));
    door.put(&scene.host.path(&"k".repeat(1024)), b"x").expect_error(400, "KeyTooLongError");
}

#[test]
fn a_put_without_any_body_is_an_empty_object_or_411_at_once() {
    let scene = scene();
    let door = scene.proxy.door();
    // A PUT with neither length nor chunks has an empty body in HTTP/1.1.
    let put = door.request("PUT", &scene.host.path("empty")).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let answer = put.framed(Body::None).send(door.address);
    assert!(matches!(answer.status, 200 | 411), "{answer}");
}

#[test]
fn no_secret_is_in_any_log() {
    let world = World::start();
    let host = world.host("web-01");
    let mut verbose = Proxy::start(&host.cli, &[]);
    {
        let mut command = verbose.command();
        command.env("RUST_LOG", "trace");
        verbose.running().terminate(secs(20));
        let mut running = kheeper_e2e::Running::start("a talkative proxy", command);
        running.wait_for_line("the announcement", secs(20), |line| {
            line.contains(kheeper_e2e::proxy::ANNOUNCEMENT).then_some(())
        });
        let door = verbose.door();
        door.put(&host.path("a"), b"a").expect(200);
        door.get(&host.path("a")).expect(200);
        door.get("/myorg/web-02/a").expect(403);
        let log = wait::until("the log", secs(5), || Some(running.log()).filter(|log| !log.is_empty()));
        for secret in ["eyJ", "PRIVATE KEY", "Signature=0000"] {
            assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
        }
    }
}
