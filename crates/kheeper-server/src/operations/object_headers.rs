//! The headers of an object, on GET, HEAD and after a write.

use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED};
use http::{Response, StatusCode};
use kheeper_model::{Checksum, ChecksumAlgorithm, ChecksumKind, Crc64Nvme, Timestamp};
use kheeper_s3::operation::ResponseOverrides;
use kheeper_s3::range::content_range;
use kheeper_s3::xml::response::checksum_type;
use kheeper_store::ObjectMeta;

use super::read_span::Span;
use super::tagging::{TAGGING, stored_tags};
use crate::request::respond::{ResponseBody, set, set_length};

/// What S3 says of an object that was stored without a type.
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";
/// Under which of the stored headers the storage class is kept.
pub(super) const STORAGE_CLASS: &str = "x-amz-storage-class";

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
                if let Ok(tags) = stored_tags(&meta.headers)
                    && !tags.is_empty()
                {
                    set(response, HeaderName::from_static("x-amz-tagging-count"), &tags.len().to_string());
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

/// Sets which bytes the answer is about, and the checksum where they are all of them: on a part clients would hold it
/// against the whole object's.
pub(super) fn set_span(
    response: &mut Response<ResponseBody>,
    meta: &ObjectMeta,
    span: &Span,
    checksum: Option<&Checksum>,
) {
    let bytes = span.bytes(meta);
    set_length(response, bytes.end - bytes.start);
    match span {
        Span::Some(range) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(response, CONTENT_RANGE, &content_range(range, meta.bytes));
        }
        Span::Whole => {
            if let Some(checksum) = checksum {
                set_checksum(response, checksum);
            }
        }
    }
}

/// Says how many parts the object has, which S3 says only to those who ask for one.
pub(super) fn set_parts_count(response: &mut Response<ResponseBody>, meta: &ObjectMeta) {
    if let Some(count) = meta.part_count {
        set(response, HeaderName::from_static("x-amz-mp-parts-count"), &count.to_string());
    }
}

/// The checksum of bytes that were written: the client's, or the one that all bytes have.
pub(super) fn checksum_or_crc64nvme(checksum: Option<Checksum>, crc64nvme: Crc64Nvme) -> Checksum {
    let (algorithm, kind) = (ChecksumAlgorithm::Crc64nvme, ChecksumKind::FullObject);
    checksum.unwrap_or_else(|| Checksum { algorithm, kind, value: crc64nvme.to_base64() })
}

/// Sets a checksum with its type.
pub(super) fn set_checksum(response: &mut Response<ResponseBody>, checksum: &Checksum) {
    set(response, HeaderName::from_static(checksum.algorithm.header()), &checksum.value);
    response.headers_mut().insert("x-amz-checksum-type", HeaderValue::from_static(checksum_type(checksum.kind)));
}

/// RFC 9110's date, which has no fractions of seconds.
pub(super) fn http_date(time: Timestamp) -> String {
    httpdate::fmt_http_date(time.to_system_time())
}
