//! The table "error codes and statuses that steer clients", row by row: which answer, so that which client does the right thing.

use kheeper_e2e::s3::{delete_body, xml_values};
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Request, World};

use crate::subject::{BUCKET, Subject};

crate::cases! {
    36 => a_permanent_refusal_is_403_or_501_and_never_a_status_to_retry,
    37 => a_503_names_itself_and_asks_for_no_longer_wait,
    0 => every_answer_steers_its_client,
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
        assert!(answer.header("content-type").is_some_and(|kind| kind.contains("xml")), "{shown}: {answer}");
        let text = answer.text();
        let one = |element: &str| xml_values(&text, element).concat();
        assert!(text.starts_with("<?xml") && !one("Message").is_empty(), "{shown}: {answer}");
        assert_eq!(one("Resource"), path, "{shown}: {answer}");
        assert_eq!(Some(one("RequestId").as_str()), answer.header("x-amz-request-id"), "{shown}: {answer}");
        if request.method == "GET" {
            let raw = s.raw_answer(Request { method: "HEAD".into(), ..request });
            let raw = String::from_utf8(raw).expect("ASCII");
            assert!(raw.ends_with("\r\n\r\n") && raw.matches("\r\n\r\n").count() == 1, "{shown}: {raw}");
        }
    }
}
