//! Conditional requests: honoured atomically, never ignored.

use std::thread;

use kheeper_e2e::{World, digest};

#[test]
fn reads_answer_their_conditions() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let path = host.path("a");
    door.put(&path, b"one").expect(200);
    let etag = format!("\"{}\"", digest::md5_hex(b"one"));
    let with = |name: &str, value: &str| door.request("GET", &path).header(name, value).send(door.address);
    let modified = door.head(&path).header("last-modified").expect("it was modified").to_owned();
    with("If-Match", &etag).expect(200);
    with("If-Match", "*").expect(200);
    with("If-Match", "\"0\"").expect_error(412, "PreconditionFailed");
    with("If-None-Match", "\"0\"").expect(200);
    assert!(with("If-None-Match", &etag).expect(304).body.is_empty());
    with("If-Modified-Since", &modified).expect(304);
    with("If-Unmodified-Since", &modified).expect(200);
    with("If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT").expect_error(412, "PreconditionFailed");
    with("If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT").expect(200);
}

#[test]
fn writes_answer_their_conditions() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let path = host.path("a");
    let put =
        |name: &str, value: &str, bytes: &[u8]| door.put_request(&path, bytes).header(name, value).send(door.address);
    let missing = put("If-Match", "\"0\"", b"x");
    assert!(matches!(missing.status, 404 | 412), "{missing}");
    put("If-None-Match", "*", b"one").expect(200);
    put("If-None-Match", "*", b"two").expect_error(412, "PreconditionFailed");
    put("If-Match", "\"0\"", b"two").expect_error(412, "PreconditionFailed");
    assert_eq!(door.get(&path).expect(200).body, b"one");
    put("If-Match", &format!("\"{}\"", digest::md5_hex(b"one")), b"two").expect(200);
    assert_eq!(door.get(&path).expect(200).body, b"two");
    door.delete(&path).expect(204);
    put("If-None-Match", "*", b"three").expect(200);
}

#[test]
fn of_many_creations_of_one_key_exactly_one_wins() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let path = host.path("contended");
    // Beyond the size that is kept in the index, so that blobs are raced too.
    let body = |n: usize| format!("{n:05}").repeat(2000).into_bytes();
    let answers: Vec<(usize, u16)> = thread::scope(|scope| {
        let writers: Vec<_> = (0..40)
            .map(|n| {
                let request = door.put_request(&path, &body(n)).header("If-None-Match", "*");
                scope.spawn(move || (n, request.send(door.address).status))
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("no writer panics")).collect()
    });
    let winners: Vec<usize> = answers.iter().filter(|(_, status)| *status == 200).map(|(n, _)| *n).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|(_, status)| matches!(status, 200 | 409 | 412)), "{answers:?}");
    assert!(door.get(&path).expect(200).body == body(winners[0]));
}

#[test]
fn a_reader_of_a_key_that_is_being_overwritten_sees_whole_versions_only() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let path = host.path("hot");
    let body = |n: u8| vec![n; 150_000];
    door.put(&path, &body(0)).expect(200);
    thread::scope(|scope| {
        for writer in 1..=3_u8 {
            let (door, path) = (&door, &path);
            scope.spawn(move || {
                for round in 0..10 {
                    door.put(path, &body(writer * 20 + round)).expect(200);
                }
            });
        }
        for _ in 0..3 {
            let (door, path) = (&door, &path);
            scope.spawn(move || {
                for _ in 0..20 {
                    let read = door.get(path).expect(200);
                    assert_eq!(read.header("etag"), Some(format!("\"{}\"", digest::md5_hex(&read.body)).as_str()));
                    assert_eq!(read.body.len(), 150_000);
                }
            });
        }
    });
}

#[test]
fn copies_and_completes_answer_their_conditions_at_both_doors() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    for (name, door) in [("direct", world.direct(&host.cli)), ("proxy", proxy.door())] {
        let (source, target) = (host.path(&format!("{name}/source")), host.path(&format!("{name}/target")));
        door.put(&source, b"source").expect(200);
        let etag = format!("\"{}\"", digest::md5_hex(b"source"));
        let modified = door.head(&source).header("last-modified").expect("it was modified").to_owned();
        let long_ago = "Sat, 01 Jan 2000 00:00:00 GMT";
        let copy = |header: &str, value: &str| {
            let request = door.request("PUT", &target).header("x-amz-copy-source", &source).header(header, value);
            request.body("").send(door.address)
        };
        for (header, value) in [
            ("x-amz-copy-source-if-match", "\"0\""),
            ("x-amz-copy-source-if-none-match", etag.as_str()),
            ("x-amz-copy-source-if-modified-since", modified.as_str()),
            ("x-amz-copy-source-if-unmodified-since", long_ago),
        ] {
            copy(header, value).expect_error(412, "PreconditionFailed");
        }
        door.get(&target).expect_error(404, "NoSuchKey");
        copy("If-Match", &etag).expect_error(404, "NoSuchKey");
        for (header, value) in [
            ("If-None-Match", "*"),
            ("x-amz-copy-source-if-match", etag.as_str()),
            ("x-amz-copy-source-if-none-match", "\"0\""),
            ("x-amz-copy-source-if-modified-since", long_ago),
            ("x-amz-copy-source-if-unmodified-since", modified.as_str()),
            ("If-Match", etag.as_str()),
        ] {
            copy(header, value).expect(200);
        }
        copy("If-None-Match", "*").expect_error(412, "PreconditionFailed");
        copy("If-Match", "\"0\"").expect_error(412, "PreconditionFailed");

        let upload = door.create_upload(&target);
        let part_copy = |header: &str, value: &str| {
            let path = format!("{target}?partNumber=1&uploadId={upload}");
            let request = door.request("PUT", &path).header("x-amz-copy-source", &source).header(header, value);
            request.body("").send(door.address)
        };
        part_copy("x-amz-copy-source-if-match", "\"0\"").expect_error(412, "PreconditionFailed");
        part_copy("x-amz-copy-source-if-match", &etag).expect(200);
        let complete = |header: &str, value: &str| {
            let body = kheeper_e2e::s3::complete_body(&[(1, &etag)]);
            let request = door.request("POST", &format!("{target}?uploadId={upload}")).header(header, value);
            request.body(body).send(door.address)
        };
        complete("If-None-Match", "*").expect_error(412, "PreconditionFailed");
        complete("If-Match", "\"0\"").expect_error(412, "PreconditionFailed");
        complete("If-None-Match", "\"0\"").expect_error(501, "NotImplemented");
        assert_eq!(door.head(&target).expect(200).header("etag"), Some(etag.as_str()), "nothing was stored");
        complete("If-Match", &etag).expect(200);
        assert!(door.head(&target).expect(200).header("etag").is_some_and(|tag| tag.ends_with("-1\"")));
        assert_eq!(door.get(&target).expect(200).body, b"source");
    }
}
