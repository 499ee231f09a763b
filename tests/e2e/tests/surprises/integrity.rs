//! What a client says of its bytes is held against them, and what it is told of them is true.

use kheeper_e2e::s3::{Streaming, xml_values};
use kheeper_e2e::{Body, Request, digest, files};

use crate::subject::{PROMISES, Subject};

crate::cases! {
    5 => every_promise_about_a_body_is_held_against_it,
    5 => a_trailer_that_was_announced_must_come_and_must_be_right,
    20 => an_etag_is_the_md5_or_has_a_dash,
}

/// 5. Each of the seven promises, kept and broken. What broke it is not stored.
fn every_promise_about_a_body_is_held_against_it(s: &Subject) {
    for (header, value_of) in PROMISES {
        let name = header.to_ascii_lowercase();
        let put =
            |of: &[u8]| s.send(Request::new("PUT", &s.path(&name)).header(header, &value_of(of)).body("the bytes"));
        let code = if header == "x-amz-content-sha256" { "XAmzContentSHA256Mismatch" } else { "BadDigest" };
        put(b"other bytes").expect_error(400, code);
        s.get(&s.path(&name)).expect_error(404, "NoSuchKey");
        put(b"the bytes").expect(200);
        assert_eq!(s.get(&s.path(&name)).expect(200).body, b"the bytes", "{header}");
    }
}

/// 5. The same behind the body: wrong is BadDigest, announced and absent is MalformedTrailerError.
fn a_trailer_that_was_announced_must_come_and_must_be_right(s: &Subject) {
    let crc = digest::crc32_base64(b"four");
    for (name, body, code) in [
        ("absent", "4\r\nfour\r\n0\r\n\r\n".to_owned(), "MalformedTrailerError"),
        ("wrong", "4\r\nfour\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n".to_owned(), "BadDigest"),
        ("right", format!("4\r\nfour\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n"), ""),
    ] {
        let length = [("x-amz-decoded-content-length", "4")];
        let put = s.stream(Streaming::UnsignedTrailer, name, b"", 1, &length, |_| Body::Sized(body.into_bytes()));
        let answer = put.send(s.address());
        if code.is_empty() {
            answer.expect(200);
        } else {
            answer.expect_error(400, code);
            s.get(&s.path(name)).expect_error(404, "NoSuchKey");
        }
    }
}

/// 20. s3cmd compares it with the MD5 unless it has a dash; rclone (provider Minio) computes md5(md5s)-N itself.
fn an_etag_is_the_md5_or_has_a_dash(s: &Subject) {
    let whole = format!("\"{}\"", digest::md5_hex(b"whole"));
    assert_eq!(s.put("whole", b"whole").expect(200).header("etag"), Some(&*whole));
    assert_eq!(s.head(&s.path("whole")).expect(200).header("etag"), Some(&*whole));
    let parts = [files::random_bytes(20, 5 << 20), b"the end".to_vec()];
    let upload = s.create_upload("parts");
    let etags: Vec<String> = (1..).zip(&parts).map(|(number, bytes)| s.part("parts", &upload, number, bytes)).collect();
    assert_eq!(etags[1], format!("\"{}\"", digest::md5_hex(&parts[1])));
    s.complete("parts", &upload, &[(1, &etags[0]), (2, &etags[1])]).expect(200);
    let in_parts = format!("\"{}\"", digest::multipart_etag(&[&parts[0], &parts[1]]));
    assert_eq!(s.head(&s.path("parts")).expect(200).header("etag"), Some(&*in_parts));
    assert_eq!(xml_values(&s.list(""), "ETag"), [in_parts, whole]);
}
