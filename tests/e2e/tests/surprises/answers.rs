//! What answers look like: times, errors, metadata, and whom they are refused to.

use kheeper_e2e::s3::xml_values;
use kheeper_e2e::{Request, Response, World};

use crate::stage::NEIGHBOURS_KEY;
use crate::subject::{BUCKET, Subject};

crate::cases! {
    18 => last_modified_is_there_in_both_forms_and_not_in_the_future,
    18 => last_modified_survives_a_restart,
    23 => errors_are_xml_and_those_of_head_have_no_body,
    24 => a_missing_segment_is_404_under_each_of_its_names,
    24 => a_head_beside_the_own_prefix_is_403_there_or_not,
    29 => metadata_follows_a_copy_onto_itself_and_nothing_is_gzipped,
    33 => any_region_and_any_access_key_will_do,
    34 => wal_g_without_path_style_is_told_so,
    35 => a_bucket_in_the_host_is_told_about_path_style,
}

/// A header's time, and how it has to be written.
fn http_time(answer: &Response, name: &str) -> jiff::Timestamp {
    let text = answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer}"));
    assert!(text.ends_with(" GMT") && text.len() == 29, "RFC 1123: {text}");
    let time = jiff::fmt::rfc2822::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    time.timestamp()
}

/// 18. minio-go and pgBackRest insist on it; s5cmd hides what lies in the future; pgBackRest reads fixed positions.
fn last_modified_is_there_in_both_forms_and_not_in_the_future(s: &Subject) {
    s.put("a", b"a").expect(200);
    let (read, head) = (s.get(&s.path("a")).expect(200), s.head(&s.path("a")).expect(200));
    let modified = http_time(&read, "last-modified");
    assert_eq!(http_time(&head, "last-modified"), modified);
    assert!(modified <= jiff::Timestamp::now(), "{read}");
    let text = s.list("");
    let listed = xml_values(&text, "LastModified").pop().expect("one key");
    let (bytes, time) = (listed.as_bytes(), listed.parse::<jiff::Timestamp>().expect("ISO 8601"));
    assert!(listed.ends_with('Z') && bytes[4] == b'-' && bytes[10] == b'T' && bytes[16] == b':', "{listed}");
    assert_eq!(time.as_second(), modified.as_second());
}

/// 18. wal-g's LATEST is the backup with the newest of them.
fn last_modified_survives_a_restart(_: &Subject) {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    door.put(&host.path("a"), b"a").expect(200);
    let listing = || door.get("/myorg?list-type=2").expect(200).text();
    let before = listing();
    assert!(world.server.terminate().success());
    world.server.restart();
    assert_eq!(listing(), before);
}

/// 23. A plain-text 404 of a router is fatal to wal-g; a body after HEAD is the next answer's beginning.
fn errors_are_xml_and_those_of_head_have_no_body(s: &Subject) {
    let missing = s.get(&s.path("missing")).expect_error(404, "NoSuchKey");
    assert!(missing.header("content-type").is_some_and(|kind| kind.contains("xml")), "{missing}");
    let text = missing.text();
    assert!(text.starts_with("<?xml"), "{text}");
    for element in ["Message", "Resource", "RequestId"] {
        assert!(xml_values(&text, element).iter().any(|text| !text.is_empty()), "{element}: {text}");
    }
    let raw = s.raw_answer(Request::new("HEAD", &s.path("missing")));
    let raw = String::from_utf8(raw).expect("ASCII");
    assert!(raw.starts_with("HTTP/1.1 404 ") && raw.ends_with("\r\n\r\n"), "{raw}");
    assert_eq!(raw.matches("\r\n\r\n").count(), 1, "{raw}");
}

/// The names that wal-fetch asks for, one after the other.
const SUFFIXES: [&str; 6] = [".lz4", ".lzma", ".gz", ".", ".zst", ""];

/// 24. wal-fetch asks six times, and PostgreSQL's recovery ends well only if each is 404.
fn a_missing_segment_is_404_under_each_of_its_names(s: &Subject) {
    for suffix in SUFFIXES {
        let path = s.path(&format!("wal_005/000000010000000000000007{suffix}"));
        assert_eq!(s.head(&path).status, 404, "{path}");
    }
}

/// 24. A prefix that is not the host's stops recovery at the first name: by 404 it would end, short of its WAL.
fn a_head_beside_the_own_prefix_is_403_there_or_not(s: &Subject) {
    for prefix in ["web-02/", "web-0/", "web-011/", "WEB-01/", "never-joined/", "", "web-01"] {
        for suffix in SUFFIXES {
            let path = format!("/{BUCKET}/{prefix}wal_005/000000010000000000000007{suffix}");
            let head = s.head(&path);
            assert_eq!((head.status, &*head.body), (403, &b""[..]), "{path}: {head}");
            s.get(&path).expect_error(403, "AccessDenied");
        }
    }
    assert_eq!(s.head(&format!("/{BUCKET}/{NEIGHBOURS_KEY}")).status, 403, "what is there is no other answer");
}

/// 29. rclone keeps the time of a file there, and asks for gzip without meaning it.
fn metadata_follows_a_copy_onto_itself_and_nothing_is_gzipped(s: &Subject) {
    let text = "compressible ".repeat(1000);
    let put = Request::new("PUT", &s.path("a")).header("x-amz-meta-mtime", "1761955200.123456789");
    s.send(put.header("Content-Type", "application/x-tar").body(text.as_str())).expect(200);
    let read = s.send(Request::new("GET", &s.path("a")).header("Accept-Encoding", "gzip")).expect(200);
    assert!(read.text() == text && read.header("content-encoding").is_none());
    let kept = |answer: &Response| {
        (answer.header("x-amz-meta-mtime").map(str::to_owned), answer.header("content-type").map(str::to_owned))
    };
    let first = (Some("1761955200.123456789".to_owned()), Some("application/x-tar".to_owned()));
    assert_eq!((kept(&read), kept(&s.head(&s.path("a")))), (first.clone(), first));

    let copy = Request::new("PUT", &s.path("a"))
        .header("x-amz-copy-source", &format!("{BUCKET}/{}", s.key("a")))
        .header("x-amz-metadata-directive", "REPLACE")
        .header("x-amz-meta-mtime", "1580608922")
        .header("Content-Type", "text/plain");
    s.send(copy).expect(200);
    let head = s.head(&s.path("a")).expect(200);
    assert_eq!(kept(&head), (Some("1580608922".into()), Some("text/plain".into())));
    assert_eq!(s.get(&s.path("a")).expect(200).text(), text);
}

/// 33. Whatever a client makes up: garage's region, none at all, SigV2, another key.
fn any_region_and_any_access_key_will_do(s: &Subject) {
    s.put("a", b"a").expect(200);
    let signed =
        |scope: &str| format!("AWS4-HMAC-SHA256 Credential={scope}/s3/aws4_request, SignedHeaders=host, Signature=00");
    for authorization in [
        signed("AKIA/20261101/us-east-1"),
        signed("x/20200101/garage"),
        signed("dummy/20261101/"),
        "AWS someone:c2lnbmVk".into(),
    ] {
        let read = Request::new("GET", &s.path("a")).header("Authorization", &authorization);
        assert_eq!(s.send(read).expect(200).body, b"a", "{authorization}");
    }
}

/// A request with the bucket in its Host: 400, XML, and the setting's name.
fn assert_told_about_path_style(s: &Subject, host: &str) -> String {
    let port = s.address().port();
    let request = Request::new("PUT", "/web-01/a").header("Host", &format!("{host}:{port}")).body("a");
    let text = s.send(request).expect(400).text();
    assert!(text.starts_with("<?xml") && !xml_values(&text, "Code").is_empty(), "{text}");
    text
}

/// 34. `WALG_S3_FORCE_PATH_STYLE` does nothing: without `AWS_S3_FORCE_PATH_STYLE` the bucket is put before the address.
fn wal_g_without_path_style_is_told_so(s: &Subject) {
    let text = assert_told_about_path_style(s, &format!("{BUCKET}.127.0.0.1"));
    assert!(text.contains("AWS_S3_FORCE_PATH_STYLE=true"), "{text}");
}

/// 35. The same from clients that resolve `bucket.localhost`.
fn a_bucket_in_the_host_is_told_about_path_style(s: &Subject) {
    let text = assert_told_about_path_style(s, &format!("{BUCKET}.localhost"));
    assert!(text.to_lowercase().contains("path style"), "{text}");
}
