//! What headers promise about a body: a promise that holds is the same however the body arrives.
//!
//! Input: header lines, a blank line, then the payload.
#![no_main]

use http::HeaderMap;
use kheeper_fuzz::{bounded, headers};
use kheeper_s3::OperationKind;
use kheeper_s3::body::declared::{Declared, Framing};
use kheeper_s3::body::verify::{Compute, PayloadVerifier, Verified};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (head, payload) = match input.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&input[..end], &input[end + 2..]),
        None => (input, &input[..0]),
    };
    let Some(headers) = headers(head) else { return };
    for kind in [OperationKind::PutObject, OperationKind::CompleteMultipartUpload] {
        let declared = match bounded(input, 64, || Declared::for_operation(kind, &headers)) {
            Ok(declared) => declared,
            Err(error) => {
                assert!(matches!(error.status().as_u16(), 400 | 411 | 501), "{error}");
                continue;
            }
        };
        let streaming = headers
            .get("x-amz-content-sha256")
            .is_some_and(|value| value.as_bytes().trim_ascii().starts_with(b"STREAMING-"));
        assert_eq!(declared.framing == Framing::AwsChunked, streaming, "framed by that header and nothing else");
        let whole = verify(&declared, &[payload], &headers);
        let (left, right) = payload.split_at(payload.len() / 3);
        assert_eq!(verify(&declared, &[left, right], &headers), whole);
        if let Ok(verified) = whole {
            assert_eq!(verified.length, payload.len() as u64);
            assert!(declared.length.is_none_or(|length| length == verified.length));
            assert!(declared.content_md5.is_none_or(|md5| Some(md5) == verified.md5));
            assert_eq!(declared.checksum_algorithm(), verified.checksum.map(|checksum| checksum.algorithm));
        }
    }
});

/// `trailers` are read from the same lines: a checksum that was announced may stand there.
fn verify(declared: &Declared, pieces: &[&[u8]], trailers: &HeaderMap) -> Result<Verified, http::StatusCode> {
    let mut verifier = PayloadVerifier::new(declared, Compute { md5: true });
    pieces.iter().for_each(|piece| verifier.update(piece));
    verifier.finish(trailers).map_err(|error| error.status())
}
