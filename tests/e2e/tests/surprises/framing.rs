//! Bodies inside bodies: aws-chunked, with and without signatures, trailers and lengths.

use std::process::Command;

use kheeper_e2e::s3::{DUMMY_AUTHORIZATION, Streaming};
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Body, Proxy, Request, command, digest, files};

use crate::subject::Subject;

crate::cases! {
    1 => only_the_payload_of_a_signed_stream_is_stored,
    2 => the_length_that_counts_is_the_decoded_one,
    3 => an_empty_signed_stream_is_an_empty_object,
    4 => signatures_of_chunks_and_trailers_are_read_and_not_stored,
    6 => aws_chunked_leaves_the_encoding_and_the_rest_stays,
    7 => the_100_comes_before_a_byte_of_any_body,
    7 => a_refusal_comes_instead_of_the_100,
    32 => what_sdks_send_once_there_is_tls_is_read_as_well,
    32 => every_framing_arrives_over_tls_as_over_plain_http,
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
    let read = s.send(Request::new("GET", &s.path("sdk")).header("x-amz-checksum-mode", "ENABLED")).expect(200);
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

/// 7. Clients wait a second for it. Here nothing is sent before it at all: a server that reads first never answers.
fn the_100_comes_before_a_byte_of_any_body(s: &Subject) {
    let large = files::random_bytes(7, 3 << 20);
    for (name, body) in [("small", &large[..100]), ("at-the-edge", &large[..65_536]), ("large", &large)] {
        let (put, _) = s.signed(Request::new("PUT", &s.path(name)).body(body));
        let upload = s.create_upload("parts");
        let part = format!("{}?partNumber=1&uploadId={upload}", s.path("parts"));
        let (part, _) = s.signed(Request::new("PUT", &part).body(body));
        let framed = format!("{name}-framed");
        let stream = |kind, frame: fn(Vec<u8>) -> Body| s.stream(kind, &framed, body, CHUNK, &[], frame);
        for (what, request) in [
            ("PutObject", put),
            ("UploadPart", part),
            ("signed chunks", stream(Streaming::Signed, Body::Sized)),
            ("unsigned chunks with a trailer", stream(Streaming::UnsignedTrailer, Body::Sized)),
            ("the same without a length", stream(Streaming::UnsignedTrailer, chunked)),
        ] {
            let (first, answer) = s.ask_first(request);
            assert_eq!((first, answer.map(|answer| answer.status)), (100, Some(200)), "{name}, {what}");
        }
        for name in [name, &framed] {
            assert!(s.get(&s.path(name)).expect(200).body == body, "{name}");
        }
    }
}

/// 7. A 100 before a refusal has the client send all of it in vain.
fn a_refusal_comes_instead_of_the_100(s: &Subject) {
    let body = files::random_bytes(7, 3 << 20);
    let never = format!("{}?partNumber=1&uploadId=nonsense", s.path("parts"));
    let put = |target: &str| Request::new("PUT", target).body(&*body);
    let endless = Body::Declared { length: 6 << 30, bytes: Vec::new() };
    for (what, request, status) in [
        ("another's", put(&s.forbidden_path()), 403),
        ("longer than any object", Request::new("PUT", &s.path("a")).framed(endless), 400),
        ("an upload that is none", put(&never), 404),
        ("what is never done", put(&s.path("a")).header("x-amz-server-side-encryption", "aws:kms"), 501),
        ("a digest that is none", put(&s.path("a")).header("Content-MD5", "AAAA"), 400),
    ] {
        let (first, answer) = s.ask_first(s.signed(request).0);
        assert_eq!((first, answer.map(|answer| answer.status)), (status, None), "{what}");
    }
    s.get(&s.path("a")).expect_error(404, "NoSuchKey");
}

/// 32. boto3 and aws cli over https: no Content-Length, unsigned chunks, the checksum behind them.
fn what_sdks_send_once_there_is_tls_is_read_as_well(s: &Subject) {
    let payload = files::random_bytes(32, (1 << 20) + 5);
    let headers = [("Content-Encoding", "aws-chunked"), ("x-amz-sdk-checksum-algorithm", "CRC32")];
    s.stream(Streaming::UnsignedTrailer, "boto3", &payload, 1 << 20, &headers, chunked).send(s.address()).expect(200);
    let read = s.get(&s.path("boto3")).expect(200);
    assert!(read.body == payload);
}

/// 32. The scheme alone changes what SDKs send: each framing, with a length and without, over both, on one port.
fn every_framing_arrives_over_tls_as_over_plain_http(s: &Subject) {
    let kheeper = s.own().expect("a case of kheeper's own");
    let proxy = Proxy::start(&kheeper.host.cli, &["--tls"]);
    let authority = proxy.authority();
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let file = dir.path().join("body");
    for kind in Streaming::ALL {
        for length in [0, 1, CHUNK, (1 << 20) + 5] {
            let payload = files::random_bytes(length as u64, length);
            std::fs::write(&file, kind.encode(&payload, CHUNK, &payload)).expect("our own directory");
            for scheme in ["http", "https"] {
                for sized in [true, false] {
                    let path = s.path(&format!("{kind:?}/{length}/{scheme}/{sized}"));
                    let what = format!("{kind:?}, {length} bytes, {scheme}, with a length: {sized}");
                    let mut curl = Command::new("curl");
                    curl.args(["-sS", "--fail-with-body", "-X", "PUT", "--cacert"]).arg(&authority);
                    curl.args(["-H", &format!("Authorization: {DUMMY_AUTHORIZATION}"), "-H", "Content-Type:"]);
                    curl.args(["-H", "Content-Encoding: aws-chunked", "-H"]);
                    curl.arg(format!("x-amz-content-sha256: {}", kind.sentinel()));
                    curl.args(["-H", &format!("x-amz-decoded-content-length: {length}")]);
                    if kind != Streaming::Signed {
                        curl.args(["-H", "x-amz-trailer: x-amz-checksum-crc32"]);
                    }
                    if !sized {
                        curl.args(["-H", "Transfer-Encoding: chunked"]);
                    }
                    curl.arg("--data-binary").arg(format!("@{}", file.display()));
                    curl.arg(format!("{scheme}://{}{path}", proxy.address()));
                    let done = command::run(curl, secs(60));
                    assert!(done.status.success(), "{what}: {done}");
                    let read = s.get(&path).expect(200);
                    assert!(read.body == payload, "{what}: {} bytes came back", read.body.len());
                    assert_eq!(read.header("content-encoding"), None, "{what}");
                }
            }
        }
    }
}
