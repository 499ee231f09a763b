//! What the proxy says beside a body and after it.
#![no_main]

use kheeper_fuzz::{bounded, headers};
use kheeper_s3::body::kheeper_trailer::{self, ProxyTrailers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(trailers) = headers(input) else { return };
    if let Ok(read) = bounded(input, 32, || ProxyTrailers::from_trailers(&trailers)) {
        assert_eq!(ProxyTrailers::from_trailers(&read.to_trailers()).as_ref(), Ok(&read));
        let mut announced = http::HeaderMap::new();
        let algorithm = read.checksum.as_ref().map(|checksum| checksum.algorithm);
        announced.insert(http::header::TRAILER, kheeper_trailer::announcement(algorithm));
        assert!(kheeper_trailer::is_announced(&announced));
    }
    let _ = kheeper_trailer::is_announced(&trailers);
    if let Ok(Some(attempt)) = kheeper_trailer::attempt(&trailers) {
        let text = trailers["x-kheeper-attempt"].to_str().expect("it was read as text").trim();
        assert!(attempt.to_string().eq_ignore_ascii_case(text), "one attempt, one name: {text}");
    }
    if let Ok(Some(length)) = kheeper_trailer::length(&trailers) {
        let text = trailers["x-kheeper-length"].to_str().expect("it was read as text").trim();
        assert_eq!(text.trim_start_matches('0'), length.to_string().trim_start_matches('0'));
    }
});
