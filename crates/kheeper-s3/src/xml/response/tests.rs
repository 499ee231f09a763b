//! Each document as clients read it.

use http::{HeaderMap, Method};

use super::*;
use crate::Operation;

const ROOT: &str = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

fn body(xml: &Bytes) -> &str {
    let text = std::str::from_utf8(xml).expect("utf-8");
    text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("a declaration")
}

fn v2(query: &str) -> ListObjectsV2 {
    match Operation::parse(&Method::GET, "/myorg", Some(&format!("list-type=2&{query}")), &HeaderMap::new()) {
        Ok(Operation::ListObjectsV2(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn v1(query: &str) -> ListObjectsV1 {
    match Operation::parse(&Method::GET, "/myorg", Some(query), &HeaderMap::new()) {
        Ok(Operation::ListObjectsV1(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn object(key: &str) -> ObjectEntry {
    ObjectEntry {
        key: key.to_owned(),
        last_modified: Timestamp(1_700_000_000_120),
        etag: ETag::new("900150983cd24fb0d6963f7d28e17f72"),
        size: 3,
        storage_class: None,
        checksum: None,
    }
}

#[test]
fn a_last_page_has_is_truncated_and_no_token() {
    let page = ObjectPage { objects: vec![object("web-01/a")], ..ObjectPage::default() };
    assert_eq!(
        body(&list_objects_v2(&v2("prefix=web-01/&delimiter=/"), &page)),
        format!(
            "<ListBucketResult{ROOT}><Name>myorg</Name><Prefix>web-01/</Prefix><Delimiter>/</Delimiter>\
             <KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>\
             <Contents><Key>web-01/a</Key><LastModified>2023-11-14T22:13:20.120Z</LastModified>\
             <ETag>&quot;900150983cd24fb0d6963f7d28e17f72&quot;</ETag><Size>3</Size>\
             <StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"
        )
    );
}

#[test]
fn a_page_that_is_not_the_last_has_a_token_that_reads_back() {
    let page = ObjectPage {
        objects: vec![object("web-01/a")],
        common_prefixes: vec!["web-01/b/".to_owned()],
        next: Some(b"web-01/b/".to_vec()),
    };
    let xml = list_objects_v2(&v2("max-keys=2&fetch-owner=true&start-after=web"), &page);
    let xml = body(&xml);
    let token = xml.split("<NextContinuationToken>").nth(1).and_then(|rest| rest.split('<').next()).expect("a token");
    assert_eq!(v2(&format!("continuation-token={token}")).cursor.as_deref(), Some(&b"web-01/b/"[..]));
    for part in [
        "<IsTruncated>true</IsTruncated>",
        "<KeyCount>2</KeyCount>",
        "<StartAfter>web</StartAfter>",
        "<Owner><ID>myorg</ID><DisplayName>myorg</DisplayName></Owner>",
        "<CommonPrefixes><Prefix>web-01/b/</Prefix></CommonPrefixes>",
    ] {
        assert!(xml.contains(part), "{part} in {xml}");
    }
}

#[test]
fn url_encoding_is_echoed_and_applied_to_everything_but_the_token() {
    let page =
        ObjectPage { objects: vec![object("p /a+b\u{1}")], common_prefixes: vec!["p /é/".to_owned()], next: None };
    let xml = list_objects_v2(&v2("encoding-type=url&prefix=p+/&delimiter=%20&start-after=a%2Bb"), &page);
    let xml = body(&xml);
    for part in [
        "<EncodingType>url</EncodingType>",
        "<Prefix>p%20/</Prefix>",
        "<Delimiter>%20</Delimiter>",
        "<StartAfter>a%2Bb</StartAfter>",
        "<Key>p%20/a%2Bb%01</Key>",
        "<CommonPrefixes><Prefix>p%20/%C3%A9/</Prefix></CommonPrefixes>",
    ] {
        assert!(xml.contains(part), "{part} in {xml}");
    }
    let plain = list_objects_v2(&v2("prefix=p+/"), &page);
    assert!(!body(&plain).contains("EncodingType"));
    assert!(body(&plain).contains("<Key>p /a+b&#x1;</Key>"));
}

#[test]
fn a_version_1_marker_is_the_greater_of_last_key_and_last_prefix() {
    let page = |next: Option<&[u8]>| ObjectPage {
        objects: vec![object("a"), object("c")],
        common_prefixes: vec!["b/".to_owned(), "d/".to_owned()],
        next: next.map(<[u8]>::to_vec),
    };
    let xml = list_objects_v1(&v1("delimiter=/&marker=0"), &page(Some(b"d/")));
    assert!(body(&xml).contains("<Marker>0</Marker><NextMarker>d/</NextMarker><Delimiter>/</Delimiter>"), "{xml:?}");
    let last = list_objects_v1(&v1(""), &page(None));
    assert!(body(&last).contains("<Marker></Marker><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"));
    assert!(!body(&last).contains("NextMarker"));
}

#[test]
fn a_delete_result_names_each_key_unless_quiet() {
    let keys: Vec<ObjectKey> = ["a&b", "c"].iter().map(|key| key.parse().expect("valid")).collect();
    let error = S3Error::new(crate::S3ErrorCode::InternalError).with_message("no");
    let full = delete_result(&keys[..1], [(&keys[1], &error)], false);
    assert_eq!(
        body(&full),
        format!(
            "<DeleteResult{ROOT}><Deleted><Key>a&amp;b</Key></Deleted><Error><Key>c</Key><Code>InternalError</Code>\
             <Message>no</Message></Error></DeleteResult>"
        )
    );
    assert_eq!(body(&delete_result(&keys, [], true)), format!("<DeleteResult{ROOT}></DeleteResult>"));
}

#[test]
fn minio_go_needs_the_bucket_and_pgbackrest_the_etag_of_a_completed_upload() {
    let bucket = "myorg".parse().expect("valid");
    let key = "web-01/a".parse().expect("valid");
    let etag = ETag::new("3858f62230ac3c915f300c664312c11f-9");
    let xml = complete_multipart_upload(&bucket, &key, "/myorg/web-01/a", &etag, None);
    assert_eq!(
        body(&xml),
        format!(
            "<CompleteMultipartUploadResult{ROOT}><Location>/myorg/web-01/a</Location><Bucket>myorg</Bucket>\
             <Key>web-01/a</Key><ETag>&quot;3858f62230ac3c915f300c664312c11f-9&quot;</ETag>\
             </CompleteMultipartUploadResult>"
        )
    );
}

#[test]
fn wal_g_finds_the_location_and_no_versioning() {
    assert_eq!(body(&bucket_location()), format!("<LocationConstraint{ROOT}></LocationConstraint>"));
    assert_eq!(body(&bucket_versioning()), format!("<VersioningConfiguration{ROOT}></VersioningConfiguration>"));
}

#[test]
fn a_copy_names_etag_time_and_checksum() {
    let checksum =
        Checksum { algorithm: ChecksumAlgorithm::Crc32, kind: ChecksumKind::FullObject, value: "y/Q5Jg==".to_owned() };
    let xml = copy_object(&ETag::new("abc"), Timestamp(0), Some(&checksum));
    assert_eq!(
        body(&xml),
        format!(
            "<CopyObjectResult{ROOT}><LastModified>1970-01-01T00:00:00.000Z</LastModified><ETag>&quot;abc&quot;</ETag>\
             <ChecksumCRC32>y/Q5Jg==</ChecksumCRC32><ChecksumType>FULL_OBJECT</ChecksumType></CopyObjectResult>"
        )
    );
}

#[test]
fn uploads_and_parts_page_by_their_markers() {
    let upload: ContentId = "20261122-000102030405060708090a0b0c0d0e0f".parse().expect("valid");
    let list = |query: &str| match Operation::parse(&Method::GET, "/myorg", Some(query), &HeaderMap::new()) {
        Ok(Operation::ListMultipartUploads(request)) => request,
        other => panic!("{other:?}"),
    };
    let entry =
        UploadEntry { key: "b".to_owned(), upload, initiated: Timestamp(0), storage_class: None, checksum: None };
    let page = |prefix: &str| UploadPage {
        uploads: vec![entry.clone()],
        common_prefixes: vec![prefix.to_owned()],
        truncated: true,
    };
    let xml = list_multipart_uploads(&list("uploads"), &page("a/"));
    assert!(body(&xml).contains(&format!("<NextKeyMarker>b</NextKeyMarker><NextUploadIdMarker>{upload}<")), "{xml:?}");
    let xml = list_multipart_uploads(&list("uploads"), &page("c/"));
    assert!(body(&xml).contains("<NextKeyMarker>c/</NextKeyMarker><Prefix>"), "{xml:?}");

    let query = format!("uploadId={upload}&max-parts=1");
    let request = match Operation::parse(&Method::GET, "/myorg/web-01/a", Some(&query), &HeaderMap::new()) {
        Ok(Operation::ListParts(request)) => request,
        other => panic!("{other:?}"),
    };
    let part =
        PartEntry { part_number: 7, last_modified: Timestamp(0), etag: ETag::new("abc"), size: 5, checksum: None };
    let xml =
        list_parts(&request, &PartPage { parts: vec![part], truncated: true, storage_class: None, checksum: None });
    assert!(body(&xml).contains("<NextPartNumberMarker>7</NextPartNumberMarker><MaxParts>1</MaxParts>"), "{xml:?}");
}
