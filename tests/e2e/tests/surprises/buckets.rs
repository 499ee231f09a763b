//! Calls for buckets, which no key confines.

use kheeper_e2e::Request;
use kheeper_e2e::s3::xml_values;

use crate::stage::NEIGHBOURS_KEY;
use crate::subject::{BUCKET, Subject};

crate::cases! {
    25 => a_parent_prefix_is_answered_and_filtered,
    26 => creating_the_bucket_again_is_no_failure,
    27 => versioning_is_an_empty_configuration,
    28 => the_location_is_empty,
}

/// 25. `aws s3 ls s3://bucket`, rclone's root, and `wal-g delete`, which walks: 200, and only what is the host's own.
fn a_parent_prefix_is_answered_and_filtered(s: &Subject) {
    s.put("mine", b"mine").expect(200);
    s.head(&format!("/{BUCKET}")).expect(200);
    for prefix in ["", "web", "web-0", "web-01"] {
        let text = s.get(&format!("/{BUCKET}?list-type=2&prefix={prefix}")).expect(200).text();
        let keys = xml_values(&text, "Key");
        assert!(keys.contains(&s.key("mine")) && !keys.contains(&NEIGHBOURS_KEY.to_owned()), "{prefix}: {text}");
        let text = s.get(&format!("/{BUCKET}?list-type=2&delimiter=%2F&prefix={prefix}")).expect(200).text();
        assert_eq!(xml_values(&text, "Prefix"), [prefix, "web-01/"], "{text}");
    }
    s.get(&format!("/{BUCKET}?list-type=2&prefix=web-02")).expect_error(403, "AccessDenied");
}

/// 26. rclone does it before its first upload, and takes AccessDenied for the end.
fn creating_the_bucket_again_is_no_failure(s: &Subject) {
    let create = Request::new("PUT", &format!("/{BUCKET}")).header("x-amz-acl", "private");
    let answer = s.send(create.header("x-amz-bucket-object-lock-enabled", "false").body(""));
    match answer.status {
        200 => {}
        409 => assert_eq!(answer.code(), "BucketAlreadyOwnedByYou", "{answer}"),
        _ => panic!("{answer}"),
    }
}

/// 27. `Enabled` has wal-g list versions; an error has it ask again before each listing.
fn versioning_is_an_empty_configuration(s: &Subject) {
    for query in ["versioning", "versioning="] {
        let text = s.get(&format!("/{BUCKET}?{query}")).expect(200).text();
        assert!(text.contains("<VersioningConfiguration") && !text.contains("<Status>Enabled"), "{text}");
    }
}

/// 28. Empty is us-east-1; restic and kopia stop at an error.
fn the_location_is_empty(s: &Subject) {
    for path in [format!("/{BUCKET}?location="), format!("/{BUCKET}/?location")] {
        let text = s.get(&path).expect(200).text();
        assert!(text.contains("<LocationConstraint"), "{text}");
        assert!(xml_values(&text, "LocationConstraint").iter().all(String::is_empty), "{text}");
    }
}
