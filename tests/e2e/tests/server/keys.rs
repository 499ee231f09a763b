//! Keys of every kind, through every operation that names one.

use kheeper_e2e::s3::{delete_body, percent, xml_values};
use kheeper_e2e::{Door, World};

fn keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "plain",
        "a b",
        " leading and trailing ",
        "a+b",
        "a%2Bb",
        "a%b",
        "a//b",
        "//",
        "/",
        "a/./b/../c",
        "..",
        ".",
        "seg.",
        "dir/",
        "dir//x/",
        "?query=1&x",
        "#fragment",
        "a&b<c>\"d'e",
        "]]>",
        "a\\b",
        "tab\tand\nnewline\rand return",
        "\u{1}\u{1f}\u{7f}\u{85}",
        "caf\u{e9}",
        "cafe\u{301}",
        "日本語/ключ/🗝",
        "\u{feff}bom",
        "\u{10ffff}",
        "a=b;c,d:e@f!g$h(i)*j~k",
    ]
    .map(|key| format!("web-01/{key}"))
    .into();
    keys.push(format!("web-01/{}", "k".repeat(1024 - 7)));
    keys.push(format!("web-01/{}x", "é".repeat((1024 - 8) / 2)));
    keys.sort();
    keys
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let hex = std::str::from_utf8(&after[..2]).expect("two digits");
            bytes.push(u8::from_str_radix(hex, 16).expect("hex"));
            rest = &after[2..];
        } else {
            bytes.push(if first == b'+' { b' ' } else { first });
            rest = after;
        }
    }
    String::from_utf8(bytes).expect("keys are UTF-8")
}

fn unreferenced(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("&#x") {
        let (number, after) = after.split_once(';').expect("a reference ends");
        let number = u32::from_str_radix(number, 16).expect("hex");
        out.push_str(before);
        out.push(char::from_u32(number).expect("a character"));
        rest = after;
    }
    out + rest
}

fn path(key: &str) -> String {
    format!("/myorg/{}", percent(key))
}

fn check(door: &Door, name: &str) {
    let keys = keys();
    for key in &keys {
        let put = door.put_request(&path(key), key.as_bytes()).header("x-amz-meta-n", "1").send(door.address);
        put.expect(200);
    }
    for key in &keys {
        assert_eq!(door.get(&path(key)).expect(200).body, key.as_bytes(), "{name} {key:?}");
        assert_eq!(door.head(&path(key)).expect(200).header("x-amz-meta-n"), Some("1"));
        // Every byte escaped is the same key.
        let escaped: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(door.get(&format!("/myorg/{escaped}")).expect(200).body, key.as_bytes());
        let copy = door.request("PUT", "/myorg/web-01/copy-target").header("x-amz-copy-source", &path(key)).body("");
        copy.send(door.address).expect(200);
        assert_eq!(door.get("/myorg/web-01/copy-target").expect(200).body, key.as_bytes(), "{name} {key:?}");
        let listed =
            door.get(&format!("/myorg?list-type=2&encoding-type=url&prefix={}", percent(key))).expect(200).text();
        assert_eq!(decoded(&xml_values(&listed, "Key")[0]), *key, "{listed}");
        assert_eq!(decoded(&xml_values(&listed, "Prefix")[0]), *key, "{listed}");
    }
    door.delete("/myorg/web-01/copy-target").expect(204);
    for query in ["list-type=2&", ""] {
        let encoded = door.get(&format!("/myorg?{query}encoding-type=url&prefix=web-01/")).expect(200).text();
        let found: Vec<String> = xml_values(&encoded, "Key").iter().map(|key| decoded(key)).collect();
        assert_eq!(found, keys, "{name}");
        let plain = door.get(&format!("/myorg?{query}prefix=web-01/")).expect(200).text();
        assert!(!plain.contains("EncodingType"));
        let found: Vec<String> = xml_values(&plain, "Key").iter().map(|key| unreferenced(key)).collect();
        assert_eq!(found, keys, "{name}");
    }
    // Half of them one by one, the others in one request, with what XML cannot hold as references.
    let (single, batch) = keys.split_at(keys.len() / 2);
    for key in single {
        door.delete(&path(key)).expect(204);
    }
    let mut body = delete_body(batch, false);
    for control in ['\r', '\u{1}', '\u{1f}', '\u{7f}', '\u{85}'] {
        body = body.replace(control, &format!("&#x{:x};", u32::from(control)));
    }
    let deleted = door.post("/myorg?delete", &body).expect(200).text();
    let deleted: Vec<String> = xml_values(&deleted, "Key").iter().map(|key| unreferenced(key)).collect();
    assert_eq!(deleted, batch);
    assert_eq!(door.keys("myorg", "web-01/", 1000), [""; 0], "{name}");
}

#[test]
fn a_key_is_the_same_in_every_operation_at_both_doors() {
    let world = World::start();
    let host = world.host("web-01");
    check(&world.direct(&host.cli), "direct");
    let proxy = world.host_proxy(&host);
    check(&proxy.door(), "proxy");
}

#[test]
fn deletes_in_a_batch_have_the_quirks_that_clients_rely_on() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    for door in [world.direct(&host.cli), proxy.door()] {
        let put = |name: &str| door.put(&host.path(name), b"x").expect(200);
        let there = |name: &str| door.head(&host.path(name)).status == 200;
        put("a");
        let body = "<Delete><Object><Key>web-01/a</Key><VersionId></VersionId></Object>\
                    <Object><Key>web-01/a</Key></Object></Delete>";
        let answer = door.post("/myorg?delete", body).expect(200).text();
        assert_eq!(xml_values(&answer, "Key"), ["web-01/a", "web-01/a"], "one entry for each that was named");
        assert!(!there("a"));
        put("a");
        let quiet = door.post("/myorg?delete", &delete_body(["web-01/a", "web-01/b"], true)).expect(200).text();
        assert_eq!(xml_values(&quiet, "Key"), [""; 0]);
        assert!(quiet.contains("DeleteResult") && !there("a"));
        put("a");
        put("b");
        for extra in ["<VersionId>1</VersionId>", "<ETag>\"0\"</ETag>", "<Size>1</Size>"] {
            let body = format!(
                "<Delete><Object><Key>web-01/b</Key></Object><Object><Key>web-01/a</Key>{extra}</Object></Delete>"
            );
            door.post("/myorg?delete", &body).expect_error(501, "NotImplemented");
            assert!(there("a") && there("b"), "{extra}");
        }
        // A checksum alone, as boto3 sends it; and nothing at all.
        let body = delete_body(["web-01/b"], false);
        let checksum = kheeper_e2e::digest::crc32_base64(body.as_bytes());
        let request = door.request("POST", "/myorg?delete").header("x-amz-checksum-crc32", &checksum);
        request.body(body.clone()).send(door.address).expect(200);
        door.request("POST", "/myorg?delete").body(body.clone()).send(door.address).expect(200);
        let wrong = door.request("POST", "/myorg?delete").header("x-amz-checksum-crc32", "AAAAAA==");
        wrong.body(delete_body(["web-01/a"], false)).send(door.address).expect_error(400, "BadDigest");
        assert!(there("a"));

        let conditional =
            |tag: &str| door.request("DELETE", &host.path("a")).header("If-Match", tag).send(door.address);
        conditional("\"0\"").expect_error(412, "PreconditionFailed");
        assert!(there("a"));
        let etag = door.head(&host.path("a")).header("etag").expect("an ETag").to_owned();
        conditional(&etag).expect(204);
        conditional("*").expect_error(404, "NoSuchKey");
        put("a");
        conditional("*").expect(204);
        door.request("DELETE", &host.path("a"))
            .header("If-None-Match", "*")
            .send(door.address)
            .expect_error(501, "NotImplemented");
    }
}
