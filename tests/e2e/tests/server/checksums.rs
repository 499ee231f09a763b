//! Checksums of every algorithm, of whole objects and of parts, and objects read part by part.

use kheeper_e2e::s3::{Streaming, complete_body, xml_values};
use kheeper_e2e::{digest, files};

use crate::both_doors::BothDoors;

const PART: usize = 5 << 20;

/// Header, element and value of each algorithm for some bytes.
fn checksums(bytes: &[u8]) -> [(&'static str, &'static str, String); 5] {
    [
        ("x-amz-checksum-crc32", "ChecksumCRC32", digest::crc32_base64(bytes)),
        ("x-amz-checksum-crc32c", "ChecksumCRC32C", digest::crc32c_base64(bytes)),
        ("x-amz-checksum-crc64nvme", "ChecksumCRC64NVME", digest::crc64nvme_base64(bytes)),
        ("x-amz-checksum-sha1", "ChecksumSHA1", digest::sha1_base64(bytes)),
        ("x-amz-checksum-sha256", "ChecksumSHA256", digest::sha256_base64(bytes)),
    ]
}

fn algorithm(header: &str) -> String {
    header.trim_start_matches("x-amz-checksum-").to_uppercase()
}

/// The checksum headers of an answer, `x-amz-checksum-type` included.
fn said(answer: &kheeper_e2e::Response) -> Vec<(&str, &str)> {
    let of_checksum = |(name, value): &'_ &(String, String)| name.starts_with("x-amz-checksum") && !value.is_empty();
    let mut said: Vec<_> =
        answer.headers.iter().filter(of_checksum).map(|(name, value)| (name.as_str(), value.as_str())).collect();
    said.sort_unstable();
    said
}

#[test]
fn a_checksum_is_said_again_when_asked_for_and_never_of_a_part_of_the_bytes() {
    let scene = BothDoors::start();
    let bytes = files::random_bytes(1, 100_000);
    for (name, door) in &scene.doors {
        let read = |method: &str, path: &str, range: Option<&str>| {
            let request = door.request(method, path).header("x-amz-checksum-mode", "ENABLED");
            let request = if let Some(range) = range { request.header("Range", range) } else { request };
            request.send(door.address)
        };
        for (header, element, value) in checksums(&bytes) {
            let path = format!("/myorg/web-01/{name}/{header}");
            let expected = [(header, value.as_str()), ("x-amz-checksum-type", "FULL_OBJECT")];
            let put = door.put_request(&path, &bytes).header(header, &value).send(door.address).expect(200);
            assert_eq!(said(&put), expected);
            for method in ["GET", "HEAD"] {
                assert_eq!(said(&read(method, &path, None).expect(200)), expected);
                assert_eq!(said(&read(method, &path, Some("bytes=0-99")).expect(206)), []);
                assert_eq!(said(&read(method, &format!("{path}?partNumber=1"), None).expect(206)), []);
                assert_eq!(said(&door.request(method, &path).send(door.address).expect(200)), []);
            }
            let listed =
                door.get(&format!("/myorg?list-type=2&prefix={}", &path["/myorg/".len()..])).expect(200).text();
            assert_eq!(xml_values(&listed, "ChecksumAlgorithm")[0], algorithm(header), "{listed}");
            assert_eq!(xml_values(&listed, "ChecksumType")[0], "FULL_OBJECT");

            // A copy keeps it, or gets another one, computed from the bytes.
            for (other, other_element, other_value) in checksums(&bytes) {
                let copy = door.request("PUT", &format!("{path}-copy")).header("x-amz-copy-source", &path);
                let copy = copy.header("x-amz-checksum-algorithm", &algorithm(other)).body("").send(door.address);
                let text = copy.expect(200).text();
                assert_eq!(xml_values(&text, other_element), [other_value.as_str()], "{text}");
                let other_said = [(other, other_value.as_str()), ("x-amz-checksum-type", "FULL_OBJECT")];
                assert_eq!(said(&read("HEAD", &format!("{path}-copy"), None)), other_said);
            }
            let copy = door.request("PUT", &format!("{path}-copy")).header("x-amz-copy-source", &path).body("");
            assert_eq!(xml_values(&copy.send(door.address).expect(200).text(), element), [value.as_str()]);
        }
        // Who declares none gets the one that everything has.
        let path = format!("/myorg/web-01/{name}/plain");
        let value = digest::crc64nvme_base64(&bytes);
        let expected = [("x-amz-checksum-crc64nvme", value.as_str()), ("x-amz-checksum-type", "FULL_OBJECT")];
        assert_eq!(said(&door.put(&path, &bytes).expect(200)), expected);
        assert_eq!(said(&read("GET", &path, None).expect(200)), expected);
    }
}

#[test]
fn uploads_of_every_algorithm_end_with_the_checksum_that_the_client_expects() {
    let scene = BothDoors::start();
    let (one, two) = (files::random_bytes(1, PART), files::random_bytes(2, 1000));
    let whole = [one.as_slice(), &two].concat();
    for (name, door) in &scene.doors {
        for (index, (header, element, full)) in checksums(&whole).into_iter().enumerate() {
            let (of_one, of_two) = (checksums(&one)[index].2.clone(), checksums(&two)[index].2.clone());
            for kind in ["FULL_OBJECT", "COMPOSITE"] {
                let path = format!("/myorg/web-01/{name}/{header}/{kind}");
                let create = door
                    .request("POST", &format!("{path}?uploads"))
                    .header("x-amz-checksum-algorithm", &algorithm(header))
                    .header("x-amz-checksum-type", kind)
                    .body("")
                    .send(door.address);
                if (header.contains("sha") && kind == "FULL_OBJECT") || (header.contains("64") && kind == "COMPOSITE") {
                    create.expect_error(400, "InvalidRequest");
                    continue;
                }
                let upload = xml_values(&create.expect(200).text(), "UploadId").remove(0);
                let part = |number: u32, bytes: &[u8], declared: Option<(&str, &str)>| {
                    let target = format!("{path}?partNumber={number}&uploadId={upload}");
                    let request = door.put_request(&target, bytes);
                    let request = if let Some((h, v)) = declared { request.header(h, v) } else { request };
                    request.send(door.address)
                };
                if !header.contains("64") {
                    part(1, &two, None).expect_error(400, "InvalidRequest");
                }
                let other = if header.contains("sha256") { 0 } else { 4 };
                let (other_header, _, other_value) = &checksums(&two)[other];
                part(1, &two, Some((other_header, other_value))).expect_error(400, "InvalidRequest");
                let first = part(1, &one, Some((header, &of_one))).expect(200);
                assert_eq!(first.header(header), Some(of_one.as_str()));
                let second = part(2, &two, Some((header, &of_two))).expect(200);
                let listed = door.get(&format!("{path}?uploadId={upload}")).expect(200).text();
                assert_eq!(xml_values(&listed, element), [of_one.as_str(), &of_two], "{listed}");
                assert_eq!(xml_values(&listed, "ChecksumType"), [kind]);

                let expected = match kind {
                    "FULL_OBJECT" => full.clone(),
                    _ => {
                        let digests = [decode(&of_one), decode(&of_two)].concat();
                        format!("{}-2", checksums(&digests)[index].2)
                    }
                };
                let etags = [first.header("etag").expect("an ETag"), second.header("etag").expect("an ETag")];
                let complete = |checksum: &str, size: usize| {
                    door.request("POST", &format!("{path}?uploadId={upload}"))
                        .header(header, checksum)
                        .header("x-amz-checksum-type", kind)
                        .header("x-amz-mp-object-size", &size.to_string())
                        .body(complete_body(&[(1, etags[0]), (2, etags[1])]))
                        .send(door.address)
                };
                let wrong = if kind == "COMPOSITE" { format!("{of_one}-2") } else { of_one.clone() };
                complete(&wrong, whole.len()).expect_error(400, "BadDigest");
                complete(&expected, whole.len() + 1).expect_error(400, "InvalidRequest");
                door.get(&path).expect_error(404, "NoSuchKey");
                let done = complete(&expected, whole.len()).expect(200).text();
                assert_eq!(xml_values(&done, element), [expected.as_str()], "{done}");
                assert_eq!(xml_values(&done, "ChecksumType"), [kind]);

                let head = door.request("HEAD", &path).header("x-amz-checksum-mode", "ENABLED").send(door.address);
                assert_eq!(said(&head), [(header, expected.as_str()), ("x-amz-checksum-type", kind)]);
                let attributes = door
                    .request("GET", &format!("{path}?attributes"))
                    .header("x-amz-object-attributes", "Checksum,ObjectParts")
                    .send(door.address);
                let text = attributes.expect(200).text();
                assert_eq!(xml_values(&text, element), [expected.as_str(), &of_one, &of_two], "{text}");
            }
        }
    }
}

fn decode(base64: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(base64).expect("base64")
}

#[test]
fn an_object_is_read_part_by_part_whatever_numbers_its_parts_had() {
    let scene = BothDoors::start();
    let (one, two) = (files::random_bytes(1, PART), files::random_bytes(2, 1000));
    let whole = [one.as_slice(), &two].concat();
    for (name, door) in &scene.doors {
        let path = format!("/myorg/web-01/{name}/parts");
        let upload = door.create_upload(&path);
        let last = door.part(&path, &upload, 9, &two);
        let source = format!("/myorg/web-01/{name}/source");
        door.put(&source, &[b"xxx".as_slice(), &one, b"yyy"].concat()).expect(200);
        let copied = door
            .request("PUT", &format!("{path}?partNumber=3&uploadId={upload}"))
            .header("x-amz-copy-source", &source)
            .header("x-amz-copy-source-range", &format!("bytes=3-{}", PART + 2))
            .body("")
            .send(door.address);
        let first = xml_values(&copied.expect(200).text(), "ETag").remove(0);
        door.complete(&path, &upload, &[(3, &first), (9, &last)]).expect(200);
        for (number, bytes, from) in [(1, one.as_slice(), 0), (2, two.as_slice(), PART)] {
            let target = format!("{path}?partNumber={number}");
            let (get, head) = (door.get(&target).expect(206), door.head(&target).expect(206));
            assert!(get.body == bytes);
            let range = format!("bytes {from}-{}/{}", from + bytes.len() - 1, whole.len());
            for answer in [get, head] {
                assert_eq!(answer.header("content-range"), Some(range.as_str()));
                assert_eq!(answer.header("content-length"), Some(bytes.len().to_string().as_str()));
                assert_eq!(answer.header("x-amz-mp-parts-count"), Some("2"));
            }
        }
        door.get(&format!("{path}?partNumber=3")).expect_error(416, "InvalidPartNumber");
        door.get(&format!("{path}?partNumber=0")).expect_error(400, "InvalidArgument");
        let both = door.request("GET", &format!("{path}?partNumber=1")).header("Range", "bytes=0-1");
        both.send(door.address).expect_error(400, "InvalidRequest");
        assert_eq!(door.get(&path).expect(200).header("x-amz-mp-parts-count"), None);

        let page = |marker: &str| {
            let request = door.request("GET", &format!("{path}?attributes")).header("x-amz-max-parts", "1");
            let request = request.header("x-amz-object-attributes", "ObjectParts");
            request.header("x-amz-part-number-marker", marker).send(door.address).expect(200).text()
        };
        for (marker, number, size, truncated) in [("0", "1", PART, "true"), ("1", "2", 1000, "false")] {
            let text = page(marker);
            assert_eq!(xml_values(&text, "PartNumber"), [number], "{text}");
            assert_eq!(xml_values(&text, "Size"), [size.to_string()]);
            assert_eq!(
                (xml_values(&text, "IsTruncated"), xml_values(&text, "PartsCount")),
                (vec![truncated.into()], vec!["2".into()])
            );
        }
        // One that was uploaded whole is its own first part.
        door.put(&source, b"whole").expect(200);
        let part = door.get(&format!("{source}?partNumber=1")).expect(206);
        assert_eq!((part.body.as_slice(), part.header("x-amz-mp-parts-count")), (&b"whole"[..], None));
        door.get(&format!("{source}?partNumber=2")).expect_error(416, "InvalidPartNumber");
        door.put(&source, b"").expect(200);
        assert!(door.get(&format!("{source}?partNumber=1")).expect(200).body.is_empty());
        // An empty last part is there, and has no bytes to name.
        let upload = door.create_upload(&path);
        let (first, last) = (door.part(&path, &upload, 1, &one), door.part(&path, &upload, 2, b""));
        door.complete(&path, &upload, &[(1, &first), (2, &last)]).expect(200);
        door.get(&format!("{path}?partNumber=2")).expect_error(416, "InvalidRange");
        assert!(door.get(&format!("{path}?partNumber=1")).expect(206).body == one);
    }
}

/// The two kinds of aws-chunked body that have trailers.
const WITH_TRAILERS: [Streaming; 2] = [Streaming::SignedTrailer, Streaming::UnsignedTrailer];

/// Checks that nothing is stored, not even a blob that nothing refers to.
#[track_caller]
fn holds_nothing(scene: &BothDoors) {
    assert_eq!(scene.doors[0].1.keys("myorg", "web-01/", 1000), [""; 0]);
    scene.world.server.expect_nothing_left_over();
}

#[test]
fn a_wrong_trailer_of_any_algorithm_stores_nothing_and_a_right_one_is_said_again_at_both_doors() {
    let scene = BothDoors::start();
    // Kept in the index; as a blob; and beyond what a proxy reads whole before it sends any of it.
    for length in [10, 70_000, 700_000] {
        let bytes = files::random_bytes(length as u64, length);
        for (name, door) in &scene.doors {
            for kind in WITH_TRAILERS {
                for (index, (header, _, value)) in checksums(&bytes).into_iter().enumerate() {
                    let what = format!("{name}, {kind:?}, {header}, {length} bytes");
                    let path = format!("/myorg/web-01/{name}/{kind:?}/{header}/{length}");
                    let put = |trailers: &[(&str, &str)]| {
                        let body = kind.encode_with(&bytes, 65_536, trailers);
                        kind.put_announcing(door, &path, body, length, header).send(door.address)
                    };
                    let of_others = checksums(b"other bytes")[index].2.clone();
                    let (other_header, _, other_value) = &checksums(&bytes)[(index + 1) % 5];
                    let refusals: [(&[(&str, &str)], &str); 4] = [
                        (&[(header, &of_others)], "BadDigest"),
                        (&[], "MalformedTrailerError"),
                        (&[(other_header, other_value)], "MalformedTrailerError"),
                        (&[(header, "AAAA")], "InvalidRequest"),
                    ];
                    for (trailers, code) in refusals {
                        let answer = put(trailers);
                        assert_eq!((answer.status, &*answer.code()), (400, code), "{what}: {trailers:?}: {answer}");
                        door.get(&path).expect_error(404, "NoSuchKey");
                    }
                    let expected = [(header, value.as_str()), ("x-amz-checksum-type", "FULL_OBJECT")];
                    let stored = put(&[(header, &value)]).expect(200);
                    assert_eq!(said(&stored), expected, "{what}");
                    // What is there stays as it is when the next one is refused.
                    put(&[(header, &of_others)]).expect_error(400, "BadDigest");
                    for method in ["GET", "HEAD"] {
                        let read = door.request(method, &path).header("x-amz-checksum-mode", "ENABLED");
                        let read = read.send(door.address).expect(200);
                        assert_eq!(said(&read), expected, "{what}");
                        assert!(method == "HEAD" || read.body == bytes, "{what}");
                    }
                    door.delete(&path).expect(204);
                }
            }
        }
    }
    holds_nothing(&scene);
}

#[test]
fn a_wrong_trailer_of_a_part_leaves_the_upload_as_it_was_at_both_doors() {
    let scene = BothDoors::start();
    for length in [10, 700_000] {
        let bytes = files::random_bytes(length as u64, length);
        for (name, door) in &scene.doors {
            for (index, (header, element, value)) in checksums(&bytes).into_iter().enumerate() {
                let path = format!("/myorg/web-01/{name}/{header}/{length}");
                let create = door.request("POST", &format!("{path}?uploads"));
                let create = create.header("x-amz-checksum-algorithm", &algorithm(header)).body("").send(door.address);
                let upload = xml_values(&create.expect(200).text(), "UploadId").remove(0);
                let put = |value: &str| {
                    let body = Streaming::UnsignedTrailer.encode_with(&bytes, 65_536, &[(header, value)]);
                    let target = format!("{path}?partNumber=1&uploadId={upload}");
                    Streaming::UnsignedTrailer.put_announcing(door, &target, body, length, header).send(door.address)
                };
                let parts = || door.get(&format!("{path}?uploadId={upload}")).expect(200).text();
                let of_others = checksums(b"other bytes")[index].2.clone();
                put(&of_others).expect_error(400, "BadDigest");
                assert_eq!(xml_values(&parts(), "PartNumber"), [""; 0], "{name}, {header}");
                let stored = put(&value).expect(200);
                assert_eq!(stored.header(header), Some(value.as_str()));
                put(&of_others).expect_error(400, "BadDigest");
                assert_eq!(xml_values(&parts(), element), [value.as_str()], "{name}, {header}");
                let etag = stored.header("etag").expect("an ETag");
                door.complete(&path, &upload, &[(1, etag)]).expect(200);
                assert!(door.get(&path).expect(200).body == bytes, "{name}, {header}");
                door.delete(&path).expect(204);
            }
        }
    }
    holds_nothing(&scene);
}
