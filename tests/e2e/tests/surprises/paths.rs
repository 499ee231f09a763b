//! Keys in paths and queries.

use kheeper_e2e::Request;
use kheeper_e2e::s3::{percent, xml_values};

use crate::subject::{BUCKET, Subject};

crate::cases! {
    17 => a_plus_is_a_plus_in_a_path_and_a_space_in_a_query,
    17 => a_path_is_never_normalised,
}

/// 17. A literal plus, an encoded one and a space are three spellings of two keys.
fn a_plus_is_a_plus_in_a_path_and_a_space_in_a_query(s: &Subject) {
    let raw = format!("/{BUCKET}/{}a+b", percent(s.prefix()));
    s.send(Request::new("PUT", &raw).body("plus")).expect(200);
    s.put("a b", b"space").expect(200);
    assert_eq!(s.get(&s.path("a+b")).expect(200).body, b"plus");
    assert_eq!(s.get(&s.path("a b")).expect(200).body, b"space");
    let prefix = percent(s.prefix());
    let found = |query: &str| {
        let text = s.get(&format!("/{BUCKET}?list-type=2&prefix={prefix}{query}")).expect(200).text();
        xml_values(&text, "Key")
    };
    assert_eq!(found("a+b"), [s.key("a b")]);
    assert_eq!(found("a%2Bb"), [s.key("a+b")]);
}

/// 17. Keys keep `//`, what looks like `..`, and trailing dots and slashes: each is another object.
fn a_path_is_never_normalised(s: &Subject) {
    let names = ["a/b", "a//b", "a/./b", "a/../a/b", "seg.", "seg", "dir/", "%2F", "a%2Fb"];
    for name in names {
        s.put(name, name.as_bytes()).expect(200);
    }
    for name in names {
        assert_eq!(s.get(&s.path(name)).expect(200).text(), name);
    }
    let mut keys = names.map(|name| s.key(name));
    keys.sort_unstable();
    assert_eq!(xml_values(&s.list(""), "Key"), keys);
}
