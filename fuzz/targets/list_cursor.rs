//! Cursors of listings: each has one spelling, and anything may come back as one.
#![no_main]

use http::{HeaderMap, Method};
use kheeper_fuzz::{bounded, encode};
use kheeper_s3::{Operation, cursor};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if (1..=1024).contains(&input.len()) {
        let token = cursor::encode(input);
        assert_eq!(cursor::decode(&token).as_deref(), Ok(input));
        let query = format!("list-type=2&continuation-token={token}");
        let Ok(Operation::ListObjectsV2(list)) =
            Operation::parse(&Method::GET, "/myorg", Some(&query), &HeaderMap::new())
        else {
            panic!("our own token is refused: {token}")
        };
        assert_eq!(list.cursor.as_deref(), Some(input));
    }
    let Ok(token) = std::str::from_utf8(input) else { return };
    if let Ok(bytes) = bounded(input, 16, || cursor::decode(token)) {
        assert_eq!(cursor::encode(&bytes), token, "one cursor, one spelling");
        assert!((1..=1024 + 64).contains(&bytes.len()));
    }
    for parameter in ["list-type=2&continuation-token", "uploads&key-marker", "uploads&upload-id-marker", "marker"] {
        let query = format!("{parameter}={}", encode(token));
        if let Err(error) = Operation::parse(&Method::GET, "/myorg", Some(&query), &HeaderMap::new()) {
            assert!(error.status().is_client_error(), "{query}: {error}");
        }
    }
});
