//! Pages, markers, delimiters and encodings.

use kheeper_e2e::s3::{percent, xml_values};

use crate::subject::{BUCKET, Subject};

crate::cases! {
    13 => the_last_page_has_no_token_and_no_token_comes_twice,
    14 => a_version_1_listing_pages_by_marker,
    15 => an_empty_delimiter_or_prefix_is_none,
    16 => keys_are_url_encoded_when_asked_and_only_then,
}

fn fill(s: &Subject, names: &[&str]) -> Vec<String> {
    for name in names {
        s.put(name, b"x").expect(200);
    }
    let mut keys: Vec<String> = names.iter().map(|name| s.key(name)).collect();
    keys.sort_unstable();
    keys
}

/// 13. SDK v1 and object_store page on the token alone, pgBackRest on IsTruncated, and botocore refuses a token twice.
fn the_last_page_has_no_token_and_no_token_comes_twice(s: &Subject) {
    let keys = fill(s, &["a", "b", "c", "d/e", "d/f", "g", "h"]);
    let (mut found, mut tokens) = (Vec::new(), Vec::new());
    loop {
        let after = tokens.last().map(|token: &String| format!("&continuation-token={}", percent(token)));
        let text = s.list(&format!("&max-keys=2{}", after.unwrap_or_default()));
        found.extend(xml_values(&text, "Key"));
        let truncated = xml_values(&text, "IsTruncated");
        match xml_values(&text, "NextContinuationToken").pop() {
            Some(token) => {
                assert!(!token.is_empty() && !tokens.contains(&token), "{text}");
                assert_eq!(truncated, ["true"], "{text}");
                tokens.push(token);
            }
            None => {
                assert_eq!(truncated, ["false"], "{text}");
                assert!(!text.contains("NextContinuationToken"), "{text}");
                break;
            }
        }
    }
    assert_eq!(found, keys);
    assert_eq!(tokens.len(), 3, "seven keys, two at a time");
}

/// 14. rclone's provider Other, s3cmd and duplicity: NextMarker where it is there, else the last key.
fn a_version_1_listing_pages_by_marker(s: &Subject) {
    let keys = fill(s, &["a", "b", "c/1", "c/2", "d", "e"]);
    let prefix = percent(s.prefix());
    for (delimiter, expected) in
        [("", keys), ("&delimiter=%2F", ["a", "b", "c/", "d", "e"].map(|name| s.key(name)).to_vec())]
    {
        let (mut found, mut marker, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let text = s.get(&format!("/{BUCKET}?max-keys=2&prefix={prefix}{delimiter}&marker={}", percent(&marker)));
            let text = text.expect(200).text();
            let mut page = xml_values(&text, "Key");
            page.extend(xml_values(&text, "Prefix").into_iter().filter(|found| found != s.prefix()));
            page.sort_unstable();
            assert!(page.len() <= 2, "{text}");
            found.extend(page.iter().cloned());
            pages += 1;
            if xml_values(&text, "IsTruncated") != ["true"] {
                break;
            }
            let next = xml_values(&text, "NextMarker").pop();
            assert!(next.is_some() || delimiter.is_empty(), "with a delimiter there is a NextMarker: {text}");
            marker = next.or(page.pop()).expect("a page that is not the last holds something");
        }
        assert_eq!((found, pages), (expected, 3), "{delimiter}");
    }
}

/// 15. restic lists data/ with `delimiter=`, rclone its root with `prefix=`.
fn an_empty_delimiter_or_prefix_is_none(s: &Subject) {
    let keys = fill(s, &["data/00/a", "data/ff/b", "top"]);
    let text = s.list("&delimiter=&encoding-type=url&fetch-owner=true");
    assert_eq!(xml_values(&text, "Key"), keys);
    assert!(!text.contains("<CommonPrefixes>"), "{text}");
    let root = s.get(&format!("/{BUCKET}?max-keys=1000&prefix=&delimiter=%2F")).expect(200).text();
    assert!(xml_values(&root, "Prefix").contains(&"web-01/".to_owned()), "{root}");
}

/// 16. Key, Prefix, Delimiter, StartAfter and CommonPrefixes; a plus as `%2B`, since readers take `+` for a space.
fn keys_are_url_encoded_when_asked_and_only_then(s: &Subject) {
    let keys = fill(s, &["d e+/x", "plus+and space&\u{e9}"]);
    let plain = s.list("");
    assert_eq!(xml_values(&plain, "Key"), keys);
    assert!(!plain.contains("EncodingType"), "{plain}");

    let text = s.list("&encoding-type=url&delimiter=%2B%2F&start-after=web-01%2F+a");
    assert_eq!(xml_values(&text, "EncodingType"), ["url"]);
    let decoded = |tag: &str| xml_values(&text, tag).iter().map(|text| unquote_plus(text)).collect::<Vec<_>>();
    assert_eq!(decoded("Key"), [s.key("plus+and space&\u{e9}")], "{text}");
    assert_eq!(decoded("Prefix"), [s.prefix().to_owned(), s.key("d e+/")], "{text}");
    assert_eq!((decoded("Delimiter"), decoded("StartAfter")), (vec!["+/".into()], vec!["web-01/ a".into()]), "{text}");
    assert!(!text.contains("d e") && text.contains("%2B"), "{text}");
}

/// As botocore and minio-go read it.
fn unquote_plus(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, rest.get(..2)) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(digits)) => {
                let digits = std::str::from_utf8(digits).expect("ASCII");
                bytes.push(u8::from_str_radix(digits, 16).expect("two hex digits"));
                rest = &rest[2..];
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).expect("keys are UTF-8")
}
