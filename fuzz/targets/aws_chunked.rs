//! aws-chunked bodies: cut anywhere they mean the same, and never hold more payload than was declared.
//!
//! Input: `declared-length cut cut …` on a line, then the body.
#![no_main]

use bytes::Bytes;
use http::HeaderMap;
use kheeper_fuzz::{bounded, numbers_and_rest};
use kheeper_s3::S3ErrorCode;
use kheeper_s3::body::aws_chunked::Decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((numbers, body)) = numbers_and_rest(input) else { return };
    let (declared, cuts) = (numbers[0] as u64, &numbers[1..]);
    let whole = bounded(input, 16, || decode(declared, &[Bytes::copy_from_slice(body)]));
    assert_eq!(decode(declared, &pieces(body, cuts)), whole);
    if body.len() <= 1024 {
        let bytes: Vec<Bytes> = body.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
        assert_eq!(decode(declared, &bytes), whole, "byte by byte");
    }
    if let Ok((payload, _)) = &whole {
        assert_eq!(payload.len() as u64, declared);
    }

    // And the other way round: whatever is framed comes out as it was.
    let size = cuts.first().copied().unwrap_or(7).max(body.len() / 16 + 1);
    let framed = frame(body, size);
    let (payload, trailers) = decode(body.len() as u64, &pieces(&framed, cuts)).expect("well framed");
    assert_eq!(payload, body);
    assert_eq!(trailers.len(), 1);
    for end in [0, framed.len() / 2, framed.len() - 1] {
        assert!(decode(body.len() as u64, &[Bytes::copy_from_slice(&framed[..end])]).is_err(), "cut off at {end}");
    }
});

fn decode(declared: u64, pieces: &[Bytes]) -> Result<(Vec<u8>, HeaderMap), S3ErrorCode> {
    let mut decoder = Decoder::new(declared);
    let mut payload = Vec::new();
    for piece in pieces {
        let mut piece = piece.clone();
        while let Some(bytes) = decoder.decode(&mut piece).map_err(|error| error.code)? {
            assert!(!bytes.is_empty());
            payload.extend_from_slice(&bytes);
            assert!(payload.len() as u64 <= declared, "more payload than declared");
        }
        assert!(piece.is_empty(), "a piece is used up");
    }
    assert_eq!(decoder.decoded_bytes(), payload.len() as u64);
    Ok((payload, decoder.finish().map_err(|error| error.code)?))
}

fn pieces(body: &[u8], cuts: &[usize]) -> Vec<Bytes> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| Bytes::copy_from_slice(&body[pair[0]..pair[1]])).collect()
}

fn frame(payload: &[u8], size: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    for chunk in payload.chunks(size) {
        framed.extend(format!("{:x};chunk-signature={}\r\n", chunk.len(), "0".repeat(64)).bytes());
        framed.extend(chunk);
        framed.extend(b"\r\n");
    }
    framed.extend(b"0;chunk-signature=0\r\nx-amz-checksum-crc32:AAAAAA==\r\nx-amz-trailer-signature:0\r\n\r\n");
    framed
}
