//! The decoder against the examples of the specification, what each client really sends, and every way to cut a body.

use proptest::prelude::*;

use super::*;

/// Decodes a body that arrives in pieces cut at `cuts`.
fn decode_cut(body: &[u8], declared: u64, cuts: &[usize]) -> Result<(Vec<u8>, HeaderMap), S3ErrorCode> {
    let mut decoder = Decoder::new(declared);
    let mut payload = Vec::new();
    let mut ends: Vec<usize> = cuts.iter().copied().filter(|&cut| cut < body.len()).collect();
    ends.push(body.len());
    ends.sort_unstable();
    let mut from = 0;
    for to in ends {
        let mut piece = Bytes::copy_from_slice(&body[from..to]);
        while let Some(part) = decoder.decode(&mut piece).map_err(|error| error.code)? {
            assert!(!part.is_empty());
            payload.extend_from_slice(&part);
        }
        assert!(piece.is_empty());
        from = to;
    }
    assert!(payload.len() as u64 <= declared);
    let trailers = decoder.finish().map_err(|error| error.code)?;
    Ok((payload, trailers))
}

fn decode(body: &[u8], declared: u64) -> Result<(Vec<u8>, HeaderMap), S3ErrorCode> {
    decode_cut(body, declared, &[])
}

/// The body of the User Guide's example "PutObject with multiple chunks": 66560 bytes of `a` in chunks of 64 KiB.
fn aws_example_66560_bytes() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n",
    );
    body.extend_from_slice(&[b'a'; 65_536]);
    body.extend_from_slice(
        b"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n",
    );
    body.extend_from_slice(&[b'a'; 1024]);
    body.extend_from_slice(
        b"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
    );
    body
}

#[test]
fn aws_docs_put_object_with_multiple_chunks_example() {
    let body = aws_example_66560_bytes();
    assert_eq!(body.len(), 66_824, "the example's Content-Length");
    let (payload, trailers) = decode(&body, 66_560).expect("valid");
    assert_eq!(payload, [b'a'; 66_560]);
    assert!(trailers.is_empty());
}

#[test]
fn aws_docs_trailing_header_example_with_crc32c() {
    let mut body = aws_example_66560_bytes();
    body.truncate(body.len() - 2);
    body.extend_from_slice(b"x-amz-checksum-crc32c:sOO8/Q==\r\n");
    body.extend_from_slice(
        b"x-amz-trailer-signature:63bddb248ad2590c92712055f51b8e78ab024eead08276b24f010b0efd74843f\r\n\r\n",
    );
    let (payload, trailers) = decode(&body, 66_560).expect("valid");
    assert_eq!(payload.len(), 66_560);
    assert_eq!(trailers.get("x-amz-checksum-crc32c"), Some(&HeaderValue::from_static("sOO8/Q==")));
    assert_eq!(trailers.len(), 1, "signatures are skipped");
}

/// A body as a client sends it.
struct Example {
    client: &'static str,
    body: &'static [u8],
    payload: &'static [u8],
    trailer_count: usize,
}

impl Example {
    fn declared(&self) -> u64 {
        self.payload.len() as u64
    }
}

const CLIENTS: &[Example] = &[
    Example { client: "minio-go, zero bytes", body: b"0;chunk-signature=00ff\r\n\r\n", payload: b"", trailer_count: 0 },
    Example {
        client: "minio-go, signed",
        body: b"5;chunk-signature=00ff\r\nhello\r\n0;chunk-signature=00ff\r\n\r\n",
        payload: b"hello",
        trailer_count: 0,
    },
    Example {
        client: "minio-go, signed with trailers: a bare newline, then a blank line before the signature",
        body: b"5;chunk-signature=00ff\r\nhello\r\n0;chunk-signature=00ff\r\n\
                x-amz-checksum-crc32c:mnG7TA==\n\r\nx-amz-trailer-signature:00ff\r\n\r\n",
        payload: b"hello",
        trailer_count: 1,
    },
    Example {
        client: "botocore, unsigned trailer",
        body: b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
        payload: b"hello",
        trailer_count: 1,
    },
    Example {
        client: "botocore, unsigned trailer, zero bytes",
        body: b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        payload: b"",
        trailer_count: 1,
    },
    Example {
        client: "aws-sdk-rust, signed trailer",
        body: b"5;chunk-signature=00ff\r\nhello\r\n0;chunk-signature=00ff\r\n\
                x-amz-checksum-crc32:NhCmhg==\r\nx-amz-trailer-signature:00ff\r\n\r\n",
        payload: b"hello",
        trailer_count: 1,
    },
    Example {
        client: "SigV4A, which pads its signatures",
        body: b"1;chunk-signature=00ff**\r\na\r\n0;chunk-signature=00**\r\n\r\n",
        payload: b"a",
        trailer_count: 0,
    },
    Example {
        client: "several chunks, upper-case sizes",
        body: b"A\r\n0123456789\r\n1\r\na\r\n0\r\n\r\n",
        payload: b"0123456789a",
        trailer_count: 0,
    },
    Example {
        client: "a payload that looks like framing",
        body: b"9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n",
        payload: b"\r\n0\r\n\r\n\r\n",
        trailer_count: 0,
    },
];

#[test]
fn every_clients_body_decodes_however_it_is_cut() {
    for example in CLIENTS {
        let Example { client, body, payload, trailer_count } = example;
        let check = |cuts: &[usize]| {
            let (found, trailers) = decode_cut(body, example.declared(), cuts).expect(client);
            assert_eq!(found, *payload, "{client} cut at {cuts:?}");
            assert_eq!(trailers.len(), *trailer_count, "{client} cut at {cuts:?}");
        };
        for first in 0..=body.len() {
            for second in first..=body.len() {
                check(&[first, second]);
            }
        }
        let every_byte: Vec<usize> = (0..body.len()).collect();
        check(&every_byte);
    }
}

#[test]
fn a_body_that_ends_early_is_incomplete_at_every_byte() {
    for example in CLIENTS {
        let Example { client, body, .. } = example;
        // minio-go's blank line before the signature is an end as good as the one after it.
        let ends_before = |cut: usize| body[..cut].ends_with(b"==\n\r\n");
        for cut in (0..body.len()).filter(|&cut| !ends_before(cut)) {
            let found = decode(&body[..cut], example.declared());
            assert_eq!(found, Err(S3ErrorCode::IncompleteBody), "{client} cut at {cut}");
        }
    }
}

#[test]
fn a_declared_length_that_is_not_the_payloads_is_incomplete() {
    for example in CLIENTS {
        let Example { client, body, .. } = example;
        let declared = example.declared();
        for wrong in [Some(declared + 1), declared.checked_sub(1), Some(declared + 1000)].into_iter().flatten() {
            assert_eq!(decode(body, wrong), Err(S3ErrorCode::IncompleteBody), "{client} as {wrong}");
        }
    }
}

#[test]
fn framing_that_is_not_well_formed_is_refused_by_its_kind() {
    use S3ErrorCode::{IncompleteBody, InvalidRequest, MalformedTrailerError};
    let long_line = format!("5;chunk-signature={}\r\nhello\r\n0\r\n\r\n", "0".repeat(600));
    let many_lines = format!("0\r\n{}", "\r\n".repeat(20));
    let long_trailer = format!("0\r\nx-amz-checksum-crc32:{}\r\n\r\n", "A".repeat(2000));
    for (body, declared, code) in [
        (&b"8000000000000000\r\nhello"[..], 5, InvalidRequest),
        (b"ffffffffffffffff\r\nhello", 5, InvalidRequest),
        (b"00000000000000005\r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"\r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"-5\r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"+5\r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"0x5\r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"5 \r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"5\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"5;foo=bar\r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"5;chunk-signature=\r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"5;chunk-signature=xyz\r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"5\r\nhello!\r\n0\r\n\r\n", 5, InvalidRequest),
        (b"5\r\nhello0\r\n\r\n", 5, InvalidRequest),
        (b"hello, this was never chunked\r\n", 31, InvalidRequest),
        (long_line.as_bytes(), 5, InvalidRequest),
        (long_trailer.as_bytes(), 0, InvalidRequest),
        (b"6\r\nhello!\r\n0\r\n\r\n", 5, IncompleteBody),
        (b"0\r\n\r\n", 5, IncompleteBody),
        (b"0\r\nno colon\r\n\r\n", 0, MalformedTrailerError),
        (b"0\r\n\r\ngarbage\r\n\r\n", 0, MalformedTrailerError),
        (b"0\r\na b:c\r\n\r\n", 0, MalformedTrailerError),
        (b"0\r\na:1\r\na:1\r\n\r\n", 0, MalformedTrailerError),
        (many_lines.as_bytes(), 0, MalformedTrailerError),
    ] {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(decode(body, declared), Err(code), "{shown}");
        let every: Vec<usize> = (0..body.len()).collect();
        assert_eq!(decode_cut(body, declared, &every), Err(code), "{shown}, byte by byte");
    }
}

#[test]
fn the_payload_is_never_copied() {
    let body = Bytes::from_static(b"5\r\nhello\r\n0\r\n\r\n");
    let mut input = body.clone();
    let piece = Decoder::new(5).decode(&mut input).expect("valid").expect("payload");
    assert_eq!(piece.as_ptr(), body[3..].as_ptr());
}

proptest! {
    #[test]
    fn any_payload_survives_any_chunking_and_any_cuts(
        payload in prop::collection::vec(any::<u8>(), 0..600),
        chunk_bytes in 1usize..200,
        cuts in prop::collection::vec(0usize..1500, 0..12),
    ) {
        let mut body = Vec::new();
        for chunk in payload.chunks(chunk_bytes) {
            body.extend_from_slice(format!("{:x};chunk-signature=00ff\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0;chunk-signature=00ff\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        let (found, trailers) = decode_cut(&body, payload.len() as u64, &cuts).expect("valid");
        prop_assert_eq!(found, payload);
        prop_assert_eq!(trailers.len(), 1);
    }

    #[test]
    fn no_body_panics_or_gives_more_than_was_declared(
        body in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'5'), Just(b';'), any::<u8>()], 0..80),
        declared in 0u64..20,
        cuts in prop::collection::vec(0usize..80, 0..4),
    ) {
        // How a body is cut never changes what it is.
        prop_assert_eq!(decode(&body, declared), decode_cut(&body, declared, &cuts));
    }
}
