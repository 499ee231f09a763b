//! What no client should send of parts, keys and documents, at the server and through a proxy: S3's own error, nothing
//! stored, nothing deleted, and the upload goes on as if it had not been said.

use std::io::{BufReader, Write as _};
use std::sync::mpsc;
use std::thread;

use kheeper_e2e::http::read_response;
use kheeper_e2e::s3::{complete_body, delete_body, xml_values};
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Body, Door, Request, Response, digest, files};

use crate::both_doors::BothDoors;

const PART: usize = 5 << 20;

#[test]
fn a_batch_of_1001_keys_deletes_none_of_them_at_both_doors() {
    let scene = BothDoors::start();
    let (doors, host) = (&scene.doors, &scene.host);
    for (name, door) in doors {
        let names: Vec<String> = (0..1001).map(|n| format!("web-01/{name}/{n}")).collect();
        let kept = [0, 500, 999, 1000].map(|n: usize| host.path(&format!("{name}/{n}")));
        for path in &kept {
            door.put(path, b"kept").expect(200);
        }
        for quiet in [true, false] {
            door.post("/myorg?delete", &delete_body(&names, quiet)).expect_error(400, "MalformedXML");
        }
        for path in &kept {
            assert_eq!(door.get(path).expect(200).body, b"kept", "{path}");
        }
        let deleted = door.post("/myorg?delete", &delete_body(&names[..1000], false)).expect(200).text();
        assert_eq!(xml_values(&deleted, "Key").len(), 1000);
        for (path, status) in kept.iter().zip([404, 404, 404, 200]) {
            assert_eq!(door.get(path).status, status, "{path}");
        }
    }
}

#[test]
fn parts_have_numbers_from_1_to_10000_and_no_others_at_both_doors() {
    let scene = BothDoors::start();
    let (doors, host) = (&scene.doors, &scene.host);
    for (name, door) in doors {
        let (path, source) = (host.path(&format!("{name}/numbered")), host.path(&format!("{name}/source")));
        door.put(&source, b"source").expect(200);
        let upload = door.create_upload(&path);
        for number in ["0", "10001", "-1", "+1", "1.0", "x", "", "4294967297", "99999999999999999999"] {
            let target = format!("{path}?partNumber={number}&uploadId={upload}");
            let copy = door.request("PUT", &target).header("x-amz-copy-source", &source).body("");
            for (what, request) in [("a part", door.put_request(&target, b"x")), ("a copied part", copy)] {
                let answer = request.send(door.address);
                assert_eq!((answer.status, &*answer.code()), (400, "InvalidArgument"), "{what} {number:?}: {answer}");
            }
        }
        let parts = || door.get(&format!("{path}?uploadId={upload}")).expect(200).text();
        assert_eq!(xml_values(&parts(), "PartNumber"), [""; 0], "{name}: nothing was kept");
        let (first, last) = (door.part(&path, &upload, 1, b"one"), door.part(&path, &upload, 10_000, b"last"));
        for number in [0, 10_001, u32::MAX] {
            door.complete(&path, &upload, &[(number, &first)]).expect_error(400, "InvalidArgument");
        }
        assert_eq!(xml_values(&parts(), "ETag"), [first, last.clone()]);
        door.get(&path).expect_error(404, "NoSuchKey");
        door.complete(&path, &upload, &[(10_000, &last)]).expect(200);
        assert_eq!(door.get(&path).expect(200).body, b"last");
        for number in ["0", "10001"] {
            door.get(&format!("{path}?partNumber={number}")).expect_error(400, "InvalidArgument");
        }
    }
}

#[test]
fn a_list_of_parts_that_is_wrong_completes_nothing_and_spoils_nothing_at_both_doors() {
    let scene = BothDoors::start();
    let (doors, host, world) = (&scene.doors, &scene.host, &scene.world);
    let (big, end) = (files::random_bytes(4, PART), b"end");
    for (name, door) in doors {
        let path = host.path(&format!("{name}/listed"));
        let upload = door.create_upload(&path);
        let first = door.part(&path, &upload, 1, &big);
        let short = door.part(&path, &upload, 2, &big[..PART - 1]);
        let last = door.part(&path, &upload, 3, end);
        let never = "\"00000000000000000000000000000000\"";
        for (what, list, code) in [
            ("out of order", &[(3, &*last), (1, &*first)][..], "InvalidPartOrder"),
            ("out of order behind a good one", &[(1, &first), (3, &last), (2, &short)], "InvalidPartOrder"),
            ("one twice", &[(1, &first), (1, &first)], "InvalidPartOrder"),
            ("too small by a byte", &[(1, &first), (2, &short), (3, &last)], "EntityTooSmall"),
            ("never uploaded", &[(1, &first), (4, &last)], "InvalidPart"),
            ("another's ETag", &[(1, &first), (3, &first)], "InvalidPart"),
            ("an ETag of nothing", &[(1, never)], "InvalidPart"),
            ("no part", &[], "MalformedXML"),
        ] {
            let answer = door.complete(&path, &upload, list);
            assert_eq!((answer.status, &*answer.code()), (400, code), "{name}, {what}: {answer}");
            door.get(&path).expect_error(404, "NoSuchKey");
            let parts = door.get(&format!("{path}?uploadId={upload}")).expect(200).text();
            assert_eq!(xml_values(&parts, "ETag"), [&*first, &short, &last], "{name}, {what}");
        }
        door.complete(&path, &upload, &[(1, &first), (3, &last)]).expect(200);
        assert!(door.get(&path).expect(200).body == [big.as_slice(), end].concat(), "{name}");
    }
    world.server.expect_nothing_left_over();
}

#[test]
fn an_upload_that_was_never_begun_here_is_no_such_upload_whatever_is_asked_of_it_at_both_doors() {
    let scene = BothDoors::start();
    let (doors, host, world) = (&scene.doors, &scene.host, &scene.world);
    let neighbour = world.host("web-02");
    let of_neighbour = world.direct(&neighbour.cli).create_upload(&neighbour.path("theirs"));
    for (name, door) in doors {
        let (path, source) = (host.path(&format!("{name}/upload")), host.path(&format!("{name}/source")));
        door.put(&source, b"source").expect(200);
        let (own, other_key) = (door.create_upload(&path), door.create_upload(&format!("{path}-of-another-key")));
        let part = door.part(&path, &own, 1, b"part");
        let swapped: String = own.chars().rev().collect();
        let endless = "A".repeat(3000);
        for id in [&*other_key, &of_neighbour, &swapped, &endless, "nonsense", "0", "", "..%2F..", "%F0%9F%92%A5"] {
            let with = |method: &str, query: &str| door.request(method, &format!("{path}?{query}uploadId={id}"));
            for (what, request) in [
                ("UploadPart", with("PUT", "partNumber=1&").body("x")),
                ("UploadPartCopy", with("PUT", "partNumber=1&").header("x-amz-copy-source", &source).body("")),
                ("ListParts", with("GET", "")),
                ("Complete", with("POST", "").body(complete_body(&[(1, &part)]))),
                ("Abort", with("DELETE", "")),
            ] {
                let answer = request.send(door.address);
                let id = &id[..id.len().min(40)];
                assert_eq!((answer.status, &*answer.code()), (404, "NoSuchUpload"), "{name}, {what} {id}: {answer}");
            }
            door.get(&path).expect_error(404, "NoSuchKey");
        }
        let parts = door.get(&format!("{path}?uploadId={own}")).expect(200).text();
        assert_eq!(xml_values(&parts, "ETag"), [&*part], "{name}");
        door.complete(&path, &own, &[(1, &part)]).expect(200);
        assert_eq!(door.get(&path).expect(200).body, b"part");
        door.get(&format!("{path}-of-another-key?uploadId={other_key}")).expect(200);
    }
    let theirs = format!("{}?uploadId={of_neighbour}", neighbour.path("theirs"));
    world.direct(&neighbour.cli).get(&theirs).expect(200);
}

/// Two gibibytes, which nobody keeps in memory, and how they are said to be framed.
#[derive(Debug, Clone, Copy)]
enum Endless {
    /// With a `Content-Length` that says so.
    Declared,
    /// In chunks, of which more and more come.
    Chunked,
    /// As one aws-chunked chunk, whose length is given as a few bytes in the header.
    AwsChunked,
}

const ENDLESS_BYTES: u64 = 2 << 30;

/// Sends a document that begins with `begin` and goes on with `more` for two gibibytes, or until it is not read any more.
/// The answer, and how many bytes were sent until there was one.
fn send_endless(door: &Door, request: Request, kind: Endless, begin: &str, more: &str) -> (Response, u64) {
    let request = match kind {
        Endless::Declared => request.framed(Body::Declared { length: ENDLESS_BYTES, bytes: Vec::new() }),
        Endless::Chunked => request.framed(Body::Chunked { chunks: Vec::new(), trailers: Vec::new() }),
        Endless::AwsChunked => request
            .header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .header("x-amz-decoded-content-length", "2000")
            .framed(Body::Declared { length: ENDLESS_BYTES, bytes: Vec::new() }),
    };
    let block = more.repeat((1 << 20) / more.len());
    let mut stream = request.open(door.address).expect("it listens");
    let reader = stream.try_clone().expect("a socket");
    let begin = begin.to_owned();
    let sender = thread::spawn(move || {
        let begin = match kind {
            Endless::Declared => begin,
            Endless::Chunked => format!("{:x}\r\n{begin}\r\n", begin.len()),
            Endless::AwsChunked => format!("{ENDLESS_BYTES:x}\r\n{begin}"),
        };
        let block = match kind {
            Endless::Chunked => format!("{:x}\r\n{block}\r\n", block.len()),
            Endless::Declared | Endless::AwsChunked => block,
        };
        let mut sent = 0;
        let mut next = begin.as_bytes();
        while sent < ENDLESS_BYTES && stream.write_all(next).is_ok() {
            sent += next.len() as u64;
            next = block.as_bytes();
        }
        sent
    });
    let (answered, answer) = mpsc::channel();
    let method = request.method.clone();
    thread::spawn(move || answered.send(read_response(&mut BufReader::new(reader), &method)));
    let answer = answer.recv_timeout(secs(60)).expect("an answer within a minute").expect("a whole answer");
    (answer, sender.join().expect("the sender does not panic"))
}

#[test]
fn two_gibibytes_of_document_cost_neither_program_memory_and_change_nothing() {
    let BothDoors { doors, host, mut proxy, mut world } = BothDoors::start();
    let (path, tagged) = (host.path("completed"), host.path("tagged"));
    doors[0].1.put(&tagged, b"tagged").expect(200);
    let upload = doors[0].1.create_upload(&path);
    let part = doors[0].1.part(&path, &upload, 1, b"part");
    let part_element = format!("<Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part>");
    let complete = format!("<CompleteMultipartUpload>{part_element}");
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    let tagging = format!("<Tagging><TagSet>{tag}");
    let before = (world.server.running().memory_peak_bytes(), proxy.running().memory_peak_bytes());
    for (name, door) in &doors {
        for kind in [Endless::Declared, Endless::Chunked, Endless::AwsChunked] {
            let completing = door.request("POST", &format!("{path}?uploadId={upload}"));
            let tags = door.request("PUT", &format!("{tagged}?tagging"));
            for (what, request, begin, more) in [
                ("parts", completing.clone(), &*complete, &*part_element),
                ("blanks behind a part", completing, &complete, " "),
                ("tags", tags.clone(), &tagging, tag),
                ("one text", tags, &tagging, "endless"),
            ] {
                let (answer, sent) = send_endless(door, request, kind, begin, more);
                let shown = format!("{name}, {kind:?}, {what}, {sent} bytes sent: {answer}");
                let expected: &[&str] = match kind {
                    Endless::Declared | Endless::Chunked => &["EntityTooLarge"],
                    Endless::AwsChunked => &["EntityTooLarge", "IncompleteBody"],
                };
                assert!(answer.status == 400 && expected.contains(&&*answer.code()), "{shown}");
                // What is thrown away so that the answer is read has a bound too.
                assert!(sent < ENDLESS_BYTES / 4, "{shown}");
            }
        }
    }
    let after = (world.server.running().memory_peak_bytes(), proxy.running().memory_peak_bytes());
    println!("peak memory of server and proxy: {before:?} before, {after:?} after");
    assert!(after.0 < before.0 + (64 << 20), "the server: {} {}", before.0, after.0);
    assert!(after.1 < before.1 + (64 << 20), "the proxy: {} {}", before.1, after.1);

    let door = &doors[1].1;
    assert_eq!(door.head(&tagged).expect(200).header("x-amz-tagging-count"), None);
    door.get(&path).expect_error(404, "NoSuchKey");
    let listed = door.get(&format!("{path}?uploadId={upload}")).expect(200).text();
    assert_eq!(xml_values(&listed, "ETag"), [&*part]);
    door.complete(&path, &upload, &[(1, &part)]).expect(200);
    assert_eq!(
        door.get(&path).expect(200).header("etag"),
        Some(&*format!("\"{}\"", digest::multipart_etag(&[b"part"])))
    );
    assert_eq!(door.keys("myorg", "web-01/", 10), ["web-01/completed", "web-01/tagged"]);
    world.server.expect_nothing_left_over();
}
