//! `x-amz-copy-source`: what a copy reads from.

use http::HeaderMap;
use kheeper_model::{ObjectKey, OrgName};

use crate::path::{decode, parse_bucket, parse_key};
use crate::{S3Error, S3ErrorCode};

/// The object that a copy reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Its bucket.
    pub bucket: OrgName,
    /// Its key.
    pub key: ObjectKey,
}

impl CopySource {
    /// What the header names, whatever else is wrong with the request: a version of it is that key, too.
    pub fn named(headers: &HeaderMap) -> Option<Self> {
        let header = headers.get("x-amz-copy-source")?.to_str().ok()?;
        Self::parse(header.rsplit_once("?versionId=").map_or(header, |(path, _)| path)).ok()
    }

    /// Parses `bucket/key` or `/bucket/key`, percent-encoded as a whole or in part, with an empty `?versionId=` or none.
    ///
    /// It is decoded once and then split at its first `/`, since some clients encode that one too; no bucket's name
    /// holds a slash, so the two readings cannot differ. `+` is a plus.
    pub(crate) fn parse(header: &str) -> Result<Self, S3Error> {
        let refuse = |message: &'static str| S3Error::invalid_argument(message, "x-amz-copy-source", header);
        let (path, version) = match header.rsplit_once("?versionId=") {
            Some((path, version)) => (path, version),
            None => (header, ""),
        };
        if !version.is_empty() {
            return Err(S3Error::not_implemented("x-amz-copy-source with a versionId"));
        }
        if path.starts_with("arn:") {
            return Err(S3Error::not_implemented("x-amz-copy-source with an access point"));
        }
        let path =
            decode(path).map_err(|_| refuse("Copy Source must mention the source bucket and key, URL-encoded"))?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = path
            .split_once('/')
            .ok_or_else(|| refuse("Copy Source must mention the source bucket and key: sourcebucket/sourcekey"))?;
        let bucket = parse_bucket(bucket).map_err(|_| refuse("Invalid copy source bucket name"))?;
        let key = parse_key(key.to_owned()).map_err(|error| match error.code {
            S3ErrorCode::KeyTooLongError => error,
            _ => refuse("Invalid copy source object key"),
        })?;
        Ok(Self { bucket, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_clients_write_it_means_the_same() {
        for header in [
            "myorg/web-01/a b",
            "/myorg/web-01/a%20b",
            "myorg/web-01%2Fa%20b",
            "myorg%2Fweb-01%2fa%20b",
            "%2Fmyorg/web-01/a%20b",
            "myorg/web-01/a%20b?versionId=",
        ] {
            let source = CopySource::parse(header).expect(header);
            assert_eq!((source.bucket.as_str(), source.key.as_str()), ("myorg", "web-01/a b"), "{header}");
        }
    }

    #[test]
    fn it_is_decoded_once_and_never_normalised() {
        for (header, key) in [
            ("myorg/web-01/a+b%2B", "web-01/a+b+"),
            ("myorg/web-01/%252e", "web-01/%2e"),
            ("myorg/web-01/../web-02/x", "web-01/../web-02/x"),
            ("myorg//web-01", "/web-01"),
            ("myorg/a%3FversionId=1", "a?versionId=1"),
        ] {
            assert_eq!(CopySource::parse(header).expect(header).key.as_str(), key);
        }
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for header in ["", "/", "myorg", "myorg/", "/myorg/", "-/x", "my_org/x", "myorg/%FF", "myorg/%0", "myorg/a%00"]
        {
            assert_eq!(CopySource::parse(header).expect_err(header).code, S3ErrorCode::InvalidArgument, "{header}");
        }
        let too_long = format!("myorg/{}", "a".repeat(1025));
        assert_eq!(CopySource::parse(&too_long).expect_err("long").code, S3ErrorCode::KeyTooLongError);
    }

    #[test]
    fn a_version_or_an_access_point_is_not_implemented() {
        for header in ["myorg/a?versionId=abc", "arn:aws:s3:us-west-2:123456789012:accesspoint/x/object/y"] {
            assert_eq!(CopySource::parse(header).expect_err(header).code, S3ErrorCode::NotImplemented, "{header}");
        }
    }
}
