//! Multipart uploads, and every way to complete one wrongly.

use std::thread;

use kheeper_e2e::s3::xml_values;
use kheeper_e2e::{World, digest, files};

const PART: usize = 5 << 20;

#[test]
fn parts_in_any_order_become_one_object() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let path = host.path("big");
    let parts = [files::random_bytes(1, PART), files::random_bytes(2, PART + 77), files::random_bytes(3, 1000)];
    let upload = door.create_upload(&path);
    door.part(&path, &upload, 2, b"sent again below: the last one counts");
    let third = door.part(&path, &upload, 30, &parts[2]);
    let unlisted = door.part(&path, &upload, 7, b"not in the list");
    let second = door.part(&path, &upload, 2, &parts[1]);
    let first = door.part(&path, &upload, 1, &parts[0]);
    assert_eq!(first, format!("\"{}\"", digest::md5_hex(&parts[0])));
    door.get(&path).expect_error(404, "NoSuchKey");

    let listed = door.get(&format!("{path}?uploadId={upload}&max-parts=2")).expect(200).text();
    assert_eq!(xml_values(&listed, "PartNumber"), ["1", "2"]);
    assert_eq!(xml_values(&listed, "IsTruncated"), ["true"]);
    let rest = door.get(&format!("{path}?uploadId={upload}&part-number-marker=2")).expect(200).text();
    assert_eq!(xml_values(&rest, "PartNumber"), ["7", "30"]);
    assert_eq!(xml_values(&rest, "ETag"), [unlisted, third.clone()]);

    let list = [(1, first.as_str()), (2, second.as_str()), (30, third.as_str())];
    let done = door.complete(&path, &upload, &list).expect(200);
    let etag = format!("\"{}\"", digest::multipart_etag(&[&parts[0], &parts[1], &parts[2]]));
    let text = done.text();
    assert_eq!(xml_values(&text, "ETag"), [etag.as_str()], "{text}");
    assert_eq!(
        (xml_values(&text, "Bucket"), xml_values(&text, "Key")),
        (vec!["myorg".into()], vec!["web-01/big".into()])
    );
    let read = door.get(&path).expect(200);
    assert!(read.body == parts.concat());
    assert_eq!(read.header("etag"), Some(etag.as_str()));
    let seam = format!("bytes={}-{}", PART - 3, PART + 2);
    let read = door.request("GET", &path).header("Range", &seam).send(door.address).expect(206);
    assert!(read.body == parts.concat()[PART - 3..PART + 3]);

    // Repeated with the same list, also at the same time, it gives the same answer; with another it does not.
    let again: Vec<_> = thread::scope(|scope| {
        let repeats: Vec<_> = (0..2).map(|_| scope.spawn(|| door.complete(&path, &upload, &list))).collect();
        repeats.into_iter().map(|repeat| repeat.join().expect("no panic")).collect()
    });
    for answer in again {
        assert_eq!(xml_values(&answer.expect(200).text(), "ETag"), [etag.as_str()]);
    }
    assert_eq!(door.complete(&path, &upload, &list[..1]).status / 100, 4);
    door.put(&format!("{path}?partNumber=1&uploadId={upload}"), b"late").expect_error(404, "NoSuchUpload");
}

#[test]
fn a_wrong_complete_is_refused_and_the_upload_stays_usable() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let path = host.path("big");
    let upload = door.create_upload(&path);
    let big = files::random_bytes(4, PART);
    let first = door.part(&path, &upload, 1, &big);
    let small = door.part(&path, &upload, 2, b"too small to be in the middle");
    let last = door.part(&path, &upload, 3, b"end");

    door.complete(&path, &upload, &[(1, "\"00000000000000000000000000000000\"")]).expect_error(400, "InvalidPart");
    door.complete(&path, &upload, &[(9, &first)]).expect_error(400, "InvalidPart");
    door.complete(&path, &upload, &[(3, &last), (1, &first)]).expect_error(400, "InvalidPartOrder");
    door.complete(&path, &upload, &[(1, &first), (1, &first)]).expect_error(400, "InvalidPartOrder");
    door.complete(&path, &upload, &[(1, &first), (2, &small), (3, &last)]).expect_error(400, "EntityTooSmall");
    door.complete(&path, &upload, &[]).expect_error(400, "MalformedXML");
    let malformed = door.request("POST", &format!("{path}?uploadId={upload}")).body("<CompleteMultipartUpload><Part>");
    malformed.send(door.address).expect_error(400, "MalformedXML");
    for number in ["0", "10001", "-1", "x"] {
        let target = format!("{path}?partNumber={number}&uploadId={upload}");
        door.put(&target, b"x").expect_error(400, "InvalidArgument");
    }
    // Quotes around an ETag are the client's choice.
    door.complete(&path, &upload, &[(1, first.trim_matches('"')), (3, &last)]).expect(200);
    assert!(door.get(&path).expect(200).body == [big.as_slice(), b"end"].concat());
}

#[test]
fn an_aborted_upload_is_gone_and_the_object_before_it_stays() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let path = host.path("big");
    door.put(&path, b"before").expect(200);
    let upload = door.create_upload(&path);
    let etag = door.part(&path, &upload, 1, b"part");
    let uploads = door.get("/myorg?uploads&prefix=web-01/").expect(200).text();
    assert_eq!(xml_values(&uploads, "UploadId"), [upload.as_str()]);
    door.delete(&format!("{path}?uploadId={upload}")).expect(204);
    door.complete(&path, &upload, &[(1, &etag)]).expect_error(404, "NoSuchUpload");
    door.get(&format!("{path}?uploadId={upload}")).expect_error(404, "NoSuchUpload");
    assert_eq!(xml_values(&door.get("/myorg?uploads").expect(200).text(), "UploadId"), [""; 0]);
    assert_eq!(door.get(&path).expect(200).body, b"before");
}
