//! The table "error codes and statuses that steer clients", row by row: which answer, so that which client does the right thing.

use kheeper_e2e::s3::{DUMMY_AUTHORIZATION, delete_body, xml_values};
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Request, Response, World};

use crate::subject::{BUCKET, Subject};

crate::cases! {
    36 => a_permanent_refusal_is_403_or_501_and_never_a_status_to_retry,
    37 => a_503_names_itself_and_asks_for_no_longer_wait,
    0 => every_answer_steers_its_client,
    0 => a_bucket_of_others_is_403_there_or_not_and_the_own_one_is_there_already,
    0 => no_head_is_a_redirect_or_a_400,
    0 => a_400_always_says_why_and_means_the_same_to_signature_version_2,
}

/// Statuses that clients send again: wal-g fifteen times, each with a longer wait.
const RETRIED: [u16; 9] = [408, 409, 429, 499, 500, 502, 503, 504, 509];

/// One row: what is asked, and the one answer that ends it as it should.
struct Row {
    what: &'static str,
    request: Request,
    status: u16,
    code: &'static str,
}

fn row(what: &'static str, request: Request, status: u16, code: &'static str) -> Row {
    Row { what, request, status, code }
}

fn get(target: &str) -> Request {
    Request::new("GET", target)
}

fn put(target: &str) -> Request {
    Request::new("PUT", target).body("x")
}

/// 36. What will never be allowed or done says so in a way that no client takes for bad luck.
fn a_permanent_refusal_is_403_or_501_and_never_a_status_to_retry(s: &Subject) {
    let own = s.path("a");
    let refused = [
        put(&s.forbidden_path()),
        put(&own).header("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        put(&own).header("x-amz-server-side-encryption", "aws:kms"),
        get(&format!("/{BUCKET}?inventory")),
    ];
    for request in refused {
        let shown = format!("{} {}", request.method, request.target);
        let answer = s.send(request);
        assert!(answer.status >= 400 && !RETRIED.contains(&answer.status), "{shown}: {answer}");
    }
}

/// 37. wal-g *adds* Retry-After to its own back-off: without it, it gives up a minute sooner. The proxy's 503 is S3's.
fn a_503_names_itself_and_asks_for_no_longer_wait(_: &Subject) {
    let mut world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let door = proxy.door();
    door.put(&host.path("a"), b"a").expect(200);
    world.server.kill9();
    for request in [door.request("GET", &host.path("a")), door.put_request(&host.path("a"), b"b")] {
        let answer = request.send(door.address).expect_error(503, "ServiceUnavailable");
        assert_eq!(answer.header("retry-after"), None);
        let message = xml_values(&answer.text(), "Message").concat();
        assert!(message.contains(&world.server.address().to_string()), "it says who is absent: {message}");
    }
    let head = door.request("HEAD", &host.path("a")).send(door.address);
    assert!(head.status == 503 && head.body.is_empty(), "{head}");
    world.server.restart();
    kheeper_e2e::wait::until("the server", secs(20), || (door.get(&host.path("a")).status == 200).then_some(()));
}

/// Each row as it is, and as HEAD sees it: no body there, XML with its Resource and RequestId everywhere else.
fn every_answer_steers_its_client(s: &Subject) {
    s.put("a", b"a").expect(200);
    s.put("empty", b"").expect(200);
    let (own, missing, bucket) = (s.path("a"), s.path("missing"), format!("/{BUCKET}"));
    let neighbours = format!("{bucket}/web-02/x");
    let batch = Request::new("POST", &format!("{bucket}?delete")).body(delete_body(["web-02/x"], true));
    let rows = [
        row("absent: recovery goes on", get(&missing), 404, "NoSuchKey"),
        row("no such upload: begun again", get(&format!("{own}?uploadId=nonsense")), 404, "NoSuchUpload"),
        row("another host's: fatal, at once", get(&neighbours), 403, "AccessDenied"),
        row("another host's: fatal, at once", put(&neighbours), 403, "AccessDenied"),
        row("another host's: fatal, at once", Request::new("DELETE", &neighbours), 403, "AccessDenied"),
        row("another host's, in a batch: the whole of it", batch, 403, "AccessDenied"),
        row("another org's, there or not", get("/nobodys-org?list-type=2"), 403, "AccessDenied"),
        row("changed during the download", get(&own).header("If-Match", "\"0\""), 412, "PreconditionFailed"),
        row("there already", put(&own).header("If-None-Match", "*"), 412, "PreconditionFailed"),
        row("beyond the end", get(&s.path("empty")).header("Range", "bytes=0-"), 416, "InvalidRange"),
        row("never done here", get(&format!("{bucket}?policy")), 501, "NotImplemented"),
        row("never done here", get(&format!("{own}?versionId=abc")), 501, "NotImplemented"),
        row("never done here", put(&own).header("x-amz-server-side-encryption", "aws:kms"), 501, "NotImplemented"),
        row("not S3's", Request::new("PATCH", &own), 405, "MethodNotAllowed"),
        row("bytes that are others", put(&own).header("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="), 400, "BadDigest"),
        row("no document", Request::new("POST", &format!("{bucket}?delete")).body("x"), 400, "MalformedXML"),
    ];
    for Row { what, request, status, code } in rows {
        let shown = format!("{what}: {} {}", request.method, request.target);
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        let answer = s.send(request.clone());
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{shown}: {answer}");
        assert!(!RETRIED.contains(&status), "{shown} would be sent again");
        assert_is_s3s_error(&answer, &path, &shown);
        if request.method == "GET" {
            let raw = s.raw_answer(Request { method: "HEAD".into(), ..request });
            let raw = String::from_utf8(raw).expect("ASCII");
            assert!(raw.ends_with("\r\n\r\n") && raw.matches("\r\n\r\n").count() == 1, "{shown}: {raw}");
        }
    }
}

/// XML with a message, the path that was asked for, and the id that the log knows the request by.
#[track_caller]
pub(crate) fn assert_is_s3s_error(answer: &Response, path: &str, shown: &str) {
    assert!(answer.header("content-type").is_some_and(|kind| kind.contains("xml")), "{shown}: {answer}");
    let text = answer.text();
    let one = |element: &str| xml_values(&text, element).concat();
    assert!(text.starts_with("<?xml") && !one("Message").is_empty(), "{shown}: {answer}");
    assert_eq!(one("Resource"), path, "{shown}: {answer}");
    assert_eq!(Some(one("RequestId").as_str()), answer.header("x-amz-request-id"), "{shown}: {answer}");
}

/// NoSuchBucket is never said: it is fatal to wal-g and restic as AccessDenied is, has barman create the bucket, and would
/// tell strangers which orgs there are. BucketAlreadyOwnedByYou is not either: rclone takes it for success, and wal-g sends
/// any 409 fifteen times more; 200 is what us-east-1 answers, and both go on.
fn a_bucket_of_others_is_403_there_or_not_and_the_own_one_is_there_already(s: &Subject) {
    let kheeper = s.own().expect("a case of kheeper's own");
    kheeper.world.other_owner("mallory", "theirs");
    for bucket in ["/theirs", "/theirs/", "/nobodys-org", "/nobodys-org/"] {
        for request in [
            get(&format!("{bucket}?list-type=2")),
            get(&format!("{bucket}?location")),
            Request::new("PUT", bucket).body(""),
            get(&format!("{}/web-01/a", bucket.trim_end_matches('/'))),
        ] {
            let path = request.target.split('?').next().unwrap_or_default().to_owned();
            let shown = format!("{} {}", request.method, request.target);
            let answer = s.send(request).expect_error(403, "AccessDenied");
            assert_is_s3s_error(&answer, &path, &shown);
        }
        assert_eq!(s.head(bucket).status, 403, "{bucket}");
    }
    let location =
        "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
    for body in ["", location] {
        let answer = s.send(Request::new("PUT", &format!("/{BUCKET}")).body(body)).expect(200);
        assert_eq!((answer.header("location"), &*answer.body), (Some("/myorg"), &b""[..]), "{answer}");
    }
}

/// 301, 307 and 400 have botocore look for another region; whatever a client sends of its own accord is answered by what is
/// there and whose it is.
fn no_head_is_a_redirect_or_a_400(s: &Subject) {
    s.put("a", b"a").expect(200);
    s.put("empty", b"").expect(200);
    let scopes = ["us-east-1", "eu-central-1", "garage", "auto", ""];
    let extras: [&[(&str, &str)]; 5] = [
        &[],
        &[("x-amz-checksum-mode", "ENABLED")],
        &[("x-amz-security-token", "a-session")],
        &[("x-amz-request-payer", "requester")],
        &[("Accept-Encoding", "identity"), ("User-Agent", "Boto3/1.44.5")],
    ];
    for (target, status) in [
        (s.path("a"), 200),
        (format!("{}?partNumber=1", s.path("a")), 206),
        (s.path("missing"), 404),
        (s.path("missing/"), 404),
        (format!("/{BUCKET}/web-02/x"), 403),
        (format!("/{BUCKET}"), 200),
        (format!("/{BUCKET}/"), 200),
        ("/nobodys-org".into(), 403),
        ("/nobodys-org/web-01/a".into(), 403),
    ] {
        for scope in scopes {
            let credential = format!("AWS4-HMAC-SHA256 Credential=AKIA/20261101/{scope}/s3/aws4_request");
            let authorization = format!("{credential}, SignedHeaders=host, Signature=00");
            for extra in extras {
                let head = Request::new("HEAD", &target).header("Authorization", &authorization);
                let answer = s.send(extra.iter().fold(head, |head, (name, value)| head.header(name, value)));
                assert_eq!(answer.status, status, "{target}, {scope}, {extra:?}: {answer}");
                let region = answer.header("x-amz-bucket-region");
                assert!(region.is_none_or(|region| region == "us-east-1"), "{target}, {scope}: {answer}");
                assert_eq!(answer.header("location"), None, "{target}, {scope}");
            }
        }
    }
}

/// s3cmd takes a 400 without a body, and InvalidArgument, for a server that knows version 2 only, and asks again with that:
/// it gets the same answer, and with what it meant to send next it is served.
fn a_400_always_says_why_and_means_the_same_to_signature_version_2(s: &Subject) {
    let own = s.path("a");
    let upload = s.create_upload("a");
    let bucket = format!("/{BUCKET}");
    for (request, code) in [
        (put(&format!("{own}?partNumber=0&uploadId={upload}")), "InvalidArgument"),
        (put(&own).header("x-amz-storage-class", "CHEAP"), "InvalidStorageClass"),
        (put(&own).header("Content-MD5", "AAAA"), "InvalidDigest"),
        (put(&own).header("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="), "BadDigest"),
        (put(&own).header("x-amz-content-sha256", "deadbeef"), "InvalidArgument"),
        (put(&own).header("x-amz-copy-source", "nonsense"), "InvalidArgument"),
        (put(&own).header("x-amz-meta-a", &"x".repeat(3000)), "MetadataTooLarge"),
        (put(&s.path(&"k".repeat(1100))), "KeyTooLongError"),
        (get(&format!("{bucket}?list-type=2&max-keys=x")), "InvalidArgument"),
        (get(&format!("{bucket}?list-type=2&continuation-token=x")), "InvalidArgument"),
        (get(&format!("{own}?uploadId={upload}&max-parts=x")), "InvalidArgument"),
        (Request::new("POST", &format!("{own}?uploadId={upload}")).body(""), "MalformedXML"),
        (Request::new("POST", &format!("{bucket}?delete")).body("x"), "MalformedXML"),
        (Request::new("PUT", &format!("{own}?tagging")).body("x"), "MalformedXML"),
    ] {
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        let shown = format!("{} {}", request.method, &request.target[..request.target.len().min(200)]);
        for authorization in [DUMMY_AUTHORIZATION, "AWS someone:c2lnbmVk"] {
            let answer = s.send(request.clone().header("Authorization", authorization));
            assert_eq!((answer.status, &*answer.code()), (400, code), "{shown}: {answer}");
            assert_is_s3s_error(&answer, &path, &shown);
        }
    }
    let version_2 = put(&own).header("Authorization", "AWS someone:c2lnbmVk");
    s.send(version_2).expect(200);
}
