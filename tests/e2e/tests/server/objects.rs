//! PUT, GET, HEAD, DELETE and copy: what goes in comes out, with what was said about it.

use kheeper_e2e::{World, digest, files};

#[test]
fn what_was_put_is_read_back_with_its_headers_and_etag() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    // Around the limits of what is kept in the index, of a chunk, and of a disk hop.
    for length in [0, 1, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 5_000_001] {
        let bytes = files::random_bytes(length as u64, length);
        let path = host.path(&format!("size/{length}"));
        let etag = format!("\"{}\"", digest::md5_hex(&bytes));
        let put = door
            .put_request(&path, &bytes)
            .header("Content-Type", "application/x-test")
            .header("Cache-Control", "no-cache")
            .header("x-amz-meta-mtime", "1700000000.5")
            .header("x-amz-storage-class", "STANDARD")
            .send(door.address)
            .expect(200);
        assert_eq!(put.header("etag"), Some(etag.as_str()));
        let get = door.get(&path).expect(200);
        assert!(get.body == bytes, "{length} bytes came back changed");
        let head = door.head(&path).expect(200);
        for answer in [&get, &head] {
            assert_eq!(answer.header("etag"), Some(etag.as_str()));
            assert_eq!(answer.header("content-length"), Some(length.to_string().as_str()));
            assert_eq!(answer.header("content-type"), Some("application/x-test"));
            assert_eq!(answer.header("cache-control"), Some("no-cache"));
            assert_eq!(answer.header("x-amz-meta-mtime"), Some("1700000000.5"));
            assert_eq!(answer.header("content-encoding"), None);
            assert!(answer.header("last-modified").is_some_and(|date| date.ends_with(" GMT")), "{answer}");
        }
    }
}

#[test]
fn a_range_is_exactly_what_was_asked_for() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let bytes = files::random_bytes(7, 200_000);
    let path = host.path("ranged");
    door.put(&path, &bytes).expect(200);
    let total = bytes.len();
    let ranges = [
        ("bytes=0-0", 0..1),
        ("bytes=65535-65536", 65_535..65_537),
        ("bytes=65536-131071", 65_536..131_072),
        ("bytes=199999-", 199_999..total),
        ("bytes=0-", 0..total),
        ("bytes=100000-999999999", 100_000..total),
        ("bytes=-5", total - 5..total),
        ("bytes=-999999999", 0..total),
    ];
    for (range, expected) in ranges {
        let answer = door.request("GET", &path).header("Range", range).send(door.address).expect(206);
        let content_range = format!("bytes {}-{}/{total}", expected.start, expected.end - 1);
        assert_eq!(answer.header("content-range"), Some(content_range.as_str()), "{range}");
        assert!(answer.body == bytes[expected], "{range}");
        assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("x-amz-checksum")), "{answer}");
    }
    let beyond = door.request("GET", &path).header("Range", "bytes=200000-").send(door.address);
    beyond.expect_error(416, "InvalidRange");
    door.put(&host.path("nothing"), b"").expect(200);
    let empty = door.request("GET", &host.path("nothing")).header("Range", "bytes=0-").send(door.address);
    empty.expect_error(416, "InvalidRange");
    for ignored in ["bytes=5-2", "lines=1-2", "bytes=a-b"] {
        let answer = door.request("GET", &path).header("Range", ignored).send(door.address).expect(200);
        assert_eq!(answer.body.len(), total, "{ignored}");
    }
}

#[test]
fn a_missing_key_is_404_and_deleting_it_is_204() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let path = host.path("never");
    door.get(&path).expect_error(404, "NoSuchKey");
    let head = door.head(&path).expect(404);
    assert!(head.body.is_empty());
    door.delete(&path).expect(204);
    door.put(&path, b"there").expect(200);
    door.delete(&path).expect(204);
    door.get(&path).expect_error(404, "NoSuchKey");
    door.delete(&path).expect(204);
}

#[test]
fn a_copy_carries_the_bytes_and_either_the_old_or_the_new_metadata() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let bytes = files::random_bytes(11, 300_000);
    let source = host.path("source with space+plus");
    let encoded = kheeper_e2e::s3::percent(&source);
    door.put_request(&encoded, &bytes).header("x-amz-meta-a", "old").send(door.address).expect(200);

    for (name, copy_source) in [("one", encoded.clone()), ("two", encoded[1..].to_owned())] {
        let target = host.path(name);
        let copy = door.request("PUT", &target).header("x-amz-copy-source", &copy_source).body("").send(door.address);
        assert!(copy.expect(200).text().contains("<CopyObjectResult"));
        let read = door.get(&target).expect(200);
        assert!(read.body == bytes);
        assert_eq!(read.header("x-amz-meta-a"), Some("old"));
    }
    let onto_itself = || door.request("PUT", &encoded).header("x-amz-copy-source", &encoded).body("");
    onto_itself().send(door.address).expect_error(400, "InvalidRequest");
    let replaced = onto_itself().header("x-amz-metadata-directive", "REPLACE").header("x-amz-meta-b", "new");
    replaced.send(door.address).expect(200);
    let read = door.get(&encoded).expect(200);
    assert!(read.body == bytes);
    assert_eq!((read.header("x-amz-meta-a"), read.header("x-amz-meta-b")), (None, Some("new")));

    let missing = door.request("PUT", &host.path("x")).header("x-amz-copy-source", &host.path("missing")).body("");
    missing.send(door.address).expect_error(404, "NoSuchKey");
    door.delete(&encoded).expect(204);
    assert!(door.get(&host.path("one")).expect(200).body == bytes, "a copy lives on without its source");
}

#[test]
fn bad_names_and_unknown_orgs_are_refused_alike() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    for path in ["/no-such-org/web-01/a", "/otherorg/a", "/xn/a", "/UPPER/a", "/my_org/a"] {
        let answer = door.put(path, b"x");
        assert!(matches!(answer.status, 400 | 403), "{path}: {answer}");
        let answer = door.get(path);
        assert!(matches!(answer.status, 400 | 403), "{path}: {answer}");
    }
    door.put("/no-such-org/web-01/a", b"x").expect_error(403, "AccessDenied");
}

#[test]
fn a_restart_keeps_everything_and_the_original_last_modified() {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let bytes = files::random_bytes(5, 2 << 20);
    door.put(&host.path("big"), &bytes).expect(200);
    door.put(&host.path("small"), b"small").expect(200);
    let before = door.head(&host.path("small"));
    assert!(world.server.terminate().success(), "SIGTERM is a clean end");
    world.server.restart();
    assert!(door.get(&host.path("big")).expect(200).body == bytes);
    assert_eq!(door.get(&host.path("small")).expect(200).body, b"small");
    let after = door.head(&host.path("small"));
    assert_eq!(before.header("last-modified"), after.header("last-modified"));
    assert_eq!(before.header("etag"), after.header("etag"));
}
