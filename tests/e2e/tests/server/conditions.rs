//! Conditional requests: honoured atomically, never ignored.

use std::io::{BufReader, Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kheeper_e2e::http::{read_head, read_response};
use kheeper_e2e::{Door, Response, World, digest, files};

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
fn a_head_answers_its_conditions_as_a_get_does_and_never_with_a_body() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let (path, bytes) = (host.path("a"), b"one");
    let etag = format!("\"{}\"", digest::md5_hex(bytes));
    let other = "\"00000000000000000000000000000000\"";
    let long_ago = "Sat, 01 Jan 2000 00:00:00 GMT";
    for (name, door) in [("direct", world.direct(&host.cli)), ("proxy", proxy.door())] {
        door.put(&path, bytes).expect(200);
        let modified = door.head(&path).header("last-modified").expect("it was modified").to_owned();
        for (conditions, status) in [
            (&[("If-Match", &*etag)][..], 200),
            (&[("If-Match", "*")], 200),
            (&[("If-Match", other)], 412),
            (&[("If-None-Match", other)], 200),
            (&[("If-None-Match", &etag)], 304),
            (&[("If-None-Match", "*")], 304),
            (&[("If-Modified-Since", long_ago)], 200),
            (&[("If-Modified-Since", &modified)], 304),
            (&[("If-Unmodified-Since", &modified)], 200),
            (&[("If-Unmodified-Since", long_ago)], 412),
            // Of two, the tag is the one that counts.
            (&[("If-Match", &etag), ("If-Unmodified-Since", long_ago)], 200),
            (&[("If-None-Match", &etag), ("If-Modified-Since", long_ago)], 304),
            // One that was sent the bytes 0-0 of another version must not take them for these.
            (&[("If-Match", other), ("Range", "bytes=0-0")], 412),
        ] {
            let with = |method: &str| {
                let request = door.request(method, &path).header("Connection", "close");
                conditions.iter().fold(request, |request, (name, value)| request.header(name, value))
            };
            let what = format!("{name}: {conditions:?}");
            let mut raw = Vec::new();
            with("HEAD").open(door.address).and_then(|mut socket| socket.read_to_end(&mut raw)).expect("an answer");
            let text = String::from_utf8_lossy(&raw);
            assert!(text.ends_with("\r\n\r\n") && text.matches("\r\n\r\n").count() == 1, "{what}: a body: {text}");
            let head = read_response(&mut raw.as_slice(), "HEAD").expect("it is whole");
            let get = with("GET").send(door.address);
            assert_eq!((head.status, get.status), (status, status), "{what}: {head}");
            // Caches keep both by what a 304 says.
            for kept in ["etag", "last-modified"] {
                assert!(status == 412 || head.header(kept).is_some(), "{what}: no {kept}: {head}");
                assert_eq!(head.header(kept), get.header(kept), "{what}: {kept}");
            }
        }
        assert_eq!(
            door.request("HEAD", &host.path("never")).header("If-None-Match", "*").send(door.address).status,
            404
        );
    }
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
fn eight_readers_of_a_key_that_eight_writers_overwrite_see_whole_versions_only() {
    const EACH: usize = 8;
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let doors = [world.direct(&host.cli), proxy.door()];
    // Kept in the index, and as blobs; what is written is one byte again and again, so that a mixture shows.
    for length in [3000, 300_000] {
        let path = host.path(&format!("hot/{length}"));
        doors[0].put(&path, &vec![0; length]).expect(200);
        let writing = AtomicUsize::new(EACH);
        let reads: usize = thread::scope(|scope| {
            for writer in 1..=EACH {
                let (door, path, writing) = (&doors[writer % 2], &path, &writing);
                scope.spawn(move || {
                    for round in 0..10 {
                        door.put(path, &vec![(writer * 10 + round) as u8; length]).expect(200);
                    }
                    writing.fetch_sub(1, Ordering::Relaxed);
                });
            }
            let readers: Vec<_> = (0..EACH)
                .map(|reader| {
                    let (door, path, writing) = (&doors[reader % 2], &path, &writing);
                    scope.spawn(move || {
                        let mut reads = 0;
                        while writing.load(Ordering::Relaxed) > 0 {
                            let read = door.get(path).expect(200);
                            let etag = format!("\"{}\"", digest::md5_hex(&read.body));
                            assert_eq!(read.header("etag"), Some(etag.as_str()));
                            assert_eq!(read.body.len(), length);
                            assert!(read.body.iter().all(|byte| *byte == read.body[0]), "parts of two versions");
                            reads += 1;
                        }
                        reads
                    })
                })
                .collect();
            readers.into_iter().map(|reader| reader.join().expect("no reader panics")).sum()
        });
        assert!(reads >= EACH, "only {reads} reads beside the writers");
    }
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

/// A refusal to overwrite: its code, and the way out in words.
#[track_caller]
fn is_kept(answer: Response, key: &str) {
    let text = answer.expect_error(412, "PreconditionFailed").text();
    for said in [key, "keeps what was written first", "another name", "--no-overwrite=off"] {
        assert!(text.contains(said), "{said:?} is not said: {text}");
    }
}

#[test]
fn a_name_that_is_kept_never_changes_whatever_is_written_over_it_at_both_doors() {
    let world = World::start();
    let host = world.host("web-01");
    world.alice.ok(&["hosts", "set", &host.namespace(), "--no-overwrite"]);
    let proxy = world.host_proxy(&host);
    for (name, door) in [("direct", world.direct(&host.cli)), ("proxy", proxy.door())] {
        // Kept in the index, and as blobs.
        for length in [3000, 300_000] {
            keeps_its_first_content(&door, &host.path(&format!("{name}/{length}")), length);
        }
    }
    world.server.operator(&["fsck", "--read-data"]).ok();
}

fn keeps_its_first_content(door: &Door, path: &str, length: usize) {
    let (first, other) = (files::random_bytes(1, length), files::random_bytes(2, length));
    let (key, source) = (path.strip_prefix("/myorg/").expect("our own path"), format!("{path}-source"));
    // Two that began before there was anything, and were late.
    let upload = door.create_upload(path);
    let part = door.part(path, &upload, 1, &other);
    let same = door.create_upload(path);
    let same_part = door.part(path, &same, 1, &first);
    let stalled =
        door.put_request(path, &other).header("Expect", "100-continue").open(door.address).expect("it listens");
    let (status, _) = read_head(&mut BufReader::with_capacity(1, &stalled)).expect("it answers");
    assert_eq!(status, 100);
    (&stalled).write_all(&other[..length / 2]).expect("it reads");

    let etag = door.put(path, &first).expect(200).header("etag").expect("an ETag").to_owned();
    let modified = door.head(path).expect(200).header("last-modified").expect("a time").to_owned();
    let unchanged = |what: &str| {
        let read = door.get(path).expect(200);
        assert!(read.body == first, "{what} changed what is kept");
        assert_eq!(read.header("etag"), Some(etag.as_str()), "{what}");
        assert_eq!(read.header("last-modified"), Some(modified.as_str()), "{what}");
    };
    assert_eq!(door.put(path, &first).expect(200).header("etag"), Some(etag.as_str()), "the same bytes again");
    unchanged("the same bytes again");
    is_kept(door.put(path, &other), key);
    unchanged("another PUT");
    is_kept(door.put(path, &first[1..]), key);
    unchanged("a shorter PUT");
    (&stalled).write_all(&other[length / 2..]).expect("it reads on");
    is_kept(read_response(&mut BufReader::new(&stalled), "PUT").expect("it answers"), key);
    unchanged("a late PUT");
    door.put(&source, &other).expect(200);
    for from in [&source, &path.to_owned()] {
        let copy = door.request("PUT", path).header("x-amz-copy-source", from);
        is_kept(copy.header("x-amz-metadata-directive", "REPLACE").body("").send(door.address), key);
        unchanged("a copy");
    }
    is_kept(door.complete(path, &upload, &[(1, &part)]), key);
    unchanged("a completed upload");
    door.complete(path, &same, &[(1, &same_part)]).expect(200);
    unchanged("a completed upload of the same bytes");
    // Deleting hides, and the name goes on to be taken.
    door.delete(path).expect(204);
    is_kept(door.put(path, &other), key);
    door.get(path).expect_error(404, "NoSuchKey");
    door.put(path, &first).expect(200);
    assert!(door.get(path).expect(200).body == first, "its own bytes may come back");
    door.request("DELETE", &format!("{path}?uploadId={upload}")).send(door.address).expect(204);
}
