//! The one policy list: for each request header and query parameter, honour it, ignore it, or refuse it with 501.
//!
//! What changes the meaning of a request is honoured or refused, never dropped: a client that asks for encryption with
//! its own key, and gets 200 without it, has been lied to. Names that are not listed are refused when they begin with
//! `x-amz-` or `if-`, or when they look like a sub-resource (a parameter without a value), and are harmless otherwise.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use kheeper_model::limits::{HEADER_COUNT_MAX, HEADER_SECTION_BYTES_MAX};

use crate::operation::OperationKind::{self, *};
use crate::query::Query;
use crate::{S3Error, S3ErrorCode, signature};

/// What becomes of a header or parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// These operations read it, and on any other it means nothing.
    Honour(&'static [OperationKind]),
    /// These operations read it, and on any other it would mean something that we do not do: refused there.
    Only(&'static [OperationKind]),
    /// Harmless.
    Ignore,
    /// Harmless with one of these values (compared without regard to case), refused with any other.
    Values(&'static [&'static str]),
    /// Never honoured, so always refused.
    Refuse,
}

const READ: &[OperationKind] = &[GetObject, HeadObject];
const STORE: &[OperationKind] = &[PutObject, CopyObject, CreateMultipartUpload];
const READ_AND_COMMIT: &[OperationKind] = &[GetObject, HeadObject, PutObject, CopyObject, CompleteMultipartUpload];
const MATCH: &[OperationKind] = &[GetObject, HeadObject, PutObject, CopyObject, CompleteMultipartUpload, DeleteObject];
const COPY: &[OperationKind] = &[CopyObject, UploadPartCopy];
const PART_COPY: &[OperationKind] = &[UploadPartCopy];
const COPY_ONLY: &[OperationKind] = &[CopyObject];
const BODY: &[OperationKind] =
    &[PutObject, UploadPart, DeleteObjects, CreateBucket, CompleteMultipartUpload, PutObjectTagging];
const ATTRIBUTES: &[OperationKind] = &[GetObjectAttributes];
const COMPLETE: &[OperationKind] = &[CompleteMultipartUpload];
const CHECKSUM_CHOICE: &[OperationKind] = &[CreateMultipartUpload, CopyObject];
const CHECKSUM_KIND: &[OperationKind] = &[CreateMultipartUpload, CompleteMultipartUpload];

/// Request headers, in lower case.
pub const HEADER_POLICY: &[(&str, Policy)] = &[
    // Kept with the object.
    ("cache-control", Policy::Honour(STORE)),
    ("content-disposition", Policy::Honour(STORE)),
    ("content-encoding", Policy::Honour(STORE)),
    ("content-language", Policy::Honour(STORE)),
    ("content-type", Policy::Honour(STORE)),
    ("expires", Policy::Honour(STORE)),
    ("x-amz-storage-class", Policy::Honour(STORE)),
    ("x-amz-tagging", Policy::Only(STORE)),
    ("x-amz-website-redirect-location", Policy::Only(STORE)),
    // The body, and what it must hash to.
    ("content-length", Policy::Honour(BODY)),
    ("content-md5", Policy::Honour(BODY)),
    ("x-amz-content-sha256", Policy::Honour(BODY)),
    ("x-amz-decoded-content-length", Policy::Honour(BODY)),
    ("x-amz-trailer", Policy::Honour(BODY)),
    ("x-amz-checksum-crc32", Policy::Honour(BODY)),
    ("x-amz-checksum-crc32c", Policy::Honour(BODY)),
    ("x-amz-checksum-crc64nvme", Policy::Honour(BODY)),
    ("x-amz-checksum-sha1", Policy::Honour(BODY)),
    ("x-amz-checksum-sha256", Policy::Honour(BODY)),
    ("x-amz-checksum-algorithm", Policy::Honour(CHECKSUM_CHOICE)),
    ("x-amz-checksum-type", Policy::Honour(CHECKSUM_KIND)),
    ("x-amz-checksum-mode", Policy::Honour(READ)),
    ("x-amz-mp-object-size", Policy::Only(COMPLETE)),
    // A part of a resource is never written.
    ("content-range", Policy::Refuse),
    // Which bytes, and on what condition. RFC 9110 has If-Modified-Since ignored on everything but GET and HEAD.
    ("range", Policy::Honour(READ)),
    ("if-range", Policy::Honour(READ)),
    ("if-modified-since", Policy::Honour(READ)),
    ("if-unmodified-since", Policy::Only(READ)),
    ("if-match", Policy::Only(MATCH)),
    ("if-none-match", Policy::Only(READ_AND_COMMIT)),
    // What GetObjectAttributes shall say.
    ("x-amz-max-parts", Policy::Only(ATTRIBUTES)),
    ("x-amz-object-attributes", Policy::Only(ATTRIBUTES)),
    ("x-amz-part-number-marker", Policy::Only(ATTRIBUTES)),
    // Copies.
    ("x-amz-copy-source", Policy::Only(COPY)),
    ("x-amz-copy-source-if-match", Policy::Only(COPY)),
    ("x-amz-copy-source-if-modified-since", Policy::Only(COPY)),
    ("x-amz-copy-source-if-none-match", Policy::Only(COPY)),
    ("x-amz-copy-source-if-unmodified-since", Policy::Only(COPY)),
    ("x-amz-copy-source-range", Policy::Only(PART_COPY)),
    ("x-amz-metadata-directive", Policy::Honour(COPY_ONLY)),
    ("x-amz-tagging-directive", Policy::Honour(COPY_ONLY)),
    // Accepted where it asks for what is so anyway: one owner, who sees everything, disks that are ours, and nothing that
    // would have to be restored from an archive first.
    ("x-amz-acl", Policy::Values(&["private", "bucket-owner-full-control"])),
    ("x-amz-bucket-object-lock-enabled", Policy::Values(&["false"])),
    ("x-amz-object-ownership", Policy::Values(&["BucketOwnerEnforced"])),
    ("x-amz-optional-object-attributes", Policy::Values(&["RestoreStatus"])),
    ("x-amz-server-side-encryption", Policy::Values(&["AES256"])),
    // Signatures, which the proxy drops, and chatter.
    ("x-amz-date", Policy::Ignore),
    ("x-amz-region-set", Policy::Ignore),
    ("x-amz-request-payer", Policy::Ignore),
    ("x-amz-sdk-checksum-algorithm", Policy::Ignore),
    ("x-amz-security-token", Policy::Ignore),
    // What the SDK for Java would take behind a GET's body (`append-md5`). An answer that does not name it is a plain one.
    ("x-amz-te", Policy::Ignore),
    ("x-amz-user-agent", Policy::Ignore),
];

const UPLOADS: &[OperationKind] = &[ListMultipartUploads, CreateMultipartUpload];
const OF_UPLOAD: &[OperationKind] =
    &[UploadPart, UploadPartCopy, ListParts, CompleteMultipartUpload, AbortMultipartUpload];
const PARTS: &[OperationKind] = &[UploadPart, UploadPartCopy, GetObject, HeadObject];
const TAGGING: &[OperationKind] = &[GetObjectTagging, PutObjectTagging, DeleteObjectTagging];
const LIST: &[OperationKind] = &[ListObjectsV1, ListObjectsV2];
const LIST_KEYS: &[OperationKind] = &[ListObjectsV1, ListObjectsV2, ListMultipartUploads];
const LIST_PREFIX: &[OperationKind] = &[ListBuckets, ListObjectsV1, ListObjectsV2, ListMultipartUploads];
const LIST_TOKEN: &[OperationKind] = &[ListBuckets, ListObjectsV2];

/// Query parameters. Names are compared as they are: S3's are case-sensitive.
pub const QUERY_POLICY: &[(&str, Policy)] = &[
    // Sub-resources.
    ("attributes", Policy::Only(ATTRIBUTES)),
    ("delete", Policy::Only(&[DeleteObjects])),
    ("list-type", Policy::Only(LIST)),
    ("location", Policy::Only(&[GetBucketLocation])),
    ("partNumber", Policy::Only(PARTS)),
    ("tagging", Policy::Only(TAGGING)),
    ("uploadId", Policy::Only(OF_UPLOAD)),
    ("uploads", Policy::Only(UPLOADS)),
    ("versioning", Policy::Only(&[GetBucketVersioning])),
    // Listings.
    ("continuation-token", Policy::Honour(LIST_TOKEN)),
    ("delimiter", Policy::Honour(LIST_KEYS)),
    ("encoding-type", Policy::Honour(LIST_KEYS)),
    ("fetch-owner", Policy::Honour(&[ListObjectsV2])),
    ("key-marker", Policy::Honour(&[ListMultipartUploads])),
    ("marker", Policy::Honour(&[ListObjectsV1])),
    ("max-buckets", Policy::Honour(&[ListBuckets])),
    ("max-keys", Policy::Honour(LIST)),
    ("max-parts", Policy::Honour(&[ListParts])),
    ("max-uploads", Policy::Honour(&[ListMultipartUploads])),
    ("part-number-marker", Policy::Honour(&[ListParts])),
    ("prefix", Policy::Honour(LIST_PREFIX)),
    ("start-after", Policy::Honour(&[ListObjectsV2])),
    ("upload-id-marker", Policy::Honour(&[ListMultipartUploads])),
    // Headers of the answer.
    ("response-cache-control", Policy::Honour(READ)),
    ("response-content-disposition", Policy::Honour(READ)),
    ("response-content-encoding", Policy::Honour(READ)),
    ("response-content-language", Policy::Honour(READ)),
    ("response-content-type", Policy::Honour(READ)),
    ("response-expires", Policy::Honour(READ)),
    // No version, which is what some clients say by an empty one.
    ("versionId", Policy::Values(&[""])),
    // The SDKs' name of the operation.
    ("x-id", Policy::Ignore),
    // S3's other sub-resources, refused also where they come with a value.
    ("accelerate", Policy::Refuse),
    ("acl", Policy::Refuse),
    ("analytics", Policy::Refuse),
    ("bucket-region", Policy::Refuse),
    ("cors", Policy::Refuse),
    ("encryption", Policy::Refuse),
    ("intelligent-tiering", Policy::Refuse),
    ("inventory", Policy::Refuse),
    ("legal-hold", Policy::Refuse),
    ("lifecycle", Policy::Refuse),
    ("logging", Policy::Refuse),
    ("metadataConfiguration", Policy::Refuse),
    ("metadataTable", Policy::Refuse),
    ("metrics", Policy::Refuse),
    ("notification", Policy::Refuse),
    ("object-lock", Policy::Refuse),
    ("ownershipControls", Policy::Refuse),
    ("policy", Policy::Refuse),
    ("policyStatus", Policy::Refuse),
    ("publicAccessBlock", Policy::Refuse),
    ("renameObject", Policy::Refuse),
    ("replication", Policy::Refuse),
    ("requestPayment", Policy::Refuse),
    ("restore", Policy::Refuse),
    ("retention", Policy::Refuse),
    ("select", Policy::Refuse),
    ("select-type", Policy::Refuse),
    ("session", Policy::Refuse),
    ("torrent", Policy::Refuse),
    ("versions", Policy::Refuse),
    ("website", Policy::Refuse),
];

/// Refuses a head of more bytes or headers than any request needs: `RequestHeaderSectionTooLarge`. The target counts too.
pub fn check_section(target: &http::Uri, headers: &HeaderMap) -> Result<(), S3Error> {
    // As they came: `name: value` and the end of the line.
    let of_headers: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let of_target = target.path_and_query().map_or(0, |target| target.as_str().len());
    if of_target + of_headers > HEADER_SECTION_BYTES_MAX || headers.len() > HEADER_COUNT_MAX {
        return Err(S3Error::new(S3ErrorCode::RequestHeaderSectionTooLarge)
            .with_field("MaxSizeAllowed", HEADER_SECTION_BYTES_MAX));
    }
    Ok(())
}

/// The policy of a header, by its lower-case name.
pub fn header_policy(name: &str) -> Policy {
    if let Some((_, policy)) = HEADER_POLICY.iter().find(|(known, _)| *known == name) {
        return *policy;
    }
    if name.starts_with("x-amz-meta-") {
        return Policy::Honour(STORE);
    }
    if name.starts_with("x-amz-") || name.starts_with("if-") { Policy::Refuse } else { Policy::Ignore }
}

/// The policy of a query parameter. Those of `x-amz-…` count as the header of that name, and those of a signature as
/// nothing at all.
pub fn query_policy(name: &str, value: &str) -> Policy {
    if let Some((_, policy)) = QUERY_POLICY.iter().find(|(known, _)| *known == name) {
        return *policy;
    }
    if signature::is_query_parameter(name) {
        return Policy::Ignore;
    }
    if is_header_in_query(name) {
        return header_policy(&name.to_ascii_lowercase());
    }
    // A name alone is how S3 writes a sub-resource, and one that we do not know is not the object itself.
    if value.is_empty() { Policy::Refuse } else { Policy::Ignore }
}

/// Refuses what `operation` cannot honour; `NotImplemented`, naming it.
pub(crate) fn check(operation: OperationKind, query: &Query, headers: &HeaderMap) -> Result<(), S3Error> {
    for (name, value) in query.iter() {
        judge(query_policy(name, value), operation, value.as_bytes()).map_err(|()| refused("query parameter", name))?;
    }
    for (name, value) in headers {
        judge(header_policy(name.as_str()), operation, value.as_bytes())
            .map_err(|()| refused("header", name.as_str()))?;
    }
    Ok(())
}

fn judge(policy: Policy, operation: OperationKind, value: &[u8]) -> Result<(), ()> {
    let accepted = match policy {
        Policy::Honour(_) | Policy::Ignore => true,
        Policy::Only(operations) => operations.contains(&operation),
        Policy::Values(values) => values.iter().any(|known| value.eq_ignore_ascii_case(known.as_bytes())),
        Policy::Refuse => false,
    };
    if accepted { Ok(()) } else { Err(()) }
}

fn refused(what: &str, name: &str) -> S3Error {
    S3Error::new(S3ErrorCode::NotImplemented)
        .with_message(format!("A {what} you provided implies functionality that is not implemented: {name}"))
        .with_field("Header", name)
}

fn is_header_in_query(name: &str) -> bool {
    name.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-amz-")) && !signature::is_query_parameter(name)
}

/// The request's headers with those that a presigned URL carries in its query (`x-amz-…`, but for the signature).
///
/// `InvalidArgument` where both name a header and do not agree on its value.
pub fn effective_headers<'a>(query: &Query, headers: &'a HeaderMap) -> Result<Cow<'a, HeaderMap>, S3Error> {
    let mut effective = Cow::Borrowed(headers);
    for (name, value) in query.iter().filter(|(name, _)| is_header_in_query(name)) {
        let refuse = || S3Error::invalid_argument("The query parameter is no valid header.", name, value);
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| refuse())?;
        match headers.get(&header) {
            Some(other) if *other == value => {}
            Some(_) => return Err(refuse().with_message("The header and the query parameter differ.")),
            None => {
                effective.to_mut().append(header, value);
            }
        }
    }
    Ok(effective)
}

/// The one value of a header as text. `InvalidArgument` where it comes twice or is no UTF-8.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, S3Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(S3Error::invalid_argument("A header was given twice that may be given once.", name, ""));
    }
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| S3Error::invalid_argument("A header's value is not UTF-8.", name, ""))?;
    Ok(Some(text.trim()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_name_is_listed_once_and_headers_in_lower_case() {
        for list in [HEADER_POLICY, QUERY_POLICY] {
            let names: BTreeSet<&str> = list.iter().map(|(name, _)| *name).collect();
            assert_eq!(names.len(), list.len());
        }
        assert!(HEADER_POLICY.iter().all(|(name, _)| *name == name.to_ascii_lowercase()));
    }

    #[test]
    fn unknown_amz_and_conditional_headers_are_refused_and_others_harmless() {
        assert_eq!(header_policy("x-amz-write-offset-bytes"), Policy::Refuse);
        assert_eq!(header_policy("x-amz-checksum-xxhash3"), Policy::Refuse);
        assert_eq!(header_policy("if-whatever"), Policy::Refuse);
        assert_eq!(header_policy("x-amzn-trace-id"), Policy::Ignore);
        assert_eq!(header_policy("amz-sdk-invocation-id"), Policy::Ignore);
        assert_eq!(header_policy("x-amz-te"), Policy::Ignore);
        assert_eq!(header_policy("x-forwarded-for"), Policy::Ignore);
        assert_eq!(header_policy("x-amz-meta-mtime"), Policy::Honour(STORE));
    }

    #[test]
    fn an_unknown_sub_resource_is_refused_and_an_unknown_parameter_is_not() {
        assert_eq!(query_policy("fancy", ""), Policy::Refuse);
        assert_eq!(query_policy("utm_source", "x"), Policy::Ignore);
        assert_eq!(query_policy("X-Amz-Signature", "x"), Policy::Ignore);
        assert_eq!(query_policy("X-Amz-Write-Offset-Bytes", "1"), Policy::Refuse);
        assert_eq!(query_policy("acl", "x"), Policy::Refuse);
    }

    #[test]
    fn a_header_in_the_query_counts_as_that_header() {
        let query = Query::parse(Some("X-Amz-Storage-Class=STANDARD_IA&X-Amz-Signature=x")).expect("valid");
        let mut headers = HeaderMap::new();
        let effective = effective_headers(&query, &headers).expect("no conflict").into_owned();
        assert_eq!(effective.get("x-amz-storage-class").map(HeaderValue::as_bytes), Some(&b"STANDARD_IA"[..]));
        assert!(!effective.contains_key("x-amz-signature"));

        headers.insert("x-amz-storage-class", HeaderValue::from_static("STANDARD"));
        assert_eq!(effective_headers(&query, &headers).expect_err("conflict").code, S3ErrorCode::InvalidArgument);
    }

    #[test]
    fn a_query_cannot_smuggle_a_line_break_into_a_header() {
        let query = Query::parse(Some("x-amz-meta-a=1%0d%0aauthorization:x")).expect("valid");
        let error = effective_headers(&query, &HeaderMap::new()).expect_err("refused");
        assert_eq!(error.code, S3ErrorCode::InvalidArgument);
    }

    #[test]
    fn a_head_of_too_many_bytes_or_headers_is_refused() {
        let code = |path_bytes: usize, headers: &HeaderMap| {
            let target = format!("/{}", "p".repeat(path_bytes)).parse().expect("a target");
            check_section(&target, headers).err().map(|error| error.code)
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-filler", HeaderValue::from_str(&"x".repeat(60_000)).expect("a value"));
        assert_eq!(code(1000, &headers), None);
        assert_eq!(code(6000, &headers), Some(S3ErrorCode::RequestHeaderSectionTooLarge));
        headers.append("x-filler", HeaderValue::from_str(&"x".repeat(6000)).expect("a value"));
        assert_eq!(code(0, &headers), Some(S3ErrorCode::RequestHeaderSectionTooLarge), "each value counts");
        let mut headers = HeaderMap::new();
        for _ in 0..HEADER_COUNT_MAX {
            headers.append("x-a", HeaderValue::from_static("1"));
        }
        assert_eq!(code(0, &headers), None);
        headers.append("x-a", HeaderValue::from_static("1"));
        assert_eq!(code(0, &headers), Some(S3ErrorCode::RequestHeaderSectionTooLarge));
    }
}
