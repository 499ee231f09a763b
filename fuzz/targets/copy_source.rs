//! `x-amz-copy-source`: the key that is authorized is the key that is read, however it was spelled.
#![no_main]

use http::{HeaderMap, HeaderValue, Method};
use kheeper_fuzz::{bounded, encode};
use kheeper_s3::Operation;
use kheeper_s3::operation::CopySource;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(source) = bounded(input, 64, || read(input)) else { return };
    let path = format!("{}/{}", source.bucket, encode(source.key.as_str()));
    let encoded_whole = path.replace('/', "%2F");
    for spelling in [path.clone(), format!("/{path}"), encoded_whole, format!("{path}?versionId=")] {
        assert_eq!(read(spelling.as_bytes()).as_ref(), Some(&source), "{spelling}");
    }
});

fn read(header: &[u8]) -> Option<CopySource> {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-copy-source", HeaderValue::from_bytes(header).ok()?);
    match Operation::parse(&Method::PUT, "/myorg/web-01/copy-of-it", None, &headers) {
        Ok(Operation::CopyObject(copy)) => Some(copy.source),
        Ok(other) => panic!("a copy, and not {other:?}"),
        Err(error) => {
            assert!(matches!(error.status().as_u16(), 400 | 501), "{error}");
            None
        }
    }
}
