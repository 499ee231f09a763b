//! A body that is not what its sender said it is, straight at the server and through a proxy: a clear error, and the
//! object that was there before stays.

use std::io::{BufReader, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use kheeper_e2e::http::read_response;
use kheeper_e2e::s3::Streaming;
use kheeper_e2e::world::Host;
use kheeper_e2e::{Body, Door, Proxy, Request, Response, World, digest, files, s3};
use rustix::net::sockopt::set_socket_linger;

/// The last of its characters changed, so that base64 and hex stay what they are.
fn wrong(digest: &str) -> String {
    digest::sha256_hex(digest.as_bytes())[..digest.len().min(64)].to_owned()
}

struct Scene {
    doors: [(&'static str, Door); 2],
    path: String,
    _proxy: Proxy,
    host: Host,
    world: World,
}

const BEFORE: &[u8] = b"what was there before";

fn scene() -> Scene {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let doors = [("direct", world.direct(&host.cli)), ("proxy", proxy.door())];
    let path = host.path("kept");
    doors[0].1.put(&path, BEFORE).expect(200);
    Scene { doors, path, _proxy: proxy, host, world }
}

impl Scene {
    /// Checks at both doors that `request` is answered with `status` and `code`, and leaves the object alone.
    #[track_caller]
    fn refused(&self, what: &str, status: u16, codes: &[&str], request: impl Fn(&Door) -> Request) {
        for (name, door) in &self.doors {
            let answer = request(door).send(door.address);
            let code = answer.code();
            assert!(
                answer.status == status && codes.contains(&code.as_str()),
                "{what}, {name}: expected {status} {codes:?}: {answer}"
            );
            self.assert_untouched(what, door);
        }
    }

    #[track_caller]
    fn assert_untouched(&self, what: &str, door: &Door) {
        assert_eq!(door.get(&self.path).expect(200).body, BEFORE, "{what}");
    }

    #[track_caller]
    fn accepted(&self, what: &str, bytes: &[u8], request: impl Fn(&Door, &str) -> Request) {
        for (name, door) in &self.doors {
            let path = self.host.path(&format!("good/{name}/{}", s3::percent(what)));
            let answer: Response = request(door, &path).send(door.address);
            assert_eq!(answer.status, 200, "{what}, {name}: {answer}");
            let read = door.get(&path).expect(200);
            assert!(read.body == bytes, "{what}, {name}: {} bytes came back", read.body.len());
            assert_eq!(read.header("content-encoding"), None, "{what}, {name}");
            let etag = format!("\"{}\"", digest::md5_hex(bytes));
            assert_eq!(read.header("etag"), Some(etag.as_str()), "{what}, {name}");
        }
    }
}

#[test]
fn right_digests_are_accepted_and_wrong_ones_refused_at_both_doors() {
    let scene = scene();
    for length in [0, 10, 5000, 70_000, 700_000] {
        let bytes = files::random_bytes(length as u64 + 1, length);
        let checksums = [
            ("Content-MD5", digest::md5_base64(&bytes), digest::md5_base64(b"other"), "BadDigest"),
            ("x-amz-checksum-crc32", digest::crc32_base64(&bytes), digest::crc32_base64(b"other"), "BadDigest"),
            ("x-amz-checksum-crc32c", digest::crc32c_base64(&bytes), digest::crc32c_base64(b"other"), "BadDigest"),
            ("x-amz-checksum-crc64nvme", digest::crc64nvme_base64(&bytes), digest::crc64nvme_base64(b"o"), "BadDigest"),
            ("x-amz-checksum-sha256", digest::sha256_base64(&bytes), digest::sha256_base64(b"other"), "BadDigest"),
            (
                "x-amz-content-sha256",
                digest::sha256_hex(&bytes),
                wrong(&digest::sha256_hex(&bytes)),
                "XAmzContentSHA256Mismatch",
            ),
        ];
        for (header, right, wrong, code) in &checksums {
            let put = |door: &Door, path: &str, value: &str| {
                door.request("PUT", path).header(header, value).body(bytes.clone())
            };
            scene.accepted(&format!("{header}-{length}"), &bytes, |door, path| put(door, path, right));
            let what = format!("wrong {header} of {length} bytes");
            scene.refused(&what, 400, &[code], |door| put(door, &scene.path, wrong));
        }
    }
}

#[test]
fn malformed_digests_are_refused_before_the_body() {
    let scene = scene();
    for (header, value) in [("Content-MD5", "not base64!"), ("Content-MD5", "AAAA"), ("Content-MD5", "")] {
        scene.refused(value, 400, &["InvalidDigest"], |door| {
            door.put_request(&scene.path, b"something").header(header, value)
        });
    }
    for value in ["not base64!", "AAAA"] {
        scene.refused(value, 400, &["InvalidRequest", "InvalidDigest", "InvalidArgument", "BadDigest"], |door| {
            door.put_request(&scene.path, b"something").header("x-amz-checksum-crc32", value)
        });
    }
    scene.refused("no hash", 400, &["InvalidArgument", "InvalidRequest", "XAmzContentSHA256Mismatch"], |door| {
        door.request("PUT", &scene.path).header("x-amz-content-sha256", "deadbeef").body("something")
    });
}

#[test]
fn every_aws_chunked_variant_is_decoded_at_both_doors() {
    let scene = scene();
    for kind in Streaming::ALL {
        for (length, chunk) in [(0, 1), (1, 1), (65_536, 65_536), (65_537, 65_536), (300_000, 8192), (1000, 7)] {
            let bytes = files::random_bytes(length as u64, length);
            let encoded = kind.encode(&bytes, chunk, &bytes);
            let what = format!("{kind:?}-{length}-{chunk}");
            scene.accepted(&what, &bytes, |door, path| kind.put(door, path, encoded.clone(), length));
            // boto3 says so in Content-Encoding too, and over https sends no Content-Length at all.
            scene.accepted(&format!("{what}-te"), &bytes, |door, path| {
                let request = kind.put(door, path, Vec::new(), length).header("Content-Encoding", "aws-chunked");
                let middle = encoded.len() / 2;
                let chunks = vec![encoded[..middle].to_vec(), encoded[middle..].to_vec()];
                request.framed(Body::Chunked { chunks, trailers: vec![] })
            });
        }
    }
    for (name, door) in &scene.doors {
        let path = scene.host.path(&format!("gzip/{name}"));
        let encoded = Streaming::Signed.encode(b"zipped", 3, b"");
        let put = Streaming::Signed.put(door, &path, encoded, 6).header("Content-Encoding", "aws-chunked,gzip");
        put.send(door.address).expect(200);
        assert_eq!(door.head(&path).header("content-encoding"), Some("gzip"), "{name}");
    }
}

#[test]
fn broken_aws_chunked_bodies_are_refused_at_both_doors() {
    let scene = scene();
    let bytes = files::random_bytes(1, 100_000);
    for kind in Streaming::ALL {
        let put = |door: &Door, encoded: &[u8], length: usize| kind.put(door, &scene.path, encoded.to_vec(), length);
        let good = kind.encode(&bytes, 65_536, &bytes);
        let lengths = ["IncompleteBody", "InvalidRequest", "InvalidArgument"];
        scene.refused("decoded length too big", 400, &lengths, |door| put(door, &good, bytes.len() + 1));
        scene.refused("decoded length too small", 400, &lengths, |door| put(door, &good, bytes.len() - 1));
        scene.refused("no final chunk", 400, &lengths, |door| put(door, &good[..good.len() / 2], bytes.len()));
        if kind != Streaming::Signed {
            let lying = kind.encode(&bytes, 65_536, b"something else");
            scene.refused("wrong trailer", 400, &["BadDigest"], |door| put(door, &lying, bytes.len()));
            let mut unfinished = good.clone();
            unfinished.truncate(good.len() - 30);
            let codes = ["IncompleteBody", "MalformedTrailerError", "InvalidRequest"];
            scene.refused("cut trailer", 400, &codes, |door| put(door, &unfinished, bytes.len()));
        }
    }
    for head in ["8000000000000000\r\n", "ffffffffffffffffff\r\n", "xyz\r\n", "-1\r\n", "\r\n"] {
        let codes = ["InvalidRequest", "IncompleteBody"];
        scene.refused(head, 400, &codes, |door| {
            Streaming::UnsignedTrailer.put(door, &scene.path, [head.as_bytes(), b"data"].concat(), 4)
        });
    }
    scene.refused("decoded length without streaming", 400, &["InvalidRequest", "InvalidArgument"], |door| {
        door.put_request(&scene.path, b"four").header("x-amz-decoded-content-length", "4")
    });
    scene.refused("aws-chunked without streaming", 400, &["InvalidRequest", "InvalidArgument"], |door| {
        door.put_request(&scene.path, b"four").header("Content-Encoding", "aws-chunked")
    });
}

/// How a connection ends in the middle of a body.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The client says that nothing more comes, and still listens.
    HalfClose,
    /// It closes.
    Fin,
    /// It resets.
    Rst,
}

#[test]
fn a_body_that_ends_early_is_incomplete_and_leaves_nothing_behind() {
    let scene = scene();
    for (name, door) in &scene.doors {
        // The last one is longer than what is gathered before a blob's file is made.
        for length in [100, 100_000, 1 << 20, 8 << 20] {
            let half = files::random_bytes(2, length / 2);
            for target in [scene.path.clone(), scene.host.path("never-there")] {
                for is_chunked in [false, true] {
                    for cut in [Cut::HalfClose, Cut::Fin, Cut::Rst] {
                        let what = format!("{name}, {length} bytes, chunked {is_chunked}, {cut:?}");
                        let body = match is_chunked {
                            false => Body::Declared { length: length as u64, bytes: half.clone() },
                            true => Body::CutOff(half.clone()),
                        };
                        let request = door.request("PUT", &target).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
                        cut_short(request.framed(body), door, cut, &what);
                    }
                }
            }
            scene.assert_untouched("cut off", door);
            door.get(&scene.host.path("never-there")).expect_error(404, "NoSuchKey");
        }
    }
    scene.world.server.expect_nothing_left_over();
    assert_eq!(scene.doors[0].1.keys("myorg", "web-01/", 10), ["web-01/kept"]);
}

/// Sends half of a body and ends the connection; who still listens is told that it was incomplete.
fn cut_short(request: Request, door: &Door, cut: Cut, what: &str) {
    let mut stream = request.open(door.address).expect("it listens");
    let (half, framed) = match &request.body {
        Body::Declared { bytes, .. } => (bytes, false),
        Body::CutOff(bytes) => (bytes, true),
        _ => unreachable!("only bodies that can be cut"),
    };
    if framed {
        stream.write_all(format!("{:x}\r\n", half.len() + 1).as_bytes()).expect("it reads");
    }
    // A refusal may come before all of it was sent.
    let _ = stream.write_all(half);
    match cut {
        Cut::HalfClose => {
            stream.shutdown(Shutdown::Write).expect("a socket");
            let answer = read_response(&mut BufReader::new(stream), "PUT");
            let answer = answer.unwrap_or_else(|error| panic!("{what}: no answer: {error}"));
            // Without a length there is nothing to be short of, and the server takes no such payload at all.
            let no_length = framed && answer.status == 411;
            assert!(
                no_length || (answer.status, answer.code().as_str()) == (400, "IncompleteBody"),
                "{what}: {answer}"
            );
        }
        Cut::Fin => drop(stream),
        Cut::Rst => {
            set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
            drop(stream);
        }
    }
}

#[test]
fn a_body_longer_than_declared_never_becomes_a_second_request_with_our_name() {
    let scene = scene();
    for (name, door) in &scene.doors {
        let smuggled = format!("DELETE {} HTTP/1.1\r\nHost: x\r\n\r\n", scene.path);
        let body = Body::Declared { length: 4, bytes: [b"four", smuggled.as_bytes()].concat() };
        let request = door.request("PUT", &scene.host.path("four")).framed(body);
        let answer = request.header("x-amz-content-sha256", "UNSIGNED-PAYLOAD").try_send(door.address);
        if let Ok(answer) = answer {
            assert_eq!(answer.status, 200, "{name}: {answer}");
        }
        scene.assert_untouched(name, door);
    }
    // Two framings at once is how requests are smuggled.
    for (name, door) in &scene.doors {
        let authorization = door.authorization.clone().unwrap_or_default();
        let both = format!(
            "PUT {} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\nContent-Length: 4\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            scene.path, door.address
        );
        let answer = kheeper_e2e::http::raw(door.address, both.as_bytes());
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{name}: {}", String::from_utf8_lossy(&answer));
        scene.assert_untouched(name, door);
    }
}

#[test]
fn a_body_without_any_length_is_refused_or_stored_whole() {
    let scene = scene();
    let bytes = files::random_bytes(3, 90_000);
    for (name, door) in &scene.doors {
        let path = scene.host.path(&format!("chunked/{name}"));
        let chunks = bytes.chunks(1000).map(<[u8]>::to_vec).collect();
        let request = door.request("PUT", &path).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
        let answer = request.framed(Body::Chunked { chunks, trailers: vec![] }).send(door.address);
        match answer.status {
            200 => assert!(door.get(&path).expect(200).body == bytes, "{name}"),
            411 => assert_eq!(answer.code(), "MissingContentLength", "{name}"),
            _ => panic!("{name}: {answer}"),
        }
    }
}

#[test]
fn small_bodies_with_xml_are_checked_too() {
    let scene = scene();
    let body = s3::delete_body(["web-01/kept"], true);
    scene.refused("wrong Content-MD5 of a deletion", 400, &["BadDigest"], |door| {
        door.request("POST", "/myorg?delete").header("Content-MD5", &digest::md5_base64(b"other")).body(body.clone())
    });
    scene.refused("wrong CRC32 of a deletion", 400, &["BadDigest"], |door| {
        let crc = digest::crc32_base64(b"other");
        door.request("POST", "/myorg?delete").header("x-amz-checksum-crc32", &crc).body(body.clone())
    });
    scene.refused("a document type", 400, &["MalformedXML"], |door| {
        let bomb = format!("<!DOCTYPE d [<!ENTITY a \"aaaa\">]>{}", body.replace("kept", "&a;"));
        door.request("POST", "/myorg?delete").header("Content-MD5", &digest::md5_base64(bomb.as_bytes())).body(bomb)
    });
    scene.refused("more XML than anybody needs", 400, &["MalformedXML", "EntityTooLarge", "InvalidRequest"], |door| {
        let big = format!("<Delete>{}</Delete>", " ".repeat(3 << 20));
        door.request("POST", "/myorg?delete").header("Content-MD5", &digest::md5_base64(big.as_bytes())).body(big)
    });
}
