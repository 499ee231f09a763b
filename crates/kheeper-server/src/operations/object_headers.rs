//! The headers of an object, on GET, HEAD and after a write.

use http::Response;
use http::header::{ACCEPT_RANGES, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED};
use kheeper_model::{Checksum, ChecksumKind, Timestamp};
use kheeper_s3::operation::{ResponseOverrides, tag_count};
use kheeper_store::ObjectMeta;

use crate::request::respond::{ResponseBody, set};

/// What S3 says of an object that was stored without a type.
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";
const STORAGE_CLASS: &str = "x-amz-storage-class";
const TAGGING: &str = "x-amz-tagging";

/// Sets what identifies the version: on every answer that speaks of it, 304 included.
pub(super) fn set_validators(response: &mut Response<ResponseBody>, meta: &ObjectMeta) {
    set(response, ETAG, &meta.etag.quoted());
    set(response, LAST_MODIFIED, &http_date(meta.last_modified));
}

/// Sets what is stored with the object, as the request wants it overridden.
pub(super) fn set_stored(response: &mut Response<ResponseBody>, meta: &ObjectMeta, overrides: &ResponseOverrides) {
    set_validators(response, meta);
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(DEFAULT_CONTENT_TYPE));
    for (name, value) in meta.headers.iter() {
        match name {
            // S3 names the class only where it is not the usual one.
            STORAGE_CLASS if value == "STANDARD" => {}
            TAGGING => {
                if let Ok(count @ 1..) = tag_count(value) {
                    set(response, HeaderName::from_static("x-amz-tagging-count"), &count.to_string());
                }
            }
            _ => match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => set(response, name, value),
                Err(_) => tracing::warn!(name, "a stored header has no valid name and was left out"),
            },
        }
    }
    for (name, value) in overrides.iter() {
        response.headers_mut().insert(name, value.clone());
    }
}

/// Sets a checksum with its type.
pub(super) fn set_checksum(response: &mut Response<ResponseBody>, checksum: &Checksum) {
    set(response, HeaderName::from_static(checksum.algorithm.header()), &checksum.value);
    let kind = match checksum.kind {
        ChecksumKind::FullObject => "FULL_OBJECT",
        ChecksumKind::Composite => "COMPOSITE",
    };
    response.headers_mut().insert("x-amz-checksum-type", HeaderValue::from_static(kind));
}

/// RFC 9110's date, which has no fractions of seconds.
fn http_date(time: Timestamp) -> String {
    httpdate::fmt_http_date(time.to_system_time())
}
