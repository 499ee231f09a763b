//! The headers of a request that are kept with the object.

use http::HeaderMap;
use kheeper_model::ObjectHeaders;
use kheeper_model::limits::OBJECT_HEADERS_BYTES_MAX;

use crate::header::single;
use crate::tags::Tags;
use crate::{S3Error, S3ErrorCode};

pub(super) const STORAGE_CLASS: &str = "x-amz-storage-class";
pub(super) const TAGGING: &str = "x-amz-tagging";
const USER_METADATA: &str = "x-amz-meta-";

/// Kept as they are, given once.
const SINGLE: [&str; 4] = ["content-disposition", "content-type", "expires", "x-amz-website-redirect-location"];
/// Kept as lists, given any number of times.
const LISTS: [&str; 2] = ["cache-control", "content-language"];

const STORAGE_CLASSES: [&str; 12] = [
    "STANDARD",
    "DEEP_ARCHIVE",
    "EXPRESS_ONEZONE",
    "FSX_OPENZFS",
    "GLACIER",
    "GLACIER_IR",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "OUTPOSTS",
    "REDUCED_REDUNDANCY",
    "SNOW",
    "STANDARD_IA",
];

/// Reads what is kept with the object. `aws-chunked` is not: it was never the object's encoding. Neither is the storage
/// class `STANDARD`, which S3 never gives back.
pub(super) fn stored_headers(headers: &HeaderMap) -> Result<ObjectHeaders, S3Error> {
    let mut stored = ObjectHeaders::new();
    for name in SINGLE {
        if let Some(value) = single(headers, name)?.filter(|value| !value.is_empty()) {
            stored.insert(name, value);
        }
    }
    for name in LISTS {
        if let Some(value) = joined(headers, name)? {
            stored.insert(name, value);
        }
    }
    if let Some(encoding) = joined(headers, "content-encoding")?.as_deref().and_then(content_encoding) {
        stored.insert("content-encoding", encoding);
    }
    if let Some(class) = storage_class(headers)? {
        stored.insert(STORAGE_CLASS, class);
    }
    for name in headers.keys().filter(|name| name.as_str().starts_with(USER_METADATA)) {
        stored.insert(name.as_str(), joined(headers, name.as_str())?.unwrap_or_default());
    }
    check_size(&stored)?;
    // Tags have limits of their own.
    if let Some(tagging) = single(headers, TAGGING)?.map(Tags::parse_form).transpose()?.and_then(|tags| tags.to_form())
    {
        stored.insert(TAGGING, tagging);
    }
    Ok(stored)
}

fn joined(headers: &HeaderMap, name: &str) -> Result<Option<String>, S3Error> {
    let mut values = Vec::new();
    for value in headers.get_all(name) {
        let text = std::str::from_utf8(value.as_bytes())
            .map_err(|_| S3Error::invalid_argument("A header's value is not UTF-8.", name, ""))?;
        values.push(text.trim());
    }
    Ok(if values.is_empty() { None } else { Some(values.join(",")) })
}

fn content_encoding(header: &str) -> Option<String> {
    let codings: Vec<&str> = header
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    if codings.is_empty() { None } else { Some(codings.join(",")) }
}

fn storage_class(headers: &HeaderMap) -> Result<Option<&str>, S3Error> {
    match single(headers, STORAGE_CLASS)? {
        None | Some("" | "STANDARD") => Ok(None),
        Some(class) if STORAGE_CLASSES.contains(&class) => Ok(Some(class)),
        Some(class) => Err(S3Error::new(S3ErrorCode::InvalidStorageClass).with_field("StorageClassRequested", class)),
    }
}

fn check_size(stored: &ObjectHeaders) -> Result<(), S3Error> {
    let bytes: usize = stored.iter().map(|(name, value)| name.len() + value.len()).sum();
    if !stored.user_metadata_fits() || bytes > OBJECT_HEADERS_BYTES_MAX {
        return Err(S3Error::new(S3ErrorCode::MetadataTooLarge)
            .with_field("MaxSizeAllowed", kheeper_model::limits::USER_METADATA_BYTES_MAX));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn stored(pairs: &[(&'static str, &str)]) -> Result<Vec<(String, String)>, S3ErrorCode> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).expect("valid"));
        }
        let stored = stored_headers(&headers).map_err(|error| error.code)?;
        Ok(stored.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn one(name: &str, value: &str) -> Result<Vec<(String, String)>, S3ErrorCode> {
        Ok(vec![(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn aws_chunked_is_never_the_objects_encoding() {
        assert_eq!(stored(&[("content-encoding", "aws-chunked")]), Ok(vec![]));
        assert_eq!(stored(&[("content-encoding", "aws-chunked,gzip")]), one("content-encoding", "gzip"));
        assert_eq!(stored(&[("content-encoding", "gzip, AWS-Chunked")]), one("content-encoding", "gzip"));
        let twice = [("content-encoding", "gzip"), ("content-encoding", "aws-chunked")];
        assert_eq!(stored(&twice), one("content-encoding", "gzip"));
    }

    #[test]
    fn user_metadata_is_kept_as_it_came_and_repeated_names_are_joined() {
        assert_eq!(stored(&[("x-amz-meta-mtime", "1.5")]), one("x-amz-meta-mtime", "1.5"));
        assert_eq!(stored(&[("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")]), one("x-amz-meta-a", "1,2"));
        assert_eq!(stored(&[("x-amz-meta-empty", "")]), one("x-amz-meta-empty", ""));
        assert_eq!(stored(&[("x-amz-meta-name", "Müller")]), one("x-amz-meta-name", "Müller"));
    }

    #[test]
    fn metadata_over_2_kib_is_refused() {
        assert!(stored(&[("x-amz-meta-a", &"v".repeat(2047))]).is_ok());
        assert_eq!(stored(&[("x-amz-meta-a", &"v".repeat(2048))]), Err(S3ErrorCode::MetadataTooLarge));
        assert_eq!(stored(&[("cache-control", &"v".repeat(9000))]), Err(S3ErrorCode::MetadataTooLarge));
    }

    #[test]
    fn the_standard_storage_class_is_not_kept_and_unknown_ones_are_refused() {
        assert_eq!(stored(&[("x-amz-storage-class", "STANDARD")]), Ok(vec![]));
        assert_eq!(stored(&[("x-amz-storage-class", "STANDARD_IA")]), one("x-amz-storage-class", "STANDARD_IA"));
        assert_eq!(stored(&[("x-amz-storage-class", "CHEAP")]), Err(S3ErrorCode::InvalidStorageClass));
    }

    #[test]
    fn tags_are_kept_in_one_form_and_bad_ones_refused() {
        assert_eq!(stored(&[("x-amz-tagging", "a=b+c&d")]), one("x-amz-tagging", "a=b%20c&d="));
        assert_eq!(stored(&[("x-amz-tagging", "")]), Ok(vec![]));
        assert_eq!(stored(&[("x-amz-tagging", "a=1&a=2")]), Err(S3ErrorCode::InvalidTag));
        let large = format!("{}={}", "é".repeat(128), "%C3%A9".repeat(256));
        assert!(stored(&[("x-amz-tagging", &large)]).is_ok());
    }

    #[test]
    fn a_content_type_given_twice_is_refused() {
        let twice = [("content-type", "a/b"), ("content-type", "c/d")];
        assert_eq!(stored(&twice), Err(S3ErrorCode::InvalidArgument));
    }
}
