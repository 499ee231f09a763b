//! Bodies inside bodies: aws-chunked, with and without signatures, trailers and lengths.

use kheeper_e2e::s3::Streaming;
use kheeper_e2e::{Body, digest, files};

use crate::subject::Subject;

crate::cases! {
    1 => only_the_payload_of_a_signed_stream_is_stored,
    2 => the_length_that_counts_is_the_decoded_one,
    3 => an_empty_signed_stream_is_an_empty_object,
    4 => signatures_of_chunks_and_trailers_are_read_and_not_stored,
    6 => aws_chunked_leaves_the_encoding_and_the_rest_stays,
    7 => the_100_comes_before_the_body_and_a_refusal_instead_of_it,
    32 => what_sdks_send_once_there_is_tls_is_read_as_well,
}

const CHUNK: usize = 64 * 1024;

fn chunked(body: Vec<u8>) -> Body {
    Body::Chunked { chunks: body.chunks(8000).map(<[u8]>::to_vec).collect(), trailers: vec![] }
}

/// 1. restic and kopia say by `x-amz-content-sha256` alone that the body is framed; there is no Content-Encoding.
fn only_the_payload_of_a_signed_stream_is_stored(s: &Subject) {
    let payload = files::random_bytes(1, 2 * CHUNK + 17);
    let put = s.stream(Streaming::Signed, "pack", &payload, CHUNK, &[], Body::Sized).send(s.address()).expect(200);
    assert_eq!(put.header("etag"), Some(format!("\"{}\"", digest::md5_hex(&payload)).as_str()));
    let read = s.get(&s.path("pack")).expect(200);
    assert!(read.body == payload, "{} of {} bytes", read.body.len(), payload.len());
    assert_eq!(read.header("content-encoding"), None);
}

/// 2. Content-Length is the framed size, or is not there at all.
fn the_length_that_counts_is_the_decoded_one(s: &Subject) {
    let payload = files::random_bytes(2, CHUNK + 1);
    for (name, frame) in [("sized", Body::Sized as fn(Vec<u8>) -> Body), ("chunked", chunked)] {
        s.stream(Streaming::Signed, name, &payload, CHUNK, &[], frame).send(s.address()).expect(200);
        let length = payload.len().to_string();
        assert_eq!(s.head(&s.path(name)).expect(200).header("content-length"), Some(length.as_str()), "{name}");
    }
    for wrong in [payload.len() - 1, payload.len() + 1] {
        let length = [("x-amz-decoded-content-length", &*wrong.to_string())];
        let put = s.stream(Streaming::Signed, "wrong", &payload, CHUNK, &length, Body::Sized).send(s.address());
        assert_eq!(put.status, 400, "{wrong} of {}: {put}", payload.len());
        s.get(&s.path("wrong")).expect_error(404, "NoSuchKey");
    }
}

/// 3. minio-go over http: `0;chunk-signature=…` in HTTP's own chunks, decoded length 0.
fn an_empty_signed_stream_is_an_empty_object(s: &Subject) {
    s.stream(Streaming::Signed, "empty", b"", CHUNK, &[], chunked).send(s.address()).expect(200);
    let read = s.get(&s.path("empty")).expect(200);
    assert_eq!((read.body.len(), read.header("content-length")), (0, Some("0")));
    assert_eq!(read.header("etag"), Some("\"d41d8cd98f00b204e9800998ecf8427e\""));
}

/// 4. aws-sdk-rust over http: signed chunks, a checksum in a trailer, and a signature of the trailer.
fn signatures_of_chunks_and_trailers_are_read_and_not_stored(s: &Subject) {
    let payload = files::random_bytes(4, 3 * CHUNK);
    s.stream(Streaming::SignedTrailer, "sdk", &payload, CHUNK, &[], Body::Sized).send(s.address()).expect(200);
    let read =
        s.send(kheeper_e2e::Request::new("GET", &s.path("sdk")).header("x-amz-checksum-mode", "ENABLED")).expect(200);
    assert!(read.body == payload);
    assert_eq!(read.header("x-amz-checksum-crc32"), Some(digest::crc32_base64(&payload).as_str()));
}

/// 6. The framing is gone, so its name has to go; what the client compressed itself stays compressed.
fn aws_chunked_leaves_the_encoding_and_the_rest_stays(s: &Subject) {
    for (name, sent, kept) in [
        ("only", "aws-chunked", None),
        ("gzip", "aws-chunked,gzip", Some("gzip")),
        ("after", "gzip, aws-chunked", Some("gzip")),
    ] {
        let encoding = [("Content-Encoding", sent)];
        s.stream(Streaming::UnsignedTrailer, name, b"payload", CHUNK, &encoding, Body::Sized)
            .send(s.address())
            .expect(200);
        let read = s.get(&s.path(name)).expect(200);
        assert_eq!((read.header("content-encoding"), &*read.body), (kept, &b"payload"[..]), "{sent}");
    }
}

/// 7. Without an early 100 each PUT of wal-g, s5cmd and boto3 waits a second; a 100 before a refusal has them send all of it.
fn the_100_comes_before_the_body_and_a_refusal_instead_of_it(s: &Subject) {
    let body = files::random_bytes(7, 3 << 20);
    let (first, answer) = s.ask_first(&s.path("asked"), &body);
    assert_eq!((first, answer.map(|answer| answer.status)), (100, Some(200)));
    assert!(s.get(&s.path("asked")).expect(200).body == body);
    let (first, _) = s.ask_first(&s.forbidden_path(), &body);
    assert_eq!(first / 100, 4, "the refusal comes first");
}

/// 32. boto3 and aws cli over https: no Content-Length, unsigned chunks, the checksum behind them.
fn what_sdks_send_once_there_is_tls_is_read_as_well(s: &Subject) {
    let payload = files::random_bytes(32, (1 << 20) + 5);
    let headers = [("Content-Encoding", "aws-chunked"), ("x-amz-sdk-checksum-algorithm", "CRC32")];
    s.stream(Streaming::UnsignedTrailer, "boto3", &payload, 1 << 20, &headers, chunked).send(s.address()).expect(200);
    let read = s.get(&s.path("boto3")).expect(200);
    assert!(read.body == payload);
}
