//! Listings, page by page, in both versions.

use std::collections::BTreeSet;

use kheeper_e2e::s3::{percent, xml_values};
use kheeper_e2e::{Door, World};

/// Keys below `web-01/` that sort differently by bytes than by words.
const KEYS: [&str; 14] =
    ["a", "a-b", "a/1", "a/2", "a/3/x", "a0", "b b", "b+b", "dir/one", "dir/two", "dir1/x", "é", "z/", "z//y"];

fn scene() -> (World, Door) {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    for key in KEYS {
        door.put(&percent(&host.path(key)), key.as_bytes()).expect(200);
    }
    (world, door)
}

/// What S3 says a listing holds: keys, and common prefixes up to the delimiter, in byte order.
fn model(prefix: &str, delimiter: Option<&str>) -> Vec<String> {
    let entries: BTreeSet<String> = KEYS
        .iter()
        .map(|key| format!("web-01/{key}"))
        .filter(|key| key.starts_with(prefix))
        .map(|key| {
            match delimiter.and_then(|delimiter| key[prefix.len()..].find(delimiter).map(|at| (at, delimiter))) {
                Some((at, delimiter)) => format!("{}*", &key[..prefix.len() + at + delimiter.len()]),
                None => key,
            }
        })
        .collect();
    let mut entries: Vec<String> = entries.into_iter().collect();
    entries.sort_by_key(|entry| entry.trim_end_matches('*').to_owned());
    entries
}

/// One page's keys and common prefixes, the latter marked with `*`, in order.
fn page(text: &str) -> Vec<String> {
    let keys = xml_values(text, "Key");
    let prefixes = xml_values(text, "CommonPrefixes").into_iter().map(|found| {
        let prefix = xml_values(&found, "Prefix").pop().unwrap_or_default();
        format!("{prefix}*")
    });
    let mut entries: Vec<String> = keys.into_iter().chain(prefixes).collect();
    entries.sort_by_key(|entry| entry.trim_end_matches('*').to_owned());
    entries
}

#[test]
fn every_page_size_gives_the_same_listing_as_the_model() {
    let (_world, door) = scene();
    for prefix in ["web-01/", "web-01/a", "web-01/a/", "web-01/dir", "web-01/z/"] {
        for delimiter in [None, Some("/"), Some("1"), Some("/x")] {
            let base = match delimiter {
                Some(delimiter) => format!("prefix={}&delimiter={}", percent(prefix), percent(delimiter)),
                None => format!("prefix={}", percent(prefix)),
            };
            let expected = model(prefix, delimiter);
            for max in [1, 2, 3, 5, 1000] {
                assert_eq!(pages_v2(&door, &base, max), expected, "V2 {base} by {max}");
                assert_eq!(pages_v1(&door, &base, max), expected, "V1 {base} by {max}");
            }
        }
    }
}

fn pages_v2(door: &Door, base: &str, max: usize) -> Vec<String> {
    let mut entries = Vec::new();
    let mut token = String::new();
    loop {
        let text = door.get(&format!("/myorg?list-type=2&max-keys={max}&{base}{token}")).expect(200).text();
        let found = page(&text);
        assert!(found.len() <= max, "{text}");
        assert_eq!(xml_values(&text, "KeyCount"), [found.len().to_string()], "{text}");
        entries.extend(found);
        match xml_values(&text, "NextContinuationToken").pop() {
            Some(next) => token = format!("&continuation-token={}", percent(&next)),
            None => return entries,
        }
    }
}

fn pages_v1(door: &Door, base: &str, max: usize) -> Vec<String> {
    let mut entries = Vec::new();
    let mut marker = String::new();
    loop {
        let text = door.get(&format!("/myorg?max-keys={max}&{base}{marker}")).expect(200).text();
        entries.extend(page(&text));
        if xml_values(&text, "IsTruncated") != ["true"] {
            return entries;
        }
        let next = xml_values(&text, "NextMarker").pop().expect("always sent, which is always safe");
        marker = format!("&marker={}", percent(&next));
    }
}

#[test]
fn a_listing_says_what_clients_read() {
    let (_world, door) = scene();
    let text = door.get("/myorg?list-type=2&prefix=web-01/a/1").expect(200).text();
    for (tag, value) in [("Name", "myorg"), ("Key", "web-01/a/1"), ("Size", "3"), ("IsTruncated", "false")] {
        assert_eq!(xml_values(&text, tag), [value], "{text}");
    }
    let modified = xml_values(&text, "LastModified").pop().expect("always there");
    assert!(modified.len() == 24 && modified.ends_with('Z'), "YYYY-MM-DDTHH:MM:SS.sssZ: {modified}");
    assert_eq!(xml_values(&text, "ETag").len(), 1);
    assert!(!text.contains("NextContinuationToken"), "{text}");

    let plain = door.get("/myorg?list-type=2&prefix=web-01/b").expect(200).text();
    assert_eq!(xml_values(&plain, "Key"), ["web-01/b b", "web-01/b+b"]);
    assert!(!plain.contains("EncodingType"));
    let encoded = door.get("/myorg?list-type=2&encoding-type=url&prefix=web-01/b").expect(200).text();
    let keys = xml_values(&encoded, "Key");
    assert!(keys[0] == "web-01/b%20b" || keys[0] == "web-01/b+b", "{encoded}");
    assert_eq!(keys[1], "web-01/b%2Bb");
    assert_eq!(xml_values(&encoded, "EncodingType"), ["url"]);
}

#[test]
fn empty_parameters_mean_none_and_bad_ones_are_refused() {
    let (_world, door) = scene();
    let all = model("web-01/", None);
    let empty = door.get("/myorg?list-type=2&delimiter=&prefix=web-01/&fetch-owner=true&start-after=").expect(200);
    assert_eq!(page(&empty.text()), all);
    let after = door.get("/myorg?list-type=2&prefix=web-01/&start-after=web-01/dir/one").expect(200);
    assert_eq!(page(&after.text()), all[9..]);
    assert_eq!(page(&door.get("/myorg?list-type=2&max-keys=0").expect(200).text()), [""; 0]);
    for query in ["max-keys=-1", "max-keys=x", "encoding-type=base64", "continuation-token=!!", "prefix=a&prefix=b"] {
        door.get(&format!("/myorg?list-type=2&{query}")).expect_error(400, "InvalidArgument");
    }
    // A token is a position, not a permission: one of elsewhere shows nothing of elsewhere.
    let foreign = kheeper_e2e::s3::base64(b"web-00/x");
    let answer = door.get(&format!("/myorg?list-type=2&continuation-token={}", percent(&foreign)));
    assert!(answer.status == 400 || page(&answer.text()) == all, "{answer}");
}
