//! Checksums of uploads: which are refused, and what the object has in the end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kheeper_model::ChecksumAlgorithm::{Crc32, Crc64nvme, Sha256};
use kheeper_model::ChecksumKind::{Composite, FullObject};
use kheeper_model::{AttemptId, Checksum, ChecksumAlgorithm, ChecksumKind, ContentId, ObjectHeaders};
use kheeper_store::{
    CompletePart, CompleteRequest, ListEntry, ListQuery, NewPart, NewUpload, Precondition, StoreError, Written,
};

use crate::fixture::{Host, fixture, integrity, key, payload};

const NAME: &str = "web-01/big";
const PART: usize = 5 << 20;

async fn create(host: &Host, checksum: Option<(ChecksumAlgorithm, ChecksumKind)>) -> ContentId {
    let upload = NewUpload { key: key(NAME), attempt: AttemptId::random(), headers: ObjectHeaders::new(), checksum };
    host.store.create_upload(upload).await.unwrap()
}

async fn part(
    host: &Host,
    upload: ContentId,
    number: u32,
    bytes: &[u8],
    checksum: Option<Checksum>,
) -> Result<CompletePart, StoreError> {
    let (attempt, length) = (AttemptId::random(), Some(bytes.len() as u64));
    let mut writer = host.store.begin_part(NewPart { key: key(NAME), upload, number, attempt, length }).await?;
    writer.write(Bytes::copy_from_slice(bytes)).await?;
    let mut integrity = integrity(bytes);
    integrity.checksum = checksum;
    let etag = writer.commit(integrity).await?.etag;
    Ok(CompletePart { number, etag, checksums: Vec::new() })
}

async fn complete(
    host: &Host,
    upload: ContentId,
    parts: &[CompletePart],
    checksum: Option<Checksum>,
    checksum_kind: Option<ChecksumKind>,
) -> Result<Written, StoreError> {
    let request = CompleteRequest {
        key: key(NAME),
        upload,
        parts: parts.to_vec(),
        object_bytes: None,
        checksum,
        checksum_kind,
        attempt: AttemptId::random(),
        precondition: Precondition::NONE,
    };
    host.store.complete_upload(request).await
}

fn crc32(bytes: &[u8]) -> Checksum {
    let value = STANDARD.encode(crc_fast::crc32_iso_hdlc(bytes).to_be_bytes());
    Checksum { algorithm: Crc32, kind: FullObject, value }
}

fn crc64(bytes: &[u8]) -> Checksum {
    let value = STANDARD.encode(crc_fast::crc64_nvme(bytes).to_be_bytes());
    Checksum { algorithm: Crc64nvme, kind: FullObject, value }
}

#[tokio::test]
async fn a_full_object_crc_is_combined_and_held_against_the_clients() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let bytes = payload(PART + 1000);
    let upload = create(&host, Some((Crc32, FullObject))).await;
    let (one, two) = bytes.split_at(PART);
    let parts = [
        part(&host, upload, 1, one, Some(crc32(one))).await.unwrap(),
        part(&host, upload, 2, two, Some(crc32(two))).await.unwrap(),
    ];
    let try_with = |checksum, kind| complete(&host, upload, &parts, checksum, kind);
    let mismatch = try_with(Some(crc32(b"something else")), None).await;
    assert!(matches!(mismatch, Err(StoreError::ChecksumMismatch(Crc32))));
    let other = try_with(Some(crc64(&bytes)), None).await;
    assert!(matches!(other, Err(StoreError::PartChecksum { expected: Crc32, found: Some(Crc64nvme) })));
    let kind = try_with(Some(crc32(&bytes)), Some(Composite)).await;
    assert!(matches!(kind, Err(StoreError::ChecksumKind(Composite))));
    assert!(matches!(host.read(NAME).await, Err(StoreError::NoSuchKey)), "nothing was stored");

    let written = try_with(Some(crc32(&bytes)), Some(FullObject)).await.unwrap();
    assert_eq!(written.checksum, Some(crc32(&bytes)));
    let object = host.store.reader().get(&key(NAME)).await.unwrap();
    assert_eq!(object.checksum(), crc32(&bytes));
    assert_eq!(object.crc64nvme_checksum(), crc64(&bytes));
    assert_eq!(object.parts(), [0..PART as u64, PART as u64..bytes.len() as u64]);
    assert_eq!(object.part_checksums().await.unwrap(), Some(vec![crc32(one), crc32(two)]));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_part_has_the_checksum_that_its_upload_was_created_for() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let upload = create(&host, Some((Sha256, Composite))).await;
    let none = part(&host, upload, 1, b"x", None).await;
    assert!(matches!(none, Err(StoreError::PartChecksum { expected: Sha256, found: None })));
    let other = part(&host, upload, 1, b"x", Some(crc32(b"x"))).await;
    assert!(matches!(other, Err(StoreError::PartChecksum { expected: Sha256, found: Some(Crc32) })));
    assert!(host.store.list_parts(&key(NAME), &upload, 0, 10).await.unwrap().parts.is_empty());

    // CRC-64/NVME is known of every part, named or not; an upload for no algorithm takes any.
    let upload = create(&host, Some((Crc64nvme, FullObject))).await;
    let parts = [part(&host, upload, 1, b"x", None).await.unwrap()];
    assert_eq!(complete(&host, upload, &parts, None, None).await.unwrap().checksum, Some(crc64(b"x")));
    let object = host.store.reader().get(&key(NAME)).await.unwrap();
    assert_eq!(object.part_checksums().await.unwrap(), Some(vec![crc64(b"x")]));
    let upload = create(&host, None).await;
    let parts = [part(&host, upload, 1, b"x", Some(crc32(b"x"))).await.unwrap()];
    let written = complete(&host, upload, &parts, Some(crc64(b"x")), Some(FullObject)).await.unwrap();
    assert_eq!(written.checksum, Some(crc64(b"x")));
    let object = host.store.reader().get(&key(NAME)).await.unwrap();
    assert_eq!(object.part_checksums().await.unwrap(), None);
    // Also where every refused part's blob is swept again.
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_composite_checksum_ends_in_the_number_of_parts_and_a_listing_knows_its_kind() {
    let fixture = fixture().await;
    let host = fixture.host("web-01", 9).await;
    let upload = create(&host, Some((Crc32, Composite))).await;
    let parts = [part(&host, upload, 1, b"x", Some(crc32(b"x"))).await.unwrap()];
    let digests = STANDARD.decode(crc32(b"x").value).unwrap();
    let value = format!("{}-1", crc32(&digests).value);
    let expected = Checksum { algorithm: Crc32, kind: Composite, value };
    let wrong = Checksum { value: expected.value.replace("-1", "-2"), ..expected.clone() };
    let refused = complete(&host, upload, &parts, Some(wrong), None).await;
    assert!(matches!(refused, Err(StoreError::ChecksumMismatch(Crc32))));
    let whole = complete(&host, upload, &parts, Some(crc32(b"x")), None).await;
    assert!(matches!(whole, Err(StoreError::ChecksumKind(FullObject))));
    let written = complete(&host, upload, &parts, Some(expected.clone()), None).await.unwrap();
    assert_eq!(written.checksum, Some(expected));

    host.put("web-01/plain", b"x").await.unwrap();
    let page = host.store.reader().list(ListQuery { max: 10, ..ListQuery::default() }).await.unwrap();
    let kinds = page.entries.iter().map(|entry| match entry {
        ListEntry::Object(object) => object.checksum,
        ListEntry::CommonPrefix(_) => panic!("there is no delimiter"),
    });
    assert_eq!(kinds.collect::<Vec<_>>(), [Some((Crc32, Composite)), None]);
}
