//! What each client really sends, and what must never be read as a plain GET or PUT.

use http::{HeaderName, HeaderValue};
use kheeper_model::{ChecksumAlgorithm, ChecksumKind};

use super::*;
use crate::condition::WritePrecondition;
use crate::range::RangeSpec;
use crate::xml::url::KeyEncoding;

const UPLOAD: &str = "20261122-000102030405060708090a0b0c0d0e0f";

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn parse_with(request: &str, pairs: &[(&'static str, &'static str)]) -> Result<Operation, S3Error> {
    let (method, uri) = request.split_once(' ').expect("METHOD path");
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let (path, query) = uri.split_once('?').map_or((uri, None), |(path, query)| (path, Some(query)));
    Operation::parse(&method, path, query, &headers(pairs))
}

fn parse(request: &str) -> Operation {
    parse_with(request, &[]).expect(request)
}

fn name(request: &str) -> &'static str {
    parse(request).name()
}

fn code(request: &str) -> S3ErrorCode {
    parse_with(request, &[]).expect_err(request).code
}

#[test]
fn every_operation_is_recognised_bare_with_an_equals_sign_and_with_x_id() {
    for (request, operation) in [
        ("GET /", "ListBuckets"),
        ("GET /?x-id=ListBuckets", "ListBuckets"),
        ("HEAD /myorg", "HeadBucket"),
        ("HEAD /myorg/", "HeadBucket"),
        ("PUT /myorg", "CreateBucket"),
        ("DELETE /myorg/", "DeleteBucket"),
        ("GET /myorg?location", "GetBucketLocation"),
        ("GET /myorg/?location=", "GetBucketLocation"),
        ("GET /myorg?versioning=", "GetBucketVersioning"),
        ("GET /myorg", "ListObjectsV1"),
        ("GET /myorg/?prefix=&max-keys=1000&delimiter=", "ListObjectsV1"),
        ("GET /myorg?list-type=2&prefix=web-01%2F", "ListObjectsV2"),
        ("GET /myorg?uploads=", "ListMultipartUploads"),
        ("POST /myorg?delete=", "DeleteObjects"),
        ("POST /myorg/?delete", "DeleteObjects"),
        ("GET /myorg/a?x-id=GetObject", "GetObject"),
        ("HEAD /myorg/a", "HeadObject"),
        ("PUT /myorg/a?x-id=PutObject", "PutObject"),
        ("DELETE /myorg/a?x-id=DeleteObject", "DeleteObject"),
        ("DELETE /myorg/a?versionId=", "DeleteObject"),
        ("GET /myorg/a?tagging", "GetObjectTagging"),
        ("GET /myorg/a?tagging=&x-id=GetObjectTagging", "GetObjectTagging"),
        ("PUT /myorg/a?tagging=", "PutObjectTagging"),
        ("DELETE /myorg/a?tagging", "DeleteObjectTagging"),
        ("GET /myorg/a?partNumber=1", "GetObject"),
        ("HEAD /myorg/a?partNumber=10000", "HeadObject"),
        ("POST /myorg/a?uploads=", "CreateMultipartUpload"),
        ("POST /myorg/a?uploads&x-id=CreateMultipartUpload", "CreateMultipartUpload"),
        (&format!("PUT /myorg/a?partNumber=1&uploadId={UPLOAD}&x-id=UploadPart"), "UploadPart"),
        (&format!("GET /myorg/a?uploadId={UPLOAD}"), "ListParts"),
        (&format!("POST /myorg/a?uploadId={UPLOAD}"), "CompleteMultipartUpload"),
        (&format!("DELETE /myorg/a?uploadId={UPLOAD}"), "AbortMultipartUpload"),
    ] {
        assert_eq!(name(request), operation, "{request}");
    }
    let attributes = [("x-amz-object-attributes", "ETag")];
    assert_eq!(parse_with("GET /myorg/a?attributes", &attributes).expect("valid").name(), "GetObjectAttributes");
    let copy = [("x-amz-copy-source", "myorg/b")];
    assert_eq!(parse_with("PUT /myorg/a", &copy).expect("valid").name(), "CopyObject");
    let part = format!("PUT /myorg/a?partNumber=1&uploadId={UPLOAD}");
    assert_eq!(parse_with(&part, &copy).expect("valid").name(), "UploadPartCopy");
}

#[test]
fn a_sub_resource_that_is_not_ours_is_never_a_plain_get_or_put() {
    let others = "accelerate acl analytics cors encryption intelligent-tiering inventory legal-hold lifecycle \
                  logging metrics notification object-lock ownershipControls policy policyStatus publicAccessBlock \
                  replication requestPayment restore retention select torrent versions website somethingNew";
    for sub_resource in others.split_whitespace() {
        for request in ["GET /myorg", "PUT /myorg", "DELETE /myorg", "GET /myorg/a", "PUT /myorg/a", "DELETE /myorg/a"]
        {
            for suffix in ["", "=", "&x-id=X"] {
                let request = format!("{request}?{sub_resource}{suffix}");
                assert_eq!(code(&request), S3ErrorCode::NotImplemented, "{request}");
            }
        }
        assert_eq!(code(&format!("GET /myorg/a?prefix=x&{sub_resource}")), S3ErrorCode::NotImplemented);
    }
    for request in [
        "GET /myorg/a?uploads",
        "PUT /myorg/a?uploads",
        "GET /myorg/a?location",
        "PUT /myorg?versioning",
        "PUT /myorg?location",
        "GET /myorg?delete",
        "GET /myorg?uploadId=x",
        "GET /myorg?uploads&location",
        "GET /myorg?tagging",
        "PUT /myorg?tagging",
        "DELETE /myorg?tagging",
        "GET /myorg?attributes",
        "PUT /myorg/a?attributes",
        "HEAD /myorg/a?attributes",
        "HEAD /myorg/a?tagging",
        "POST /myorg/a?tagging",
        "GET /myorg/a?uploadId=20261122-000102030405060708090a0b0c0d0e0f&tagging",
        "DELETE /myorg/a?partNumber=1",
        "HEAD /myorg/a?uploadId=x",
        "GET /myorg/a?versionId=abc",
        "GET /myorg/a?versionId=null",
        "DELETE /myorg/a?versionId=abc",
        "GET /myorg?acl=private",
        "POST /myorg/a?select&select-type=2",
        "POST /myorg/a",
        "POST /myorg",
    ] {
        assert_eq!(code(request), S3ErrorCode::NotImplemented, "{request}");
    }
}

#[test]
fn methods_that_s3_does_not_have_are_not_allowed() {
    for request in ["PUT /", "POST /", "OPTIONS /myorg", "PATCH /myorg/a", "TRACE /myorg/a", "HEAD /"] {
        assert_eq!(code(request), S3ErrorCode::MethodNotAllowed, "{request}");
    }
}

#[test]
fn headers_that_change_meaning_are_refused_where_they_are_not_honoured() {
    for (request, name, value) in [
        ("PUT /myorg/a", "x-amz-server-side-encryption", "aws:kms"),
        ("PUT /myorg/a", "x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("PUT /myorg/a", "x-amz-server-side-encryption-aws-kms-key-id", "x"),
        ("PUT /myorg/a", "x-amz-object-lock-mode", "COMPLIANCE"),
        ("PUT /myorg/a", "x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z"),
        ("PUT /myorg/a", "x-amz-acl", "public-read"),
        ("PUT /myorg/a", "x-amz-grant-read", "id=1"),
        ("PUT /myorg/a", "x-amz-write-offset-bytes", "5"),
        ("PUT /myorg/a", "x-amz-expected-bucket-owner", "123456789012"),
        ("PUT /myorg/a", "x-amz-checksum-xxhash3", "AAAA"),
        ("PUT /myorg/a", "content-range", "bytes 0-4/10"),
        ("PUT /myorg/a", "if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("PUT /myorg/a", "if-none-match", "\"abc\""),
        ("PUT /myorg", "x-amz-bucket-object-lock-enabled", "true"),
        ("DELETE /myorg/a", "if-match", "W/\"abc\""),
        ("DELETE /myorg/a", "if-none-match", "*"),
        ("DELETE /myorg/a", "x-amz-if-match-size", "1"),
        ("GET /myorg/a", "x-amz-object-attributes", "ETag"),
        ("PUT /myorg/a?tagging", "if-match", "\"abc\""),
        ("PUT /myorg/a?tagging", "x-amz-copy-source", "myorg/b"),
        ("GET /myorg", "x-amz-optional-object-attributes", "Something"),
        ("DELETE /myorg/a", "x-amz-bypass-governance-retention", "true"),
        ("DELETE /myorg/a", "x-amz-mfa", "x"),
        ("DELETE /myorg/a", "x-amz-copy-source", "myorg/b"),
        ("GET /myorg", "if-none-match", "*"),
        ("GET /myorg/a", "x-amz-server-side-encryption-customer-key", "x"),
    ] {
        let error = parse_with(request, &[(name, value)]).expect_err(name);
        assert_eq!(error.code, S3ErrorCode::NotImplemented, "{request} {name}");
    }
}

#[test]
fn headers_that_clients_send_and_mean_nothing_by_are_accepted() {
    let pairs = [
        ("x-amz-acl", "private"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-storage-class", "STANDARD"),
        ("x-amz-user-agent", "aws-sdk-js"),
        ("x-amzn-trace-id", "x"),
        ("amz-sdk-invocation-id", "x"),
        ("amz-sdk-request", "attempt=1; max=5"),
        ("expect", "100-continue"),
        ("accept-encoding", "gzip"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=x"),
    ];
    assert!(parse_with("PUT /myorg/a", &pairs).is_ok());
    assert!(parse_with("PUT /myorg", &[("x-amz-bucket-object-lock-enabled", "false")]).is_ok());
}

#[test]
fn restic_lists_with_an_empty_delimiter_and_means_none() {
    let request = "GET /myorg/?list-type=2&encoding-type=url&fetch-owner=true&prefix=web-01%2Fdata%2F&delimiter=";
    let Operation::ListObjectsV2(list) = parse(request) else { panic!("not a listing") };
    assert_eq!((list.prefix.as_str(), list.delimiter), ("web-01/data/", None));
    assert_eq!((list.encoding, list.fetch_owner, list.max_keys), (KeyEncoding::Url, true, 1000));
}

#[test]
fn listing_parameters_are_checked() {
    for request in [
        "GET /myorg?list-type=3",
        "GET /myorg?list-type=2&encoding-type=base64",
        "GET /myorg?list-type=2&max-keys=-1",
        "GET /myorg?list-type=2&continuation-token=%25%25",
        "GET /myorg?list-type=2&prefix=a&prefix=b",
        "GET /myorg?uploads&key-marker=a&upload-id-marker=x",
        "GET /myorg?max-keys=x",
    ] {
        assert_eq!(code(request), S3ErrorCode::InvalidArgument, "{request}");
    }
    let Operation::ListObjectsV2(list) = parse("GET /myorg?list-type=2&max-keys=5000&continuation-token=") else {
        panic!("not a listing")
    };
    assert_eq!((list.max_keys, list.cursor, list.continuation_token.as_deref()), (1000, None, Some("")));
}

#[test]
fn aws_cli_downloads_with_range_if_match_and_checksum_mode() {
    let pairs = [("range", "bytes=8388608-16777215"), ("if-match", "\"abc\""), ("x-amz-checksum-mode", "ENABLED")];
    let Operation::GetObject(get) = parse_with("GET /myorg/a", &pairs).expect("valid") else { panic!("not a GET") };
    assert_eq!(get.range, Some(RangeSpec::FromTo { first: 8_388_608, last: 16_777_215 }));
    assert!(get.wants_checksum && get.conditions.if_match.is_some());
}

#[test]
fn response_overrides_are_honoured_and_cannot_break_a_header() {
    let request =
        "GET /myorg/a?response-content-type=text%2Fplain&response-expires=Thu%2C+01+Dec+1994+16%3A00%3A00+GMT";
    let Operation::GetObject(get) = parse(request) else { panic!("not a GET") };
    let found: Vec<(&str, &[u8])> =
        get.overrides.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(found, [("content-type", &b"text/plain"[..]), ("expires", b"Thu, 01 Dec 1994 16:00:00 GMT")]);
    assert_eq!(code("GET /myorg/a?response-content-type=a%0d%0ab:c"), S3ErrorCode::InvalidArgument);
}

#[test]
fn a_presigned_put_is_read_like_one_with_headers() {
    let request = "PUT /myorg/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x&X-Amz-Date=y&X-Amz-Expires=900\
                   &X-Amz-SignedHeaders=host&x-id=PutObject&X-Amz-Signature=z&x-amz-storage-class=STANDARD_IA";
    let Operation::PutObject(put) = parse(request) else { panic!("not a PUT") };
    assert_eq!(put.headers.get("x-amz-storage-class"), Some("STANDARD_IA"));
    assert_eq!(code("PUT /myorg/a?X-Amz-Signature=z&x-amz-acl=public-read"), S3ErrorCode::NotImplemented);
    assert_eq!(code("PUT /myorg/a?X-Amz-Object-Lock-Mode=COMPLIANCE"), S3ErrorCode::NotImplemented);
    // A copy, also where its source stands in the query.
    assert_eq!(name("PUT /myorg/a?x-amz-copy-source=myorg%2Fb"), "CopyObject");
}

#[test]
fn rclone_sets_a_time_by_copying_onto_itself() {
    let replace = [
        ("x-amz-copy-source", "myorg/web-01/a%20b"),
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-mtime", "2"),
        ("content-type", "text/plain"),
    ];
    let Operation::CopyObject(copy) = parse_with("PUT /myorg/web-01/a%20b", &replace).expect("valid") else {
        panic!("not a copy")
    };
    assert_eq!(copy.metadata, Directive::Replace);
    let source = [
        ("x-amz-meta-mtime".to_owned(), "1".to_owned()),
        ("x-amz-tagging".to_owned(), "a=1".to_owned()),
        ("x-amz-storage-class".to_owned(), "STANDARD_IA".to_owned()),
    ];
    let headers = copy.headers_of_copy(&source.into_iter().collect());
    let found: Vec<(&str, &str)> = headers.iter().collect();
    assert_eq!(found, [("content-type", "text/plain"), ("x-amz-meta-mtime", "2"), ("x-amz-tagging", "a=1")]);

    let unchanged = parse_with("PUT /myorg/web-01/a%20b", &replace[..1]).expect_err("nothing changes");
    assert_eq!(unchanged.code, S3ErrorCode::InvalidRequest);
}

#[test]
fn a_copy_keeps_the_metadata_of_its_source_unless_told_otherwise() {
    let pairs = [("x-amz-copy-source", "/myorg/web-01/b"), ("x-amz-meta-ignored", "1"), ("content-type", "x/y")];
    let Operation::CopyObject(copy) = parse_with("PUT /myorg/web-01/a", &pairs).expect("valid") else {
        panic!("not a copy")
    };
    let source = [("content-type".to_owned(), "a/b".to_owned()), ("x-amz-meta-m".to_owned(), "1".to_owned())];
    let source = source.into_iter().collect();
    assert_eq!(copy.headers_of_copy(&source), source);
    let bad = parse_with("PUT /myorg/a", &[("x-amz-copy-source", "myorg/b"), ("x-amz-metadata-directive", "MERGE")]);
    assert_eq!(bad.expect_err("unknown").code, S3ErrorCode::InvalidArgument);
}

#[test]
fn a_conditional_put_carries_its_precondition() {
    let put = parse_with("PUT /myorg/a", &[("if-none-match", "*")]).expect("valid");
    let Operation::PutObject(put) = put else { panic!("not a PUT") };
    assert_eq!(put.precondition, WritePrecondition::Absent);
}

#[test]
fn part_numbers_run_from_1_to_10000_and_need_an_upload() {
    let part = |number: &str| format!("PUT /myorg/a?partNumber={number}&uploadId={UPLOAD}");
    for number in ["1", "10000"] {
        let Operation::UploadPart(upload) = parse(&part(number)) else { panic!("not a part") };
        assert_eq!(upload.part_number.to_string(), number);
        assert_eq!(upload.upload.to_string(), UPLOAD);
    }
    for number in ["0", "10001", "", "x", "-1", "+1", "1.0", "99999999999"] {
        assert_eq!(code(&part(number)), S3ErrorCode::InvalidArgument, "{number}");
    }
    assert_eq!(code("PUT /myorg/a?partNumber=1"), S3ErrorCode::InvalidArgument);
    assert_eq!(code(&format!("PUT /myorg/a?uploadId={UPLOAD}")), S3ErrorCode::InvalidArgument);
}

#[test]
fn a_part_of_an_object_is_asked_for_by_number_and_never_beside_a_range() {
    let Operation::GetObject(get) = parse("GET /myorg/a?partNumber=3") else { panic!("not a GET") };
    assert_eq!((get.part_number, get.range), (Some(3), None));
    for number in ["0", "10001", "", "x"] {
        assert_eq!(code(&format!("GET /myorg/a?partNumber={number}")), S3ErrorCode::InvalidArgument);
    }
    let both = parse_with("HEAD /myorg/a?partNumber=1", &[("range", "bytes=0-1")]);
    assert_eq!(both.expect_err("both").code, S3ErrorCode::InvalidRequest);
}

#[test]
fn an_upload_id_that_cannot_be_names_no_upload() {
    for request in [
        "GET /myorg/a?uploadId=x",
        "DELETE /myorg/a?uploadId=..%2F..",
        "POST /myorg/a?uploadId=",
        "PUT /myorg/a?partNumber=1&uploadId=x",
    ] {
        assert_eq!(code(request), S3ErrorCode::NoSuchUpload, "{request}");
    }
}

#[test]
fn an_upload_chooses_its_checksum_by_the_tables_of_the_user_guide() {
    use ChecksumAlgorithm::{Crc32, Crc64nvme, Sha256};
    let create = |pairs: &[(&'static str, &'static str)]| {
        let operation = parse_with("POST /myorg/a?uploads", pairs).map_err(|error| error.code)?;
        let Operation::CreateMultipartUpload(create) = operation else { panic!("not a create") };
        Ok(create.checksum.map(|checksum| (checksum.algorithm, checksum.kind)))
    };
    let algorithm = "x-amz-checksum-algorithm";
    let kind = "x-amz-checksum-type";
    assert_eq!(create(&[]), Ok(None));
    assert_eq!(create(&[(algorithm, "CRC32")]), Ok(Some((Crc32, ChecksumKind::Composite))));
    assert_eq!(create(&[(algorithm, "CRC32"), (kind, "FULL_OBJECT")]), Ok(Some((Crc32, ChecksumKind::FullObject))));
    assert_eq!(create(&[(algorithm, "CRC64NVME")]), Ok(Some((Crc64nvme, ChecksumKind::FullObject))));
    assert_eq!(create(&[(algorithm, "SHA256")]), Ok(Some((Sha256, ChecksumKind::Composite))));
    assert_eq!(create(&[(algorithm, "SHA256"), (kind, "FULL_OBJECT")]), Err(S3ErrorCode::InvalidRequest));
    assert_eq!(create(&[(algorithm, "CRC64NVME"), (kind, "COMPOSITE")]), Err(S3ErrorCode::InvalidRequest));
    assert_eq!(create(&[(kind, "FULL_OBJECT")]), Err(S3ErrorCode::InvalidRequest));
    assert_eq!(create(&[(algorithm, "XXHASH3")]), Err(S3ErrorCode::NotImplemented));
}

#[test]
fn a_complete_reads_the_objects_checksum_and_size() {
    let request = format!("POST /myorg/a?uploadId={UPLOAD}");
    let pairs = [
        ("x-amz-checksum-crc64nvme", "AQIDBAUGBwg="),
        ("x-amz-checksum-type", "FULL_OBJECT"),
        ("x-amz-mp-object-size", "12"),
        ("if-none-match", "*"),
    ];
    let Operation::CompleteMultipartUpload(complete) = parse_with(&request, &pairs).expect("valid") else {
        panic!("not a complete")
    };
    assert_eq!(complete.object_checksum.map(|checksum| checksum.kind), Some(ChecksumKind::FullObject));
    assert_eq!((complete.checksum_kind, complete.object_size), (Some(ChecksumKind::FullObject), Some(12)));
    assert_eq!(complete.precondition, WritePrecondition::Absent);

    let composite = parse_with(&request, &[("x-amz-checksum-crc32", "y/Q5Jg==-3")]).expect("valid");
    let Operation::CompleteMultipartUpload(complete) = composite else { panic!("not a complete") };
    assert_eq!(complete.object_checksum.map(|checksum| checksum.kind), Some(ChecksumKind::Composite));
    assert!(parse_with(&request, &[("x-amz-checksum-crc32", "y/Q5Jg==-x")]).is_err());
}

#[test]
fn every_kind_is_named_once_and_has_a_class() {
    let names: std::collections::BTreeSet<&str> = OperationKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), OperationKind::ALL.len());
    assert_eq!(parse("POST /myorg?delete").class(), OperationClass::Delete);
    assert_eq!(parse("GET /myorg").class(), OperationClass::List);
    assert_eq!(parse("HEAD /myorg/a").class(), OperationClass::Read);
    assert_eq!(parse("PUT /myorg/a").class(), OperationClass::Write);
}
