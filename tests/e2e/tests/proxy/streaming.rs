//! Large bodies: early refusals, the go-ahead, and memory.

use std::io::{BufReader, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use kheeper_e2e::{digest, files};

use crate::scene;

#[test]
fn a_refusal_arrives_without_the_body_and_without_100_continue() {
    let scene = scene();
    let door = scene.proxy.door();
    let big = files::random_bytes(1, 12 << 20);
    let foreign = "/myorg/web-02/a";
    let asked = door.put_request(foreign, &big).header("Expect", "100-continue");
    let mut stream = asked.open(door.address).expect("the proxy listens");
    let answer = kheeper_e2e::http::read_response(&mut BufReader::new(stream.try_clone().expect("a socket")), "PUT");
    let answer = answer.expect("an answer without a byte of body").expect_error(403, "AccessDenied");
    assert!(!answer.continued);
    let _ = stream.write_all(b"x");
    // A client that sends all the same hears the refusal and no reset, up to 16 MiB.
    let told = door.put_request(foreign, &big).send(door.address).expect_error(403, "AccessDenied");
    assert_eq!(told.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"), "{told}");

    let allowed = door.put_request(&scene.host.path("a"), &big).header("Expect", "100-continue");
    let mut stream = allowed.open(door.address).expect("the proxy listens");
    let started = Instant::now();
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let (status, _) = kheeper_e2e::http::read_head(&mut reader).expect("the go-ahead");
    assert_eq!(status, 100);
    assert!(started.elapsed() < Duration::from_millis(900), "clients wait one second for it");
    stream.write_all(&big).expect("the proxy reads");
    let answer = kheeper_e2e::http::read_response(&mut reader, "PUT").expect("an answer").expect(200);
    assert_eq!(answer.header("etag"), Some(format!("\"{}\"", digest::md5_hex(&big)).as_str()));
}

#[test]
fn memory_does_not_grow_with_what_streams_through() {
    let mut scene = scene();
    let door = scene.proxy.door();
    let bytes = files::random_bytes(1, 48 << 20);
    thread::scope(|scope| {
        for n in 0..8 {
            let (door, bytes) = (&door, &bytes);
            let path = scene.host.path(&format!("stream/{n}"));
            scope.spawn(move || {
                door.put(&path, bytes).expect(200);
                assert!(door.get(&path).expect(200).body == *bytes);
            });
        }
    });
    let proxy = scene.proxy.running().memory_peak_bytes() >> 20;
    let server = scene.world.server.running().memory_peak_bytes() >> 20;
    assert!(proxy < 96, "the proxy held {proxy} MiB while 8 x 48 MiB went through it, twice");
    assert!(server < 192, "the server held {server} MiB");
}

#[test]
fn an_expected_go_ahead_that_cannot_come_closes_the_connection() {
    let scene = scene();
    let door = scene.proxy.door();
    // botocore takes the status of an answer that came without a go-ahead for the next answer's, unless it has to connect
    // again: `aws s3 sync` of a folder with an empty file failed on its next part.
    let empty = door.put_request(&scene.host.path("empty"), b"").header("Expect", "100-continue");
    let answer = empty.send(door.address).expect(200);
    let closes = answer.header("connection").map(str::to_ascii_lowercase).as_deref() == Some("close");
    assert!(answer.continued || closes, "{answer}");
}
