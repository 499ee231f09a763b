//! The path of a request: which bucket, which key.
//!
//! The raw path is split at its first `/` and each side is decoded once. What comes out is the very key that is
//! authorized and stored: `+` is a plus, `//`, `.` and `..` are what they are, and nothing is normalised.

use kheeper_model::{ObjectKey, ObjectKeyError, OrgName};
use percent_encoding::percent_decode_str;

use crate::{S3Error, S3ErrorCode};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/`: the service itself.
    Service,
    /// `/bucket` or `/bucket/`.
    Bucket {
        /// Its name.
        name: OrgName,
    },
    /// `/bucket/key`.
    Object {
        /// The bucket's name.
        bucket: OrgName,
        /// The key, decoded once.
        key: ObjectKey,
    },
}

/// Parses the path of a request as it stood on the wire.
///
/// `InvalidURI` when it cannot be decoded, `AccessDenied` when no bucket can have the name, `KeyTooLongError` for
/// keys of more than 1024 bytes.
pub fn parse_path(raw_path: &str) -> Result<Target, S3Error> {
    let Some(path) = raw_path.strip_prefix('/') else {
        return Err(S3Error::new(S3ErrorCode::InvalidURI));
    };
    if path.is_empty() {
        return Ok(Target::Service);
    }
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let bucket = parse_bucket(&decode(bucket)?)?;
    if key.is_empty() {
        return Ok(Target::Bucket { name: bucket });
    }
    Ok(Target::Object { bucket, key: parse_key(decode(key)?)? })
}

/// Decodes percent escapes once, strictly: a `%` that begins no escape, bytes that are no UTF-8, and NUL are refused.
pub(crate) fn decode(raw: &str) -> Result<String, S3Error> {
    let refuse = |why: &'static str| S3Error::new(S3ErrorCode::InvalidURI).with_message(why);
    if !escapes_are_whole(raw.as_bytes()) {
        return Err(refuse("Couldn't parse the specified URI: a '%' is not followed by two hexadecimal digits."));
    }
    let text = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| refuse("Couldn't parse the specified URI: it does not decode to UTF-8."))?;
    if text.contains('\0') {
        return Err(refuse("Couldn't parse the specified URI: it holds a NUL character."));
    }
    Ok(text.into_owned())
}

fn escapes_are_whole(raw: &[u8]) -> bool {
    raw.iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'%')
        .all(|(at, _)| matches!(raw.get(at + 1..at + 3), Some(digits) if digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Parses a bucket's name, already decoded. One that nothing can be called is answered like one that is somebody else's.
pub(crate) fn parse_bucket(name: &str) -> Result<OrgName, S3Error> {
    name.parse().map_err(|why| {
        S3Error::new(S3ErrorCode::AccessDenied)
            .with_message(format!("Access Denied: no bucket can have this name: {why}."))
            .with_field("BucketName", name)
    })
}

/// Parses a key, already decoded.
pub(crate) fn parse_key(key: String) -> Result<ObjectKey, S3Error> {
    if key.contains('\0') {
        return Err(S3Error::new(S3ErrorCode::InvalidArgument).with_message("A key may not hold a NUL character."));
    }
    ObjectKey::try_from(key).map_err(|why| match why {
        ObjectKeyError::Empty => S3Error::new(S3ErrorCode::InvalidArgument).with_message("The key is empty."),
        ObjectKeyError::TooLong(bytes) => S3Error::new(S3ErrorCode::KeyTooLongError)
            .with_field("Size", bytes)
            .with_field("MaxSizeAllowed", kheeper_model::limits::KEY_BYTES_MAX),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key_of(raw_path: &str) -> String {
        match parse_path(raw_path) {
            Ok(Target::Object { bucket, key }) => {
                assert_eq!(bucket.as_str(), "myorg");
                key.into()
            }
            other => panic!("{raw_path}: {other:?}"),
        }
    }

    fn code_of(raw_path: &str) -> S3ErrorCode {
        parse_path(raw_path).expect_err(raw_path).code
    }

    #[test]
    fn a_bucket_is_the_same_with_and_without_its_slash() {
        let bucket = Target::Bucket { name: "myorg".parse().expect("valid") };
        assert_eq!(parse_path("/myorg"), Ok(bucket.clone()));
        assert_eq!(parse_path("/myorg/"), Ok(bucket));
        assert_eq!(parse_path("/"), Ok(Target::Service));
    }

    #[test]
    fn keys_are_decoded_once_and_never_normalised() {
        for (raw, key) in [
            ("/myorg/web-01/a", "web-01/a"),
            ("/myorg/a+b%2Bc%20d", "a+b+c d"),
            ("/myorg//a", "/a"),
            ("/myorg/a//b/", "a//b/"),
            ("/myorg/../other/x", "../other/x"),
            ("/myorg/./a", "./a"),
            ("/myorg/%2e%2e%2fx", "../x"),
            ("/myorg/%252e", "%2e"),
            ("/myorg/a%2Fb", "a/b"),
            ("/myorg/a%5cb", "a\\b"),
            ("/myorg/wal_005/000000010000000000000001.", "wal_005/000000010000000000000001."),
            ("/myorg/e%CC%81", "e\u{301}"),
            ("/myorg/%C3%A9", "\u{e9}"),
            ("/myorg/a%01b", "a\u{1}b"),
        ] {
            assert_eq!(key_of(raw), key, "{raw}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for raw in ["", "*", "myorg", "/myorg/%FF", "/myorg/%", "/myorg/%4", "/myorg/%zz", "/myorg/a%00b", "/%FF/a"] {
            assert_eq!(code_of(raw), S3ErrorCode::InvalidURI, "{raw}");
        }
    }

    #[test]
    fn what_no_bucket_can_be_named_is_nobodys() {
        for raw in ["/-/api", "//a", "/my_org/a", "/MyOrg", "/my%2Forg/a", "/ab/x"] {
            assert_eq!(code_of(raw), S3ErrorCode::AccessDenied, "{raw}");
        }
    }

    #[test]
    fn a_key_of_1025_bytes_is_refused_by_its_decoded_length() {
        assert_eq!(key_of(&format!("/myorg/{}", "%61".repeat(1024))), "a".repeat(1024));
        assert_eq!(code_of(&format!("/myorg/{}", "a".repeat(1025))), S3ErrorCode::KeyTooLongError);
    }

    proptest! {
        #[test]
        fn every_key_survives_its_own_encoding(key in "[^\0]{1,200}") {
            let raw = format!("/myorg/{}", percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC));
            prop_assert_eq!(key_of(&raw), key);
        }

        #[test]
        fn no_path_panics(raw in "\\PC{0,100}|/myorg/[%a-f0-9/.+]{0,60}") {
            let _ = parse_path(&raw);
        }
    }
}
