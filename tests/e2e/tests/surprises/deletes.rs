//! DELETE and DeleteObjects.

use kheeper_e2e::s3::{delete_body, xml_values};
use kheeper_e2e::{Request, digest};

use crate::stage::NEIGHBOURS_KEY;
use crate::subject::{BUCKET, HashValue, Subject};

crate::cases! {
    8 => a_delete_is_exactly_204_and_all_else_exactly_200,
    9 => an_empty_version_id_is_no_version,
    10 => one_key_that_may_not_go_refuses_them_all,
    11 => the_result_names_each_key_unless_quiet,
    12 => a_batch_needs_md5_or_a_checksum_and_not_both,
}

fn target() -> String {
    format!("/{BUCKET}?delete=")
}

/// 8. minio-go takes any other 2xx for a failure; a missing key is deleted like any other.
fn a_delete_is_exactly_204_and_all_else_exactly_200(s: &Subject) {
    s.put("a", b"a").expect(200);
    let deleted = s.delete(&s.path("a")).expect(204);
    assert!(deleted.body.is_empty());
    s.delete(&s.path("a")).expect(204);
    s.delete(&s.path("never/there")).expect(204);
    s.head(&format!("/{BUCKET}/")).expect(200);
}

/// 9. wal-g since 3.0.9 sends `<VersionId></VersionId>` and ignores the errors that AWS answers: nothing would be deleted.
fn an_empty_version_id_is_no_version(s: &Subject) {
    s.put("a", b"a").expect(200);
    let body = format!(
        "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Object><Key>{}</Key><VersionId></VersionId></Object></Delete>",
        s.key("a")
    );
    s.post(&target(), &body).expect(200);
    s.get(&s.path("a")).expect_error(404, "NoSuchKey");
}

/// 10. wal-g never reads errors of single keys, so that a refusal has to be the whole request's.
fn one_key_that_may_not_go_refuses_them_all(s: &Subject) {
    s.put("a", b"a").expect(200);
    let body = delete_body([&*s.key("a"), NEIGHBOURS_KEY], false);
    s.post(&target(), &body).expect_error(403, "AccessDenied");
    assert_eq!(s.get(&s.path("a")).expect(200).body, b"a", "nothing was deleted");
    let neighbour = s.own().expect("a case of kheeper's own").neighbours_door();
    neighbour.get(&format!("/{BUCKET}/{NEIGHBOURS_KEY}")).expect(200);
}

/// 11. s5cmd waits for an entry per key for ever, and object_store cannot parse an empty result.
fn the_result_names_each_key_unless_quiet(s: &Subject) {
    let keys = || ["a", "b", "never-there"].map(|name| s.key(name));
    for quiet in [false, true] {
        s.put("a", b"a").expect(200);
        s.put("b", b"b").expect(200);
        let text = s.post(&target(), &delete_body(keys(), quiet)).expect(200).text();
        let mut named = xml_values(&text, "Key");
        named.sort_unstable();
        assert_eq!(named, if quiet { vec![] } else { keys().to_vec() }, "{text}");
        assert!(xml_values(&text, "Code").is_empty(), "{text}");
        assert_eq!(xml_values(&s.list(""), "Key"), [""; 0]);
    }
}

/// 12. SDK v1 and pgBackRest send Content-MD5, boto3 only a checksum, litestream both. A wrong one deletes nothing.
fn a_batch_needs_md5_or_a_checksum_and_not_both(s: &Subject) {
    let md5 = ("Content-MD5", digest::md5_base64 as HashValue);
    let crc = ("x-amz-checksum-crc32", digest::crc32_base64 as HashValue);
    let body = delete_body([s.key("a")], true);
    let send = |promises: &[(&str, HashValue)], of: &str| {
        let request = Request::new("POST", &target()).body(body.as_str());
        s.send(
            promises.iter().fold(request, |request, (name, value_of)| request.header(name, &value_of(of.as_bytes()))),
        )
    };
    for promises in [&[md5][..], &[crc], &[md5, crc]] {
        s.put("a", b"a").expect(200);
        send(promises, "another document").expect_error(400, "BadDigest");
        s.get(&s.path("a")).expect(200);
        send(promises, &body).expect(200);
        s.get(&s.path("a")).expect_error(404, "NoSuchKey");
    }
}
