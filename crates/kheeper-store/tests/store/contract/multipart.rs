//! Multipart uploads.

use bytes::Bytes;
use kheeper_model::limits::OPEN_UPLOADS_MAX;
use kheeper_model::{AttemptId, ContentId, ObjectHeaders};
use kheeper_store::{
    CompletePart, CompleteRequest, NewPart, NewUpload, Precondition, StoreError, UploadEntry, UploadQuery, Written,
};

use crate::fixture::{Host, fixture, integrity, key, payload};

const PART: usize = 5 << 20;

async fn create(host: &Host, name: &str) -> ContentId {
    let mut headers = ObjectHeaders::new();
    headers.insert("content-type", "application/x-tar");
    let upload = NewUpload { key: key(name), attempt: AttemptId::random(), headers, checksum: None };
    host.store.create_upload(upload).await.unwrap()
}

async fn part(host: &Host, name: &str, upload: ContentId, number: u32, bytes: &[u8]) -> CompletePart {
    let written = try_part(host, name, upload, number, bytes).await.unwrap();
    CompletePart { number, etag: written.etag, checksums: Vec::new() }
}

async fn try_part(
    host: &Host,
    name: &str,
    upload: ContentId,
    number: u32,
    bytes: &[u8],
) -> Result<Written, StoreError> {
    let (attempt, length) = (AttemptId::random(), Some(bytes.len() as u64));
    let part = NewPart { key: key(name), upload, number, attempt, length };
    let mut writer = host.store.begin_part(part).await?;
    writer.write(Bytes::copy_from_slice(bytes)).await?;
    writer.commit(integrity(bytes)).await
}

fn complete(name: &str, upload: ContentId, parts: &[CompletePart]) -> CompleteRequest {
    CompleteRequest {
        key: key(name),
        upload,
        parts: parts.to_vec(),
        attempt: AttemptId::random(),
        object_bytes: None,
        checksum: None,
        checksum_kind: None,
        precondition: Precondition::NONE,
    }
}

#[tokio::test]
async fn parts_become_one_object_in_the_listed_order() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let upload = create(&host, "web-01/big").await;
    let bytes = payload(2 * PART + 77);
    // Out of order, one sent twice, one never listed.
    let third = part(&host, "web-01/big", upload, 7, &bytes[2 * PART..]).await;
    part(&host, "web-01/big", upload, 1, b"replaced").await;
    let first = part(&host, "web-01/big", upload, 1, &bytes[..PART]).await;
    let second = part(&host, "web-01/big", upload, 2, &bytes[PART..2 * PART]).await;
    part(&host, "web-01/big", upload, 9, b"unlisted").await;
    let before = fixture.store.host(host.store.namespace()).await.unwrap().unwrap();
    assert_eq!((before.objects, before.uploading_bytes), (0, bytes.len() as u64 + 8));

    let written = host.store.complete_upload(complete("web-01/big", upload, &[first, second, third])).await.unwrap();
    assert!(written.etag.as_str().ends_with("-3"));
    assert_eq!(written.bytes, bytes.len() as u64);
    assert!(host.read("web-01/big").await.unwrap() == bytes);
    let object = host.store.reader().get(&key("web-01/big")).await.unwrap();
    assert_eq!(object.meta.part_count, Some(3));
    assert_eq!(object.meta.headers.get("content-type"), Some("application/x-tar"));
    let across = PART as u64 - 5..2 * PART as u64 + 5;
    let read = crate::fixture::read_all(object.stream(across.clone()).await.unwrap()).await.unwrap();
    assert!(read == bytes[across.start as usize..across.end as usize]);
    let after = fixture.store.host(host.store.namespace()).await.unwrap().unwrap();
    assert_eq!((after.objects, after.current_bytes, after.uploading_bytes), (1, bytes.len() as u64, 0));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_repeated_complete_gets_the_same_answer_and_another_list_finds_no_upload() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let upload = create(&host, "web-01/a").await;
    let parts = [part(&host, "web-01/a", upload, 1, b"one").await];
    let first = host.store.complete_upload(complete("web-01/a", upload, &parts)).await.unwrap();
    fixture.clock.advance_secs(60);
    host.put("web-01/a", b"newer").await.unwrap();
    let again = host.store.complete_upload(complete("web-01/a", upload, &parts)).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(host.read("web-01/a").await.unwrap(), b"newer");
    let mut other = parts.clone();
    other[0].number = 2;
    let gone = |error| matches!(error, StoreError::NoSuchUpload);
    assert!(gone(host.store.complete_upload(complete("web-01/a", upload, &other)).await.unwrap_err()));
    assert!(gone(try_part(&host, "web-01/a", upload, 2, b"x").await.unwrap_err()));
    assert!(gone(host.store.abort_upload(&key("web-01/a"), &upload).await.unwrap_err()));
    fixture.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_concurrent_completes_both_succeed_with_one_etag() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let upload = create(&host, "web-01/a").await;
    let parts = vec![part(&host, "web-01/a", upload, 1, b"one").await];
    let completes: Vec<_> = (0..2)
        .map(|_| {
            let (host, request) = (host.clone(), complete("web-01/a", upload, &parts));
            tokio::spawn(async move { host.store.complete_upload(request).await.unwrap() })
        })
        .collect();
    let mut answers = Vec::new();
    for complete in completes {
        answers.push(complete.await.unwrap());
    }
    assert_eq!(answers[0], answers[1]);
    fixture.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_completed_twice_at_once_and_again_keeps_its_parts_through_every_sweep() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let upload = create(&host, "web-01/a").await;
    let bytes = payload(PART + 9000);
    let replaced = part(&host, "web-01/a", upload, 2, &bytes[..9000]).await;
    let parts = vec![
        part(&host, "web-01/a", upload, 1, &bytes[..PART]).await,
        part(&host, "web-01/a", upload, 2, &bytes[PART..]).await,
    ];
    assert_ne!(replaced.etag, parts[1].etag);
    let complete_at_once = async || {
        let completes = [0; 2].map(|_| {
            let (host, request) = (host.clone(), complete("web-01/a", upload, &parts));
            tokio::spawn(async move { host.store.complete_upload(request).await.unwrap() })
        });
        let mut answers = Vec::new();
        for complete in completes {
            answers.push(complete.await.unwrap());
        }
        answers
    };
    let mut answers = complete_at_once().await;
    fixture.clock.advance_secs(60);
    answers.extend(complete_at_once().await);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    // Past the day of grace of what was replaced, past the upload's own row, past any window.
    let mut deleted_blobs = 0;
    for _ in 0..10 {
        for _ in 0..26 {
            fixture.clock.advance_secs(3600);
            fixture.store.heartbeat().await.unwrap();
        }
        let report = fixture.store.sweep().await.unwrap();
        assert_eq!((report.refused, report.deleted_contents), (None, 0));
        deleted_blobs += report.deleted_blobs;
    }
    assert_eq!(deleted_blobs, 1, "the part that was replaced, and no other");
    assert!(host.read("web-01/a").await.unwrap() == bytes);
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_refused_complete_leaves_the_upload_usable() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let upload = create(&host, "web-01/a").await;
    let small = part(&host, "web-01/a", upload, 1, b"small").await;
    let last = part(&host, "web-01/a", upload, 3, b"last").await;
    let try_parts = |parts: &[CompletePart]| host.store.complete_upload(complete("web-01/a", upload, parts));
    let wrong_etag = CompletePart { etag: last.etag.clone(), ..small.clone() };
    let missing = CompletePart { number: 2, ..small.clone() };
    let both = [small.clone(), last.clone()];
    assert!(matches!(try_parts(&both).await, Err(StoreError::EntityTooSmall { number: 1, bytes: 5 })));
    assert!(matches!(try_parts(&[last.clone(), small.clone()]).await, Err(StoreError::InvalidPartOrder)));
    assert!(matches!(try_parts(&[small.clone(), small.clone()]).await, Err(StoreError::InvalidPartOrder)));
    assert!(matches!(try_parts(&[wrong_etag]).await, Err(StoreError::InvalidPart(1))));
    assert!(matches!(try_parts(&[missing]).await, Err(StoreError::InvalidPart(2))));
    assert!(matches!(try_parts(&[]).await, Err(StoreError::InvalidPart(0))));
    for number in [0, 10_001] {
        let refused = try_part(&host, "web-01/a", upload, number, b"x").await;
        assert!(matches!(refused, Err(StoreError::InvalidPart(_))));
    }
    try_parts(&[small]).await.unwrap();
    assert_eq!(host.read("web-01/a").await.unwrap(), b"small");
    fixture.assert_clean().await;
}

#[tokio::test]
async fn an_upload_is_its_namespaces_and_its_keys_own() {
    let fixture = fixture().await;
    let (host, other) = (fixture.host("web-01", 9).await, fixture.host("web-02", 8).await);
    let upload = create(&host, "web-01/a").await;
    part(&host, "web-01/a", upload, 1, b"one").await;
    let gone = |error| matches!(error, StoreError::NoSuchUpload);
    assert!(gone(try_part(&other, "web-02/a", upload, 1, b"x").await.unwrap_err()));
    assert!(gone(other.store.list_parts(&key("web-02/a"), &upload, 0, 10).await.unwrap_err()));
    assert!(gone(other.store.abort_upload(&key("web-02/a"), &upload).await.unwrap_err()));
    assert!(gone(host.store.list_parts(&key("web-01/b"), &upload, 0, 10).await.unwrap_err()));
    let page = host.store.list_parts(&key("web-01/a"), &upload, 0, 10).await.unwrap();
    assert_eq!(page.parts.len(), 1);
    host.store.abort_upload(&key("web-01/a"), &upload).await.unwrap();
    assert!(gone(host.store.list_parts(&key("web-01/a"), &upload, 0, 10).await.unwrap_err()));
    let record = fixture.store.host(host.store.namespace()).await.unwrap().unwrap();
    assert_eq!(record.uploading_bytes, 0);
    fixture.assert_clean().await;
}

#[tokio::test]
async fn parts_and_uploads_are_listed_in_pages() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let mut uploads = Vec::new();
    for name in ["web-01/a", "web-01/a", "web-01/d/1", "web-01/d/2", "web-01/e"] {
        uploads.push((name, create(&host, name).await));
    }
    for number in [1, 2, 5] {
        part(&host, "web-01/e", uploads[4].1, number, b"x").await;
    }
    let first = host.store.list_parts(&key("web-01/e"), &uploads[4].1, 0, 2).await.unwrap();
    assert_eq!((first.parts.len(), first.next), (2, Some(2)));
    let last = host.store.list_parts(&key("web-01/e"), &uploads[4].1, 2, 2).await.unwrap();
    assert_eq!((last.parts[0].number, last.next), (5, None));

    let mut listed = Vec::new();
    let mut query = UploadQuery {
        prefix: "web-01/".to_owned(),
        delimiter: Some("/".to_owned()),
        after_key: None,
        after_upload: None,
        max: 1,
    };
    loop {
        let page = host.store.list_uploads(query.clone()).await.unwrap();
        listed.extend(page.entries.into_iter().map(|entry| match entry {
            UploadEntry::Upload(upload) => (upload.key.to_string(), Some(upload.id)),
            UploadEntry::CommonPrefix(prefix) => (prefix, None),
        }));
        let Some(next) = page.next else { break };
        (query.after_key, query.after_upload) = (Some(next.key), next.upload);
    }
    let mut same_key = [uploads[0].1, uploads[1].1];
    same_key.sort();
    let expected = [
        ("web-01/a".to_owned(), Some(same_key[0])),
        ("web-01/a".to_owned(), Some(same_key[1])),
        ("web-01/d/".to_owned(), None),
        ("web-01/e".to_owned(), Some(uploads[4].1)),
    ];
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn uploads_that_are_never_completed_are_bounded_for_each_namespace() {
    let fixture = fixture().await;
    let (flood, quiet) = (fixture.host("web-01", 9).await, fixture.host("web-02", 8).await);
    let try_create = |host: &Host, name: &str| {
        let (store, key) = (host.store.clone(), key(name));
        let headers = ObjectHeaders::new();
        async move { store.create_upload(NewUpload { key, attempt: AttemptId::random(), headers, checksum: None }).await }
    };
    // Fewer at a time than may wait for the index.
    for hundreds in 0..OPEN_UPLOADS_MAX / 500 {
        let mut created = tokio::task::JoinSet::new();
        for number in 0..500 {
            created.spawn(try_create(&flood, &format!("web-01/{hundreds}/{number}")));
        }
        assert!(created.join_all().await.iter().all(Result::is_ok));
    }
    assert!(matches!(try_create(&flood, "web-01/more").await, Err(StoreError::Busy(_))));
    create(&quiet, "web-02/a").await;
    let query = UploadQuery { prefix: String::new(), delimiter: None, after_key: None, after_upload: None, max: 1 };
    let page = flood.store.list_uploads(query).await.unwrap();
    let Some(UploadEntry::Upload(first)) = page.entries.into_iter().next() else { panic!("there are uploads") };
    flood.store.abort_upload(&first.key, &first.id).await.unwrap();
    create(&flood, "web-01/more").await;
}
