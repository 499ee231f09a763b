//! The documents that clients are sent.
//!
//! What each client insists on is in the tests: `Key`, `LastModified` and `Size` on each entry, `IsTruncated` always,
//! no `NextContinuationToken` on the last page, `<Bucket>` and a root `<ETag>` in the answer to Complete.

use bytes::Bytes;
use kheeper_model::{Checksum, ChecksumAlgorithm, ChecksumKind, ContentId, ETag, ObjectKey, OrgName, Timestamp};

use super::url::KeyEncoding;
use super::write::Writer;
use crate::operation::{
    CreateMultipartUpload, ListBuckets, ListMultipartUploads, ListObjectsV1, ListObjectsV2, ListParts,
};
use crate::tags::Tags;
use crate::{S3Error, cursor};

/// The content type of every document here.
pub const CONTENT_TYPE: &str = "application/xml";

/// The storage class of an object that was given none.
pub const STORAGE_CLASS_DEFAULT: &str = "STANDARD";

/// Bytes to reserve for each entry of a listing: about what one takes with a key shaped like wal-g's.
const ENTRY_BYTES: usize = 320;

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEntry {
    /// Its key.
    pub key: String,
    /// When it was committed.
    pub last_modified: Timestamp,
    /// Its ETag.
    pub etag: ETag,
    /// Bytes it has.
    pub size: u64,
    /// Its storage class, where it was given one.
    pub storage_class: Option<String>,
    /// Its additional checksum, where it has one.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// A page of a listing of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// The objects, in the order of their keys' bytes.
    pub objects: Vec<ObjectEntry>,
    /// What was rolled up, in the order of its bytes.
    pub common_prefixes: Vec<String>,
    /// Where the next page goes on; `None` when there is none.
    pub next: Option<Vec<u8>>,
}

impl ObjectPage {
    fn capacity(&self) -> usize {
        1024 + ENTRY_BYTES * (self.objects.len() + self.common_prefixes.len())
    }
}

/// `ListBucketResult` of ListObjectsV2.
pub fn list_objects_v2(request: &ListObjectsV2, page: &ObjectPage) -> Bytes {
    let encoding = request.encoding;
    let mut xml = Writer::with_capacity(page.capacity());
    xml.open_root("ListBucketResult");
    xml.text("Name", request.bucket.as_str());
    xml.text("Prefix", &encoding.apply(&request.prefix));
    optional(&mut xml, "Delimiter", request.delimiter.as_deref(), encoding);
    optional(&mut xml, "StartAfter", request.start_after.as_deref(), encoding);
    optional(&mut xml, "ContinuationToken", request.continuation_token.as_deref(), KeyEncoding::Plain);
    if let Some(next) = &page.next {
        xml.text("NextContinuationToken", &cursor::encode(next));
    }
    xml.plain("KeyCount", page.objects.len() + page.common_prefixes.len());
    xml.plain("MaxKeys", request.max_keys);
    encoding_type(&mut xml, encoding);
    xml.plain("IsTruncated", page.next.is_some());
    let owner = request.fetch_owner.then_some(&request.bucket);
    objects_and_prefixes(&mut xml, page, owner, encoding);
    xml.close("ListBucketResult");
    xml.finish()
}

/// `ListBucketResult` of ListObjects, version 1. `NextMarker` is there whenever the page is not the last.
pub fn list_objects_v1(request: &ListObjectsV1, page: &ObjectPage) -> Bytes {
    let encoding = request.encoding;
    let mut xml = Writer::with_capacity(page.capacity());
    xml.open_root("ListBucketResult");
    xml.text("Name", request.bucket.as_str());
    xml.text("Prefix", &encoding.apply(&request.prefix));
    xml.text("Marker", &encoding.apply(request.marker.as_deref().unwrap_or_default()));
    if let Some(next) = &page.next {
        xml.text("NextMarker", &encoding.apply(&String::from_utf8_lossy(next)));
    }
    optional(&mut xml, "Delimiter", request.delimiter.as_deref(), encoding);
    xml.plain("MaxKeys", request.max_keys);
    encoding_type(&mut xml, encoding);
    xml.plain("IsTruncated", page.next.is_some());
    objects_and_prefixes(&mut xml, page, Some(&request.bucket), encoding);
    xml.close("ListBucketResult");
    xml.finish()
}

fn objects_and_prefixes(xml: &mut Writer, page: &ObjectPage, owner: Option<&OrgName>, encoding: KeyEncoding) {
    for object in &page.objects {
        xml.open("Contents");
        xml.text("Key", &encoding.apply(&object.key));
        xml.plain("LastModified", object.last_modified);
        xml.text("ETag", &object.etag.quoted());
        checksum_choice(xml, object.checksum);
        xml.plain("Size", object.size);
        if let Some(owner) = owner {
            owner_element(xml, "Owner", owner);
        }
        xml.text("StorageClass", object.storage_class.as_deref().unwrap_or(STORAGE_CLASS_DEFAULT));
        xml.close("Contents");
    }
    common_prefixes(xml, &page.common_prefixes, encoding);
}

fn common_prefixes(xml: &mut Writer, prefixes: &[String], encoding: KeyEncoding) {
    for prefix in prefixes {
        xml.open("CommonPrefixes");
        xml.text("Prefix", &encoding.apply(prefix));
        xml.close("CommonPrefixes");
    }
}

/// A bucket in ListBuckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketEntry {
    /// Its name.
    pub name: OrgName,
    /// When it was created.
    pub created_at: Timestamp,
}

/// `ListAllMyBucketsResult`. `owner` is whoever asks, `next` where the next page goes on.
pub fn list_buckets(request: &ListBuckets, owner: &str, buckets: &[BucketEntry], next: Option<&[u8]>) -> Bytes {
    let mut xml = Writer::document();
    xml.open_root("ListAllMyBucketsResult");
    xml.open("Owner");
    xml.text("ID", owner);
    xml.text("DisplayName", owner);
    xml.close("Owner");
    xml.open("Buckets");
    for bucket in buckets {
        xml.open("Bucket");
        xml.text("Name", bucket.name.as_str());
        xml.plain("CreationDate", bucket.created_at);
        xml.close("Bucket");
    }
    xml.close("Buckets");
    if let Some(next) = next {
        xml.text("ContinuationToken", &cursor::encode(next));
    }
    if !request.prefix.is_empty() {
        xml.text("Prefix", &request.prefix);
    }
    xml.close("ListAllMyBucketsResult");
    xml.finish()
}

/// `LocationConstraint`, empty, which is S3's way of saying `us-east-1`.
pub fn bucket_location() -> Bytes {
    let mut xml = Writer::document();
    xml.open_root("LocationConstraint");
    xml.close("LocationConstraint");
    xml.finish()
}

/// `VersioningConfiguration`, empty: never versioned, as far as S3 clients can see.
pub fn bucket_versioning() -> Bytes {
    let mut xml = Writer::document();
    xml.open_root("VersioningConfiguration");
    xml.close("VersioningConfiguration");
    xml.finish()
}

/// `DeleteResult`. Each deleted key is named unless `quiet`, each error always.
pub fn delete_result<'a>(
    deleted: impl IntoIterator<Item = &'a ObjectKey>,
    errors: impl IntoIterator<Item = (&'a ObjectKey, &'a S3Error)>,
    quiet: bool,
) -> Bytes {
    let mut xml = Writer::document();
    xml.open_root("DeleteResult");
    for key in deleted.into_iter().filter(|_| !quiet) {
        xml.open("Deleted");
        xml.text("Key", key.as_str());
        xml.close("Deleted");
    }
    for (key, error) in errors {
        xml.open("Error");
        xml.text("Key", key.as_str());
        xml.text("Code", error.code.as_str());
        xml.text("Message", &error.message);
        xml.close("Error");
    }
    xml.close("DeleteResult");
    xml.finish()
}

/// `InitiateMultipartUploadResult`.
pub fn create_multipart_upload(request: &CreateMultipartUpload, upload: &ContentId) -> Bytes {
    let mut xml = Writer::document();
    xml.open_root("InitiateMultipartUploadResult");
    xml.text("Bucket", request.bucket.as_str());
    xml.text("Key", request.key.as_str());
    xml.plain("UploadId", upload);
    xml.close("InitiateMultipartUploadResult");
    xml.finish()
}

/// `CompleteMultipartUploadResult`. `location` is the object's URL, or its path.
pub fn complete_multipart_upload(
    bucket: &OrgName,
    key: &ObjectKey,
    location: &str,
    etag: &ETag,
    checksum: Option<&Checksum>,
) -> Bytes {
    let mut xml = Writer::document();
    xml.open_root("CompleteMultipartUploadResult");
    xml.text("Location", location);
    xml.text("Bucket", bucket.as_str());
    xml.text("Key", key.as_str());
    xml.text("ETag", &etag.quoted());
    checksum_elements(&mut xml, checksum);
    xml.close("CompleteMultipartUploadResult");
    xml.finish()
}

/// `CopyObjectResult`.
pub fn copy_object(etag: &ETag, last_modified: Timestamp, checksum: Option<&Checksum>) -> Bytes {
    copy_result("CopyObjectResult", etag, last_modified, checksum)
}

/// `CopyPartResult`.
pub fn upload_part_copy(etag: &ETag, last_modified: Timestamp, checksum: Option<&Checksum>) -> Bytes {
    copy_result("CopyPartResult", etag, last_modified, checksum)
}

fn copy_result(root: &str, etag: &ETag, last_modified: Timestamp, checksum: Option<&Checksum>) -> Bytes {
    let mut xml = Writer::document();
    xml.open_root(root);
    xml.plain("LastModified", last_modified);
    xml.text("ETag", &etag.quoted());
    checksum_elements(&mut xml, checksum);
    xml.close(root);
    xml.finish()
}

/// `Tagging`.
pub fn tagging(tags: &Tags) -> Bytes {
    let mut xml = Writer::document();
    xml.open_root("Tagging");
    xml.open("TagSet");
    for (key, value) in tags.iter() {
        xml.open("Tag");
        xml.text("Key", key);
        xml.text("Value", value);
        xml.close("Tag");
    }
    xml.close("TagSet");
    xml.close("Tagging");
    xml.finish()
}

/// A part in ListParts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartEntry {
    /// Its number.
    pub part_number: u32,
    /// When it was uploaded.
    pub last_modified: Timestamp,
    /// Its ETag.
    pub etag: ETag,
    /// Bytes it has.
    pub size: u64,
    /// Its additional checksum, where it has one.
    pub checksum: Option<Checksum>,
}

/// A page of ListParts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartPage {
    /// The parts, in the order of their numbers.
    pub parts: Vec<PartEntry>,
    /// Whether there are more.
    pub truncated: bool,
    /// The storage class that the object will have, where it was given one.
    pub storage_class: Option<String>,
    /// The checksum that the upload was created with.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// `ListPartsResult`.
pub fn list_parts(request: &ListParts, page: &PartPage) -> Bytes {
    let mut xml = Writer::with_capacity(1024 + ENTRY_BYTES * page.parts.len());
    xml.open_root("ListPartsResult");
    xml.text("Bucket", request.bucket.as_str());
    xml.text("Key", request.key.as_str());
    xml.plain("UploadId", request.upload);
    owner_element(&mut xml, "Initiator", &request.bucket);
    owner_element(&mut xml, "Owner", &request.bucket);
    xml.text("StorageClass", page.storage_class.as_deref().unwrap_or(STORAGE_CLASS_DEFAULT));
    xml.plain("PartNumberMarker", request.part_number_marker);
    if let Some(last) = page.parts.last().filter(|_| page.truncated) {
        xml.plain("NextPartNumberMarker", last.part_number);
    }
    xml.plain("MaxParts", request.max_parts);
    xml.plain("IsTruncated", page.truncated);
    checksum_choice(&mut xml, page.checksum);
    for part in &page.parts {
        xml.open("Part");
        xml.plain("PartNumber", part.part_number);
        xml.plain("LastModified", part.last_modified);
        xml.text("ETag", &part.etag.quoted());
        xml.plain("Size", part.size);
        if let Some(checksum) = &part.checksum {
            xml.text(checksum.algorithm.xml_element(), &checksum.value);
        }
        xml.close("Part");
    }
    xml.close("ListPartsResult");
    xml.finish()
}

/// An upload in ListMultipartUploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadEntry {
    /// The key it will write.
    pub key: String,
    /// Its id.
    pub upload: ContentId,
    /// When it was created.
    pub initiated: Timestamp,
    /// The storage class that the object will have, where it was given one.
    pub storage_class: Option<String>,
    /// The checksum that it was created with.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// A page of ListMultipartUploads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadPage {
    /// The uploads, in the order of their keys' bytes, then of their ids.
    pub uploads: Vec<UploadEntry>,
    /// What was rolled up, in the order of its bytes.
    pub common_prefixes: Vec<String>,
    /// Whether there are more.
    pub truncated: bool,
}

/// `ListMultipartUploadsResult`.
pub fn list_multipart_uploads(request: &ListMultipartUploads, page: &UploadPage) -> Bytes {
    let encoding = request.encoding;
    let mut xml = Writer::with_capacity(1024 + ENTRY_BYTES * (page.uploads.len() + page.common_prefixes.len()));
    xml.open_root("ListMultipartUploadsResult");
    xml.text("Bucket", request.bucket.as_str());
    xml.text("KeyMarker", &encoding.apply(request.key_marker.as_deref().unwrap_or_default()));
    let upload_id_marker = request.upload_id_marker.map(|upload| upload.to_string());
    xml.text("UploadIdMarker", upload_id_marker.as_deref().unwrap_or_default());
    if page.truncated {
        next_upload_markers(&mut xml, page, encoding);
    }
    xml.text("Prefix", &encoding.apply(&request.prefix));
    optional(&mut xml, "Delimiter", request.delimiter.as_deref(), encoding);
    xml.plain("MaxUploads", request.max_uploads);
    encoding_type(&mut xml, encoding);
    xml.plain("IsTruncated", page.truncated);
    for upload in &page.uploads {
        xml.open("Upload");
        xml.text("Key", &encoding.apply(&upload.key));
        xml.plain("UploadId", upload.upload);
        owner_element(&mut xml, "Initiator", &request.bucket);
        owner_element(&mut xml, "Owner", &request.bucket);
        xml.text("StorageClass", upload.storage_class.as_deref().unwrap_or(STORAGE_CLASS_DEFAULT));
        xml.plain("Initiated", upload.initiated);
        checksum_choice(&mut xml, upload.checksum);
        xml.close("Upload");
    }
    common_prefixes(&mut xml, &page.common_prefixes, encoding);
    xml.close("ListMultipartUploadsResult");
    xml.finish()
}

/// The page ended with an upload or with a common prefix, whichever is greater; a prefix has no upload id.
fn next_upload_markers(xml: &mut Writer, page: &UploadPage, encoding: KeyEncoding) {
    let last_upload = page.uploads.last();
    let last_prefix = page.common_prefixes.last();
    match (last_upload, last_prefix) {
        (Some(upload), prefix) if prefix.is_none_or(|prefix| *prefix < upload.key) => {
            xml.text("NextKeyMarker", &encoding.apply(&upload.key));
            xml.plain("NextUploadIdMarker", upload.upload);
        }
        (_, Some(prefix)) => xml.text("NextKeyMarker", &encoding.apply(prefix)),
        _ => {}
    }
}

/// Everything in a bucket belongs to its org.
fn owner_element(xml: &mut Writer, element: &str, owner: &OrgName) {
    xml.open(element);
    xml.text("ID", owner.as_str());
    xml.text("DisplayName", owner.as_str());
    xml.close(element);
}

pub(super) fn checksum_elements(xml: &mut Writer, checksum: Option<&Checksum>) {
    if let Some(checksum) = checksum {
        xml.text(checksum.algorithm.xml_element(), &checksum.value);
        xml.plain("ChecksumType", checksum_type(checksum.kind));
    }
}

fn checksum_choice(xml: &mut Writer, chosen: Option<(ChecksumAlgorithm, ChecksumKind)>) {
    if let Some((algorithm, kind)) = chosen {
        xml.plain("ChecksumAlgorithm", algorithm);
        xml.plain("ChecksumType", checksum_type(kind));
    }
}

/// What a checksum covers, as `ChecksumType` and `x-amz-checksum-type` say it.
pub fn checksum_type(kind: ChecksumKind) -> &'static str {
    match kind {
        ChecksumKind::FullObject => "FULL_OBJECT",
        ChecksumKind::Composite => "COMPOSITE",
    }
}

fn optional(xml: &mut Writer, name: &str, text: Option<&str>, encoding: KeyEncoding) {
    if let Some(text) = text {
        xml.text(name, &encoding.apply(text));
    }
}

fn encoding_type(xml: &mut Writer, encoding: KeyEncoding) {
    if encoding == KeyEncoding::Url {
        xml.plain("EncodingType", "url");
    }
}

#[cfg(test)]
mod tests;
