//! A whole request head: what the proxy drops changes nothing, and every answer to it can be written.
//!
//! Input: `METHOD target`, then header lines.
#![no_main]

use http::HeaderMap;
use kheeper_fuzz::{Head, bounded, encode};
use kheeper_s3::path::{Target, parse_path};
use kheeper_s3::xml::response::{ObjectPage, list_objects_v1, list_objects_v2};
use kheeper_s3::{Operation, S3ErrorCode, signature};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(head) = Head::read(input) else { return };
    let parsed = bounded(input, 128, || parse(&head, head.query.as_deref(), &head.headers));
    // What is wrong with a parameter that is dropped is not wrong afterwards, so that only what is right says something.
    let Ok(operation) = parsed else { return };
    assert_eq!(parse_without_signature(&head).as_ref(), Ok(&operation), "a signature means nothing");
    assert_eq!(operation.name(), operation.kind().name());
    match parse_path(&head.path).expect("it was parsed as part of the request") {
        Target::Service => assert_eq!((operation.bucket(), operation.key()), (None, None)),
        Target::Bucket { name } => assert_eq!((operation.bucket(), operation.key()), (Some(&name), None)),
        Target::Object { bucket, key } => {
            assert_eq!((operation.bucket(), operation.key()), (Some(&bucket), Some(&key)));
            let canonical = Head { path: format!("/{bucket}/{}", encode(key.as_str())), ..head };
            let again = parse(&canonical, canonical.query.as_deref(), &canonical.headers);
            assert_eq!(again.as_ref(), Ok(&operation), "another spelling of the path is the same request");
        }
    }
    let document = match &operation {
        Operation::ListObjectsV1(list) => list_objects_v1(list, &ObjectPage::default()),
        Operation::ListObjectsV2(list) => list_objects_v2(list, &ObjectPage::default()),
        _ => return,
    };
    assert!(!document.windows(3).any(|bytes| bytes == b"\xef\xbf\xbe" || bytes[0] == 0), "{document:?}");
});

fn parse(head: &Head, query: Option<&str>, headers: &HeaderMap) -> Result<Operation, S3ErrorCode> {
    Operation::parse(&head.method, &head.path, query, headers).map_err(|error| {
        assert!(error.status().is_client_error() || error.code == S3ErrorCode::NotImplemented, "{error}");
        let document = error.to_xml("/resource", "request");
        assert!(std::str::from_utf8(&document).is_ok_and(|text| text.contains("<RequestId>request</RequestId>")));
        error.code
    })
}

/// As the server gets it from the proxy.
fn parse_without_signature(head: &Head) -> Result<Operation, S3ErrorCode> {
    let mut headers = head.headers.clone();
    signature::HEADERS.iter().for_each(|name| {
        headers.remove(*name);
    });
    parse(head, signature::strip_query(head.query.as_deref()).as_deref(), &headers)
}
