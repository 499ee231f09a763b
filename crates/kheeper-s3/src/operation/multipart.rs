//! Multipart uploads.

use http::HeaderMap;
use kheeper_model::limits::PART_NUMBER_MAX;
use kheeper_model::{Checksum, ChecksumAlgorithm, ChecksumKind, ContentId, ObjectHeaders, ObjectKey, OrgName};

use super::CopySource;
use super::stored_headers::stored_headers;
use crate::body::declared::is_checksum_value;
use crate::condition::{SourceConditions, WritePrecondition};
use crate::header::single;
use crate::query::Query;
use crate::range::CopyRange;
use crate::{S3Error, S3ErrorCode};

/// The checksum that an upload's parts will carry, chosen when it is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartChecksum {
    /// Which algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// What the object's checksum will cover.
    pub kind: ChecksumKind,
}

/// `POST /bucket/key?uploads`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateMultipartUpload {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
    /// What is kept with the object.
    pub headers: ObjectHeaders,
    /// The checksum its parts will carry, if any.
    pub checksum: Option<PartChecksum>,
}

impl CreateMultipartUpload {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, headers: &HeaderMap) -> Result<Self, S3Error> {
        Ok(Self { bucket, key, headers: stored_headers(headers)?, checksum: part_checksum(headers)? })
    }
}

/// `PUT /bucket/key?partNumber=…&uploadId=…`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPart {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: ContentId,
    /// 1 to [`PART_NUMBER_MAX`].
    pub part_number: u32,
}

impl UploadPart {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, query: &Query) -> Result<Self, S3Error> {
        let (part_number, upload) = part_of(query)?;
        Ok(Self { bucket, key, upload, part_number })
    }
}

/// `PUT /bucket/key?partNumber=…&uploadId=…` with `x-amz-copy-source`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPartCopy {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: ContentId,
    /// 1 to [`PART_NUMBER_MAX`].
    pub part_number: u32,
    /// What is copied.
    pub source: CopySource,
    /// Which bytes of it; all without one.
    pub range: Option<CopyRange>,
    /// On what conditions.
    pub source_conditions: SourceConditions,
}

impl UploadPartCopy {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, query: &Query, headers: &HeaderMap) -> Result<Self, S3Error> {
        let (part_number, upload) = part_of(query)?;
        Ok(Self {
            bucket,
            key,
            upload,
            part_number,
            source: CopySource::parse(single(headers, "x-amz-copy-source")?.unwrap_or_default())?,
            range: single(headers, "x-amz-copy-source-range")?.map(CopyRange::parse).transpose()?,
            source_conditions: SourceConditions::from_headers(headers)?,
        })
    }
}

/// `POST /bucket/key?uploadId=…`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteMultipartUpload {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: ContentId,
    /// What must be true of the key for the object to appear.
    pub precondition: WritePrecondition,
    /// The checksum that the whole object must have (`x-amz-checksum-*`, which here is not that of the body).
    pub object_checksum: Option<Checksum>,
    /// The kind of checksum that the upload must have been created with (`x-amz-checksum-type`).
    pub checksum_kind: Option<ChecksumKind>,
    /// Bytes that the whole object must have (`x-amz-mp-object-size`).
    pub object_size: Option<u64>,
}

impl CompleteMultipartUpload {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, query: &Query, headers: &HeaderMap) -> Result<Self, S3Error> {
        let object_size = match single(headers, "x-amz-mp-object-size")? {
            Some(text) => Some(text.parse().map_err(|_| {
                S3Error::invalid_argument("The object size is not a number.", "x-amz-mp-object-size", text)
            })?),
            None => None,
        };
        Ok(Self {
            bucket,
            key,
            upload: upload_id(query)?,
            precondition: WritePrecondition::from_headers(headers)?,
            object_checksum: object_checksum(headers)?,
            checksum_kind: checksum_kind(headers)?,
            object_size,
        })
    }
}

/// A request for an upload that has nothing else in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRequest {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: ContentId,
}

impl UploadRequest {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, query: &Query) -> Result<Self, S3Error> {
        Ok(Self { bucket, key, upload: upload_id(query)? })
    }
}

/// Parses an upload's id. What cannot be one names no upload: `NoSuchUpload`.
pub(super) fn parse_upload_id(text: &str) -> Result<ContentId, S3Error> {
    text.parse().map_err(|_| S3Error::new(S3ErrorCode::NoSuchUpload).with_field("UploadId", text))
}

fn upload_id(query: &Query) -> Result<ContentId, S3Error> {
    parse_upload_id(query.get("uploadId").unwrap_or_default())
}

fn part_of(query: &Query) -> Result<(u32, ContentId), S3Error> {
    let Some(number) = query.get("partNumber") else {
        return Err(S3Error::invalid_argument(
            "This operation needs a partNumber beside its uploadId.",
            "partNumber",
            "",
        ));
    };
    if !query.contains("uploadId") {
        return Err(S3Error::invalid_argument(
            "This operation needs an uploadId beside its partNumber.",
            "uploadId",
            "",
        ));
    }
    Ok((part_number(number)?, upload_id(query)?))
}

pub(super) fn part_number(text: &str) -> Result<u32, S3Error> {
    let number = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
    number.filter(|number| (1..=PART_NUMBER_MAX).contains(number)).ok_or_else(|| {
        let message = format!("Part number must be an integer between 1 and {PART_NUMBER_MAX}, inclusive");
        S3Error::invalid_argument(message, "partNumber", text)
    })
}

/// Reads `x-amz-checksum-algorithm` and `x-amz-checksum-type` by the table in the S3 User Guide, "Checking object
/// integrity": CRC-64 covers the whole object only, the SHAs the parts only, the other CRCs either.
fn part_checksum(headers: &HeaderMap) -> Result<Option<PartChecksum>, S3Error> {
    use ChecksumAlgorithm::{Crc32, Crc32c, Crc64nvme, Sha1, Sha256};
    let kind = checksum_kind(headers)?;
    let Some(text) = single(headers, "x-amz-checksum-algorithm")? else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(S3Error::invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )),
        };
    };
    let algorithm = parse_algorithm(text)?;
    let kind = match (algorithm, kind) {
        (Crc64nvme, None | Some(ChecksumKind::FullObject)) => ChecksumKind::FullObject,
        (Sha1 | Sha256, None | Some(ChecksumKind::Composite)) => ChecksumKind::Composite,
        (Crc32 | Crc32c, kind) => kind.unwrap_or(ChecksumKind::Composite),
        (Crc64nvme | Sha1 | Sha256, Some(_)) => {
            return Err(S3Error::invalid_request(format!(
                "The checksum type you specified cannot be used with the {algorithm} checksum algorithm."
            )));
        }
    };
    Ok(Some(PartChecksum { algorithm, kind }))
}

pub(super) fn parse_algorithm(text: &str) -> Result<ChecksumAlgorithm, S3Error> {
    text.parse().map_err(|()| S3Error::not_implemented(format!("the checksum algorithm {text}")))
}

fn checksum_kind(headers: &HeaderMap) -> Result<Option<ChecksumKind>, S3Error> {
    match single(headers, "x-amz-checksum-type")? {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("FULL_OBJECT") => Ok(Some(ChecksumKind::FullObject)),
        Some(text) if text.eq_ignore_ascii_case("COMPOSITE") => Ok(Some(ChecksumKind::Composite)),
        Some(_) => Err(S3Error::invalid_request("Value for x-amz-checksum-type header is invalid.")),
    }
}

fn object_checksum(headers: &HeaderMap) -> Result<Option<Checksum>, S3Error> {
    let mut found = None;
    for algorithm in ChecksumAlgorithm::ALL {
        let Some(value) = single(headers, algorithm.header())? else { continue };
        if found.is_some() {
            return Err(S3Error::invalid_request("Expecting a single x-amz-checksum- header"));
        }
        let (digest, kind) = match value.rsplit_once('-') {
            Some((digest, parts)) if parts.parse::<u32>().is_ok() => (digest, ChecksumKind::Composite),
            _ => (value, ChecksumKind::FullObject),
        };
        if !is_checksum_value(algorithm, digest) {
            let message = format!("Value for {} header is invalid.", algorithm.header());
            return Err(S3Error::invalid_request(message));
        }
        found = Some(Checksum { algorithm, kind, value: value.to_owned() });
    }
    Ok(found)
}
