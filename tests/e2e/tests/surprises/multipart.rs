//! Uploads in parts.

use std::thread;

use kheeper_e2e::clock::MovedClock;
use kheeper_e2e::s3::xml_values;
use kheeper_e2e::{Proxy, Request, World, digest, files};

use crate::subject::{BUCKET, Subject};

crate::cases! {
    21 => complete_answers_with_bucket_key_location_and_etag,
    22 => a_complete_that_failed_is_not_a_200,
    31 => pgbackrest_is_understood_and_its_uploads_stay_listed,
    31 => an_upload_that_nobody_aborts_ends_after_a_week_and_one_that_goes_on_does_not,
    38 => parts_come_in_any_order_again_and_unlisted,
    39 => of_many_creations_of_one_key_one_wins,
}

const PART: usize = 5 << 20;

/// 21. minio-go needs a Bucket, pgBackRest an ETag at the root, SDKs read the rest.
fn complete_answers_with_bucket_key_location_and_etag(s: &Subject) {
    let upload = s.create_upload("a");
    let etag = s.part("a", &upload, 1, b"only");
    let text = s.complete("a", &upload, &[(1, &etag)]).expect(200).text();
    let whole = format!("\"{}\"", digest::multipart_etag(&[b"only"]));
    let said = ["Bucket", "Key", "ETag"].map(|element| xml_values(&text, element));
    assert_eq!(said, [vec![BUCKET.to_owned()], vec![s.key("a")], vec![whole]], "{text}");
    assert!(xml_values(&text, "Location").iter().any(|location| location.contains("web-01")), "{text}");
}

/// 22. An empty 200, or one with an error in it, means "try again" to four libraries.
fn a_complete_that_failed_is_not_a_200(s: &Subject) {
    let upload = s.create_upload("a");
    let etag = s.part("a", &upload, 1, b"only");
    let wrong = "\"00000000000000000000000000000000\"";
    s.complete("a", &upload, &[(1, wrong)]).expect_error(400, "InvalidPart");
    s.complete("a", &upload, &[(7, &etag)]).expect_error(400, "InvalidPart");
    let done = s.complete("a", &upload, &[(1, &etag)]).expect(200);
    assert!(done.text().contains("CompleteMultipartUploadResult") && !done.text().contains("<Error>"), "{done}");
    assert_eq!(s.get(&s.path("a")).expect(200).body, b"only");
}

/// 31. Headers in lower case without blanks, Host without its port, `content-length:0` on a GET, and no abort, ever.
fn pgbackrest_is_understood_and_its_uploads_stay_listed(s: &Subject) {
    let send = |method: &str, target: &str, body: &[u8]| {
        let mut request = Request::new(method, target)
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=k/20261101/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=0",
            )
            .header("host", "127.0.0.1")
            .header("x-amz-content-sha256", &digest::sha256_hex(body));
        if !body.is_empty() {
            request = request.header("content-md5", &digest::md5_base64(body));
        }
        request.compact = true;
        s.send(request.body(body))
    };
    send("PUT", &s.path("archive/small"), b"small").expect(200);
    let begun = send("POST", &format!("{}?uploads=", s.path("archive/big")), b"").expect(200).text();
    let upload = xml_values(&begun, "UploadId").pop().expect("an id");
    let part = send("PUT", &format!("{}?partNumber=1&uploadId={upload}", s.path("archive/big")), b"part").expect(200);
    assert!(part.header("etag").is_some(), "{part}");
    let prefix = s.key("archive").replace('/', "%2F");
    let listed =
        send("GET", &format!("/{BUCKET}/?delimiter=%2F&list-type=2&prefix={prefix}%2F"), b"").expect(200).text();
    assert_eq!(xml_values(&listed, "Key"), [s.key("archive/small")]);
    for element in ["LastModified", "Size", "IsTruncated"] {
        assert_eq!(xml_values(&listed, element).len(), 1, "{element}: {listed}");
    }
    let read = send("HEAD", &s.path("archive/small"), b"").expect(200);
    assert!(read.header("content-length") == Some("5") && read.header("last-modified").is_some(), "{read}");
    // The upload that nobody aborts is there until the next case.
    let uploads = s.get(&format!("/{BUCKET}?uploads=&prefix={prefix}")).expect(200).text();
    assert_eq!(xml_values(&uploads, "UploadId"), [upload]);
}

/// 31. The server ends what pgBackRest leaves, by the last part that came and no sooner; a slow upload is not one of these.
fn an_upload_that_nobody_aborts_ends_after_a_week_and_one_that_goes_on_does_not(_: &Subject) {
    const DAY_MINUTES: u64 = 24 * 60;
    let mut world = World::start();
    let host = world.host("web-01");
    let mut clock = MovedClock::new(&world.path("clock"));
    clock.restart(&mut world.server);
    let proxy = Proxy::start_in(&host.cli, &[], &clock.variables());
    let door = proxy.door();
    let tick = || drop(door.put(&host.path("tick"), b"tick").expect(200));
    let (stale, slow) = (host.path("stale"), host.path("slow"));
    let bytes = files::random_bytes(31, 100_000);
    let (left, going) = (door.create_upload(&stale), door.create_upload(&slow));
    let (left_part, going_part) = (door.part(&stale, &left, 1, &bytes), door.part(&slow, &going, 1, &bytes));
    let swept = || {
        world.server.operator(&["sweep"]).ok();
        xml_values(&door.get("/myorg?uploads&prefix=web-01/").expect(200).text(), "Key")
    };
    clock.pass_until(4 * DAY_MINUTES, tick);
    assert_eq!(door.part(&slow, &going, 1, &bytes), going_part);
    clock.pass_until(7 * DAY_MINUTES - 60, tick);
    assert_eq!(swept(), ["web-01/slow", "web-01/stale"], "an hour before the week is over");
    clock.pass_until(7 * DAY_MINUTES + 60, tick);
    assert_eq!(swept(), ["web-01/slow"]);
    door.get(&format!("{stale}?uploadId={left}")).expect_error(404, "NoSuchUpload");
    door.complete(&stale, &left, &[(1, &left_part)]).expect_error(404, "NoSuchUpload");
    door.complete(&slow, &going, &[(1, &going_part)]).expect(200);
    assert!(door.get(&slow).expect(200).body == bytes);
}

/// 38. In parallel, out of order, one of them twice (the last counts), and more than Complete lists.
fn parts_come_in_any_order_again_and_unlisted(s: &Subject) {
    let parts: Vec<Vec<u8>> = (0..3).map(|seed| files::random_bytes(seed, PART)).collect();
    let upload = s.create_upload("a");
    s.part("a", &upload, 2, b"sent again below");
    let etags: Vec<String> = thread::scope(|scope| {
        let (parts, upload) = (&parts, &upload);
        let senders: Vec<_> = [3, 2, 1]
            .map(|number: u32| scope.spawn(move || (number, s.part("a", upload, number, &parts[number as usize - 1]))))
            .into();
        let mut etags: Vec<_> = senders.into_iter().map(|sender| sender.join().expect("no panic")).collect();
        etags.sort_unstable();
        etags.into_iter().map(|(_, etag)| etag).collect()
    });
    s.part("a", &upload, 9, b"never listed");
    s.complete("a", &upload, &[(1, &etags[0]), (2, &etags[1]), (3, &etags[2])]).expect(200);
    assert!(s.get(&s.path("a")).expect(200).body == parts.concat());
}

/// 39. object_store, aws cli and litestream's lease hold it for atomic.
fn of_many_creations_of_one_key_one_wins(s: &Subject) {
    let answers: Vec<(usize, u16)> = thread::scope(|scope| {
        let create = |n: usize| {
            let request = Request::new("PUT", &s.path("lease")).header("If-None-Match", "*");
            (n, s.send(request.body(format!("{n:05}").repeat(2000))).status)
        };
        let writers: Vec<_> = (0..16).map(|n| scope.spawn(move || create(n))).collect();
        writers.into_iter().map(|writer| writer.join().expect("no panic")).collect()
    });
    let winners: Vec<usize> = answers.iter().filter(|(_, status)| *status == 200).map(|(n, _)| *n).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|(_, status)| matches!(status, 200 | 409 | 412)), "{answers:?}");
    assert_eq!(s.get(&s.path("lease")).expect(200).text(), format!("{:05}", winners[0]).repeat(2000));
}
