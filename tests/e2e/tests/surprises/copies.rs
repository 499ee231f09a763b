//! Copies on the server.

use kheeper_e2e::Request;
use kheeper_e2e::s3::percent;

use crate::stage::NEIGHBOURS_KEY;
use crate::subject::{BUCKET, Subject};

crate::cases! {
    30 => a_copy_source_has_many_spellings_and_is_confined,
}

/// 30. `bucket/key`, `/bucket/key`, encoded in part or whole, with an empty version; and never another host's.
fn a_copy_source_has_many_spellings_and_is_confined(s: &Subject) {
    s.put("from a+b", b"copied").expect(200);
    let key = percent(&s.key("from a+b"));
    let copy = |source: &str| s.send(Request::new("PUT", &s.path("to")).header("x-amz-copy-source", source));
    for source in
        [format!("{BUCKET}/{key}"), format!("/{BUCKET}/{key}"), format!("{BUCKET}/{}", key.replace('/', "%2F"))]
    {
        let copied = copy(&source).expect(200);
        assert!(copied.text().contains("CopyObjectResult"), "{copied}");
        assert_eq!(s.get(&s.path("to")).expect(200).body, b"copied", "{source}");
        s.delete(&s.path("to")).expect(204);
    }
    copy(&format!("{BUCKET}/{}", percent(&s.key("missing")))).expect_error(404, "NoSuchKey");
    if s.own().is_some() {
        copy(&format!("{BUCKET}/{key}?versionId=")).expect(200);
        copy(&format!("{BUCKET}/{NEIGHBOURS_KEY}")).expect_error(403, "AccessDenied");
        copy("elsewhere/web-01/a").expect_error(403, "AccessDenied");
    }
}
