//! A request's path and query: the key that is authorized is the one that is stored, listed and deleted.
#![no_main]

use kheeper_fuzz::{bounded, encode};
use kheeper_model::{ETag, ObjectKey, Timestamp};
use kheeper_s3::Operation;
use kheeper_s3::path::{Target, parse_path};
use kheeper_s3::query::Query;
use kheeper_s3::signature;
use kheeper_s3::xml::request::DeleteRequest;
use kheeper_s3::xml::response::{ObjectEntry, ObjectPage, list_objects_v1, list_objects_v2};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    match bounded(input, 64, || parse_path(path)) {
        Ok(Target::Object { bucket, key }) => {
            let again = parse_path(&format!("/{bucket}/{}", encode(key.as_str()))).expect("its own encoding is a path");
            assert_eq!(again, Target::Object { bucket, key: key.clone() });
            assert_listed_and_deleted_as_it_is(&key);
        }
        Ok(Target::Bucket { name }) => assert!(path == format!("/{name}") || path.contains('%') || path.ends_with('/')),
        Ok(Target::Service) => assert_eq!(path, "/"),
        Err(error) => assert!(error.status().is_client_error(), "{error}"),
    }
    if let Ok(parsed) = bounded(input, 64, || Query::parse(query)) {
        let encoded: Vec<String> =
            parsed.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        // A pair without name and value cannot be told from none.
        let pairs = |query: &Query| {
            let pairs = query.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            pairs.collect::<Vec<_>>()
        };
        let again = Query::parse(Some(&encoded.join("&"))).expect("its own encoding is a query");
        assert_eq!(pairs(&again), pairs(&parsed));

        let stripped = signature::strip_query(query);
        assert_eq!(signature::strip_query(stripped.as_deref()), stripped);
        assert!(!signature::in_query(stripped.as_deref()), "{stripped:?}");
        let mut left = pairs(&Query::parse(stripped.as_deref()).expect("less of a query is a query"));
        let mut expected = pairs(&parsed);
        expected.retain(|(name, _)| !signature::is_query_parameter(name));
        left.retain(|pair| !pair.0.is_empty() || !pair.1.is_empty());
        expected.retain(|pair| !pair.0.is_empty() || !pair.1.is_empty());
        assert_eq!(left, expected, "the proxy drops the signature and nothing else");
    }
});

/// The text of the first `Key` element goes back as a client would send it.
fn assert_listed_and_deleted_as_it_is(key: &ObjectKey) {
    let page = ObjectPage {
        objects: vec![ObjectEntry {
            key: key.as_str().to_owned(),
            last_modified: Timestamp::from_secs(1_793_000_000),
            etag: ETag::new("d41d8cd98f00b204e9800998ecf8427e"),
            size: 0,
            storage_class: None,
            checksum: None,
        }],
        ..ObjectPage::default()
    };
    let request = |query: &str| Operation::parse(&http::Method::GET, "/myorg", Some(query), &http::HeaderMap::new());
    let Ok(Operation::ListObjectsV2(plain)) = request("list-type=2") else { panic!("a listing") };
    let listed = String::from_utf8(list_objects_v2(&plain, &page).to_vec()).expect("XML is UTF-8");
    let (_, rest) = listed.split_once("<Key>").expect("it was listed");
    let (shown, _) = rest.split_once("</Key>").expect("it was listed");
    let document = format!("<Delete><Object><Key>{shown}</Key></Object></Delete>");
    let deleted = DeleteRequest::parse(document.as_bytes()).expect("a listed key can be deleted");
    assert_eq!(deleted.keys, std::slice::from_ref(key), "{shown}");

    let Ok(Operation::ListObjectsV1(url)) = request("encoding-type=url") else { panic!("a listing") };
    let listed = String::from_utf8(list_objects_v1(&url, &page).to_vec()).expect("XML is UTF-8");
    assert!(listed.contains(&format!("<Key>{}</Key>", encode(key.as_str()))), "{listed}");
}
