//! What the matrix (`matrix/`) does not ask: prefixes, batches, keys that look like a way out, and what is refused whole.

use kheeper_e2e::s3::{delete_body, xml_values};
use kheeper_e2e::world::Host;
use kheeper_e2e::{World, digest};

const STORED: &[u8] = b"what was stored before anybody tried anything";

#[test]
fn a_listing_shows_a_host_its_own_keys_whatever_the_prefix() {
    let world = World::start();
    let hosts: Vec<Host> = ["web-01", "web-011", "web-01-b", "web-02"].map(|name| world.host(name)).into();
    for host in &hosts {
        world.direct(&host.cli).put(&host.path("dir/key"), STORED).expect(200);
    }
    let door = world.direct(&hosts[0].cli);
    for prefix in ["", "w", "web-0", "web-01", "web-01/", "web-01/dir/", "web-01/d"] {
        assert_eq!(door.keys("myorg", prefix, 1), ["web-01/dir/key"], "prefix {prefix:?}");
    }
    assert_eq!(door.keys("myorg", "web-01/nothing", 10), [""; 0]);
    for prefix in ["web-011", "web-011/", "web-01-", "web-02/", "x", "/", "web-01//../web-02", "WEB-01/"] {
        let listed = door.get(&format!("/myorg?list-type=2&prefix={}", kheeper_e2e::s3::percent(prefix)));
        if prefix == "web-01//../web-02" {
            assert_eq!(xml_values(&listed.expect(200).text(), "Key"), [""; 0]);
        } else {
            listed.expect_error(403, "AccessDenied");
        }
    }
    for query in ["delimiter=/", "delimiter=0", "delimiter=-", "prefix=web-0&delimiter=1", "start-after=web-011/"] {
        let text = door.get(&format!("/myorg?list-type=2&{query}")).expect(200).text();
        let entries = [xml_values(&text, "Key"), xml_values(&text, "CommonPrefixes")].concat().join(" ");
        let foreign = ["web-011", "web-02", "web-01-"].iter().find(|name| entries.contains(*name));
        assert_eq!(foreign, None, "{query}: {text}");
    }
    // A cursor is no permission: what it names is judged like a prefix.
    let elsewhere = kheeper_s3::cursor::encode(b"web-011/");
    door.get(&format!("/myorg?list-type=2&prefix=web-01/&continuation-token={elsewhere}"))
        .expect_error(400, "InvalidArgument");
    let text = door.get(&format!("/myorg?list-type=2&continuation-token={elsewhere}")).expect(200).text();
    assert_eq!(xml_values(&text, "Key"), [""; 0]);
    let text = door.get("/myorg?delimiter=/&marker=web-00").expect(200).text();
    assert_eq!(xml_values(&text, "Prefix").last().map(String::as_str), Some("web-01/"), "{text}");

    let alice = world.direct(&world.alice);
    let all = ["web-01-b/dir/key", "web-01/dir/key", "web-011/dir/key", "web-02/dir/key"];
    assert_eq!(alice.keys("myorg", "", 1), all, "in byte order");
    assert_eq!(xml_values(&door.get("/").expect(200).text(), "Name"), ["myorg"]);
}

#[test]
fn a_batch_with_one_foreign_key_deletes_nothing() {
    let world = World::start();
    let (web_01, web_02) = (world.host("web-01"), world.host("web-02"));
    let door = world.direct(&web_01.cli);
    door.put(&web_01.path("a"), STORED).expect(200);
    world.direct(&web_02.cli).put(&web_02.path("a"), STORED).expect(200);

    for foreign in ["web-02/a", "web-01", "a", "../web-01/a", "web-011/a"] {
        door.post("/myorg?delete", &delete_body(["web-01/a", foreign], false)).expect_error(403, "AccessDenied");
    }
    world
        .direct(&world.alice)
        .post("/myorg?delete", &delete_body(["web-01/a"], true))
        .expect_error(403, "AccessDenied");
    assert_eq!(door.get(&web_01.path("a")).expect(200).body, STORED);

    let many: Vec<String> = (0..1001).map(|n| format!("web-01/{n}")).collect();
    door.post("/myorg?delete", &delete_body(&many, true)).expect_error(400, "MalformedXML");
    let answer = door.post("/myorg?delete", &delete_body(["web-01/a", "web-01/never-there"], false)).expect(200);
    assert_eq!(xml_values(&answer.text(), "Key"), ["web-01/a", "web-01/never-there"]);
    door.get(&web_01.path("a")).expect_error(404, "NoSuchKey");
}

#[test]
fn an_upload_of_another_host_is_not_there() {
    let world = World::start();
    let (web_01, web_02) = (world.host("web-01"), world.host("web-02"));
    let (door_01, door_02) = (world.direct(&web_01.cli), world.direct(&web_02.cli));
    let upload = door_01.create_upload(&web_01.path("big"));
    assert!(upload.len() >= 26, "at least 128 random bits: {upload}");

    let foreign = format!("{}?partNumber=1&uploadId={upload}", web_02.path("big"));
    door_02.put(&foreign, b"part").expect_error(404, "NoSuchUpload");
    let other_key = format!("{}?partNumber=1&uploadId={upload}", web_01.path("other"));
    door_01.put(&other_key, b"part").expect_error(404, "NoSuchUpload");
    let there = format!("{}?partNumber=1&uploadId={upload}", web_01.path("big"));
    door_02.put(&there, b"part").expect_error(403, "AccessDenied");
    assert!(!door_02.get("/myorg?uploads").expect(200).text().contains(&upload));
    assert!(door_01.get("/myorg?uploads").expect(200).text().contains(&upload));
    door_01.put(&there, b"part").expect(200);
}

#[test]
fn what_is_not_an_operation_is_501_and_never_a_plain_get_or_put() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    door.put(&host.path("a"), STORED).expect(200);
    for query in ["acl", "torrent", "retention", "legal-hold", "restore", "versionId=abc"] {
        let path = format!("{}?{query}", host.path("a"));
        door.get(&path).expect_error(501, "NotImplemented");
        door.put(&path, b"something else").expect_error(501, "NotImplemented");
    }
    for query in [
        "versions",
        "policy",
        "tagging",
        "attributes",
        "lifecycle",
        "object-lock",
        "cors",
        "acl",
        "replication",
        "encryption",
    ] {
        door.get(&format!("/myorg?{query}")).expect_error(501, "NotImplemented");
        door.put(&format!("/myorg?{query}"), b"<X/>").expect_error(501, "NotImplemented");
    }
    for (name, value) in [
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-bypass-governance-retention", "true"),
        ("x-amz-made-up", "1"),
    ] {
        let request = door.put_request(&host.path("a"), b"something else").header(name, value);
        let answer = request.send(door.address).expect_error(501, "NotImplemented");
        assert!(answer.text().contains(name), "it names the header: {answer}");
    }
    assert_eq!(door.get(&host.path("a")).expect(200).body, STORED);
    let md5 = digest::md5_hex(STORED);
    assert_eq!(door.head(&host.path("a")).header("etag"), Some(format!("\"{md5}\"").as_str()));
}

#[test]
fn a_key_is_opaque_bytes_and_the_authorized_key_is_the_stored_one() {
    let world = World::start();
    let (web_01, web_02) = (world.host("web-01"), world.host("web-02"));
    let door = world.direct(&web_01.cli);
    world.direct(&web_02.cli).put(&web_02.path("a"), STORED).expect(200);

    // What looks like a way out is a key like any other below web-01/, or refused.
    let inside = [
        ("/myorg/web-01/../web-02/a", "web-01/../web-02/a"),
        ("/myorg/web-01/%2e%2e/web-02/a", "web-01/../web-02/a"),
        ("/myorg/web-01%2Fb", "web-01/b"),
        ("/myorg/web-01//b", "web-01//b"),
        ("/myorg/web-01/./b", "web-01/./b"),
        ("/myorg/web-01/b/", "web-01/b/"),
        ("/myorg/web-01/a+b%2Bc%20d", "web-01/a+b+c d"),
        ("/myorg/web-01/%252e", "web-01/%2e"),
        ("/myorg/web-01/%5c..%5cx", "web-01/\\..\\x"),
        ("/myorg/web-01/caf%C3%A9", "web-01/caf\u{e9}"),
        ("/myorg/web-01/cafe%CC%81", "web-01/cafe\u{301}"),
        ("/myorg/web-01/A", "web-01/A"),
        ("/myorg/web-01/a", "web-01/a"),
        ("/myorg/web-01/seg.", "web-01/seg."),
        ("/myorg/web-01/", "web-01/"),
    ];
    let mut expected: Vec<&str> = inside.iter().map(|(_, key)| *key).collect();
    for (path, key) in inside {
        door.put(path, key.as_bytes()).expect(200);
    }
    for (path, key) in inside {
        assert_eq!(door.get(path).expect(200).body, key.as_bytes(), "{path}");
    }
    expected.sort();
    expected.dedup();
    assert_eq!(door.keys("myorg", "web-01/", 4), expected);

    for path in
        ["/myorg/../otherorg/web-01/a", "/myorg/%2e%2e/web-02/a", "/myorg/web-02/../web-01/a", "/./myorg/web-01/a"]
    {
        let answer = door.put(path, b"x");
        assert!(matches!(answer.status, 400 | 403), "{path}: {answer}");
    }
    for path in ["/myorg/web-01/%FF", "/myorg/web-01/%C3%28", "/myorg/web-01/%zz", "/myorg/web-01/%00"] {
        let answer = door.put(path, b"x").expect(400);
        assert!(matches!(answer.code().as_str(), "InvalidURI" | "InvalidArgument"), "{path}: {answer}");
    }
    let longest = format!("/myorg/web-01/{}", "k".repeat(1024 - "web-01/".len()));
    door.put(&longest, b"x").expect(200);
    door.put(&format!("{longest}k"), b"x").expect_error(400, "KeyTooLongError");
    assert_eq!(world.direct(&web_02.cli).get(&web_02.path("a")).expect(200).body, STORED);
}
