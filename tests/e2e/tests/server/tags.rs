//! Object tags, GetObjectAttributes and the headers that are kept: what was said of an object is said of it again.

use kheeper_e2e::s3::xml_values;
use kheeper_e2e::{Door, World, digest};

fn tags_of(door: &Door, path: &str) -> Vec<(String, String)> {
    let text = door.get(&format!("{path}?tagging")).expect(200).text();
    xml_values(&text, "Key").into_iter().zip(xml_values(&text, "Value")).collect()
}

fn tagging(tags: &[(&str, &str)]) -> String {
    let tags: String =
        tags.iter().map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")).collect();
    format!("<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet>{tags}</TagSet></Tagging>")
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn tags_are_kept_counted_changed_and_copied_at_both_doors() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    for (name, door) in [("direct", world.direct(&host.cli)), ("proxy", proxy.door())] {
        let path = host.path(&format!("{name}/tagged"));
        let put = |target: &str, body: &str| {
            let md5 = digest::md5_base64(body.as_bytes());
            door.request("PUT", target).header("Content-MD5", &md5).body(body).send(door.address)
        };
        door.put_request(&path, b"x").header("x-amz-tagging", "a=1&b+c=%26").send(door.address).expect(200);
        assert_eq!(tags_of(&door, &path), [pair("a", "1"), pair("b c", "&")]);
        let before = door.head(&path).expect(200);
        assert_eq!(before.header("x-amz-tagging-count"), Some("2"));
        assert_eq!(door.get(&path).expect(200).header("x-amz-tagging-count"), Some("2"));

        put(&format!("{path}?tagging"), &tagging(&[("new", "é +")])).expect(200);
        assert_eq!(tags_of(&door, &path), [pair("new", "é +")]);
        let after = door.head(&path).expect(200);
        for same in ["etag", "last-modified", "content-length"] {
            assert_eq!(after.header(same), before.header(same));
        }

        let copy_to = |target: &str| door.request("PUT", target).header("x-amz-copy-source", &path).body("");
        let kept = host.path(&format!("{name}/kept"));
        copy_to(&kept).send(door.address).expect(200);
        assert_eq!(tags_of(&door, &kept), [pair("new", "é +")]);
        let replaced = copy_to(&kept).header("x-amz-tagging-directive", "REPLACE").header("x-amz-tagging", "r=1");
        replaced.send(door.address).expect(200);
        assert_eq!(tags_of(&door, &kept), [pair("r", "1")]);

        let big = host.path(&format!("{name}/big"));
        let create = door.request("POST", &format!("{big}?uploads")).header("x-amz-tagging", "m=1").body("");
        let upload = xml_values(&create.send(door.address).expect(200).text(), "UploadId").remove(0);
        let etag = door.part(&big, &upload, 1, b"part");
        door.complete(&big, &upload, &[(1, &etag)]).expect(200);
        assert_eq!(tags_of(&door, &big), [pair("m", "1")]);

        door.delete(&format!("{path}?tagging")).expect(204);
        assert_eq!(tags_of(&door, &path), []);
        assert_eq!(door.head(&path).expect(200).header("x-amz-tagging-count"), None);

        let eleven: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        let eleven: Vec<(&str, &str)> = eleven.iter().map(|n| (n.as_str(), "")).collect();
        put(&format!("{path}?tagging"), &tagging(&eleven)).expect_error(400, "InvalidTag");
        put(&format!("{path}?tagging"), &tagging(&[(&"k".repeat(129), "")])).expect_error(400, "InvalidTag");
        put(&format!("{path}?tagging"), "<Tagging>").expect_error(400, "MalformedXML");
        let bad = door.put_request(&path, b"other").header("x-amz-tagging", "a=1&a=2").send(door.address);
        bad.expect_error(400, "InvalidTag");
        assert_eq!(door.get(&path).expect(200).body, b"x");
        let missing = host.path("missing");
        door.get(&format!("{missing}?tagging")).expect_error(404, "NoSuchKey");
        put(&format!("{missing}?tagging"), &tagging(&[])).expect_error(404, "NoSuchKey");
        door.delete(&format!("{missing}?tagging")).expect_error(404, "NoSuchKey");
    }
    // The owner reads tags, as everything of the org's.
    assert_eq!(tags_of(&world.direct(&world.alice), &host.path("direct/big")), [pair("m", "1")]);
}

#[test]
fn headers_come_back_as_they_were_said_and_as_the_reader_wants_them() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let kept = [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "max-age=60, public"),
        ("content-disposition", "attachment; filename=\"a b.txt\""),
        ("content-encoding", "gzip"),
        ("content-language", "de, en"),
        ("expires", "Thu, 01 Dec 2094 16:00:00 GMT"),
        ("x-amz-website-redirect-location", "/elsewhere"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-meta-empty", ""),
        ("x-amz-meta-text", "a  b=\"c\"; d"),
    ];
    for (name, door) in [("direct", world.direct(&host.cli)), ("proxy", proxy.door())] {
        let path = host.path(&format!("{name}/headers"));
        let put = kept.iter().fold(door.put_request(&path, b"bytes"), |put, (name, value)| put.header(name, value));
        put.send(door.address).expect(200);
        let copy = host.path(&format!("{name}/copy"));
        let request = door.request("PUT", &copy).header("x-amz-copy-source", &path);
        request.header("x-amz-storage-class", "GLACIER_IR").body("").send(door.address).expect(200);
        for answer in [door.get(&path).expect(200), door.head(&path).expect(200)] {
            for (name, value) in kept {
                assert_eq!(answer.header(name), Some(value), "{answer}");
            }
        }
        let copied = door.head(&copy).expect(200);
        assert_eq!(copied.header("x-amz-storage-class"), Some("GLACIER_IR"));
        assert_eq!(copied.header("x-amz-meta-text"), Some("a  b=\"c\"; d"));
        assert_eq!(copied.header("expires"), Some("Thu, 01 Dec 2094 16:00:00 GMT"));

        let overrides = "response-content-type=a%2Fb&response-cache-control=no-store&response-content-disposition=inline\
                         &response-content-encoding=identity&response-content-language=fr&response-expires=0";
        let answer = door.get(&format!("{path}?{overrides}")).expect(200);
        for (name, value) in [
            ("content-type", "a/b"),
            ("cache-control", "no-store"),
            ("content-disposition", "inline"),
            ("content-encoding", "identity"),
            ("content-language", "fr"),
            ("expires", "0"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer}");
        }

        for query in ["", "list-type=2&"] {
            let text = door.get(&format!("/myorg?{query}prefix=web-01/{name}/")).expect(200).text();
            assert_eq!(xml_values(&text, "StorageClass"), ["GLACIER_IR", "STANDARD_IA"], "{text}");
        }
        let upload = door.request("POST", &format!("{copy}?uploads")).header("x-amz-storage-class", "ONEZONE_IA");
        let upload = xml_values(&upload.body("").send(door.address).expect(200).text(), "UploadId").remove(0);
        for query in ["/myorg?uploads".to_owned(), format!("{copy}?uploadId={upload}")] {
            assert_eq!(xml_values(&door.get(&query).expect(200).text(), "StorageClass"), ["ONEZONE_IA"]);
        }
        door.delete(&format!("{copy}?uploadId={upload}")).expect(204);
        let unknown = door.put_request(&path, b"x").header("x-amz-storage-class", "CHEAP").send(door.address);
        unknown.expect_error(400, "InvalidStorageClass");
    }
}

#[test]
fn attributes_are_those_that_were_asked_for() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    for (name, door) in [("direct", world.direct(&host.cli)), ("proxy", proxy.door())] {
        let path = host.path(&format!("{name}/a"));
        door.put(&path, b"hello").expect(200);
        let ask = |path: &str, attributes: &str, max_parts: &str| {
            door.request("GET", &format!("{path}?attributes"))
                .header("x-amz-object-attributes", attributes)
                .header("x-amz-max-parts", max_parts)
                .send(door.address)
        };
        let answer = ask(&path, "ETag,Checksum,ObjectParts,StorageClass,ObjectSize", "1000").expect(200);
        assert!(answer.header("last-modified").is_some());
        let text = answer.text();
        assert_eq!(xml_values(&text, "ETag"), [digest::md5_hex(b"hello")]);
        assert_eq!(xml_values(&text, "ChecksumCRC64NVME"), [digest::crc64nvme_base64(b"hello")]);
        assert_eq!(xml_values(&text, "ChecksumType"), ["FULL_OBJECT"]);
        assert_eq!(
            (xml_values(&text, "ObjectSize"), xml_values(&text, "StorageClass")),
            (vec!["5".into()], vec!["STANDARD".into()])
        );
        assert!(!text.contains("ObjectParts"), "it was not uploaded in parts: {text}");
        assert!(!ask(&path, "ObjectSize", "1").expect(200).text().contains("ETag"));
        ask(&path, "Colour", "1").expect_error(400, "InvalidArgument");
        door.get(&format!("{path}?attributes")).expect_error(400, "InvalidRequest");
        ask(&host.path("missing"), "ETag", "1").expect_error(404, "NoSuchKey");
    }
}
