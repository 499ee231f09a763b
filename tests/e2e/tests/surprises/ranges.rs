//! Parts of objects.

use kheeper_e2e::{Request, digest, files};

use crate::subject::Subject;

crate::cases! {
    19 => a_206_carries_no_checksum,
    40 => an_empty_object_has_no_first_byte,
    40 => a_head_with_a_range_or_a_part_number_is_answered,
}

/// 19. botocore holds a checksum against whatever it got, a part included.
fn a_206_carries_no_checksum(s: &Subject) {
    let bytes = files::random_bytes(19, 10_000);
    let put = Request::new("PUT", &s.path("a")).header("x-amz-checksum-crc32", &digest::crc32_base64(&bytes));
    s.send(put.body(bytes.clone())).expect(200);
    let read = |range: Option<&str>| {
        let request = Request::new("GET", &s.path("a")).header("x-amz-checksum-mode", "ENABLED");
        s.send(match range {
            Some(range) => request.header("Range", range),
            None => request,
        })
    };
    assert_eq!(read(None).expect(200).header("x-amz-checksum-crc32"), Some(&*digest::crc32_base64(&bytes)));
    for (range, from, to) in [("bytes=0-99", 0, 100), ("bytes=9000-", 9000, 10_000), ("bytes=-1", 9999, 10_000)] {
        let part = read(Some(range)).expect(206);
        assert!(part.body == bytes[from..to], "{range}");
        assert_eq!(part.header("content-range"), Some(&*format!("bytes {from}-{}/10000", to - 1)));
        let checksum = part.headers.iter().find(|(name, _)| name.starts_with("x-amz-checksum-"));
        assert_eq!(checksum, None, "{range}");
    }
}

/// 40. litestream, kopia and s5cmd all ask for `bytes=0-` or `bytes=0-1` of objects that may be empty.
fn an_empty_object_has_no_first_byte(s: &Subject) {
    s.put("empty", b"").expect(200);
    for range in ["bytes=0-", "bytes=0-1"] {
        s.send(Request::new("GET", &s.path("empty")).header("Range", range)).expect_error(416, "InvalidRange");
    }
    assert!(s.get(&s.path("empty")).expect(200).body.is_empty());
}

/// 40. SDK transfer managers do both. A part number is either understood or refused for good, and never a retry.
fn a_head_with_a_range_or_a_part_number_is_answered(s: &Subject) {
    s.put("a", b"0123456789").expect(200);
    let head = s.send(Request::new("HEAD", &s.path("a")).header("Range", "bytes=2-4"));
    let length = head.header("content-length").map(str::to_owned);
    assert!(matches!((head.status, length.as_deref()), (206, Some("3")) | (200, Some("10"))), "{head}");
    let head = s.head(&format!("{}?partNumber=1", s.path("a")));
    assert!(matches!(head.status, 200 | 206), "{head}");
}
