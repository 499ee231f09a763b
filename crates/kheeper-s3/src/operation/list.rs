//! The listings.

use kheeper_model::limits::{LIST_PAGE_MAX, PART_NUMBER_MAX};
use kheeper_model::{ContentId, ObjectKey, OrgName};

use super::multipart::parse_upload_id;
use crate::query::Query;
use crate::xml::url::KeyEncoding;
use crate::{S3Error, cursor};

const PAGE_MAX: u32 = LIST_PAGE_MAX as u32;

/// `GET /`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListBuckets {
    /// Only names that begin with this.
    pub prefix: String,
    /// At most so many.
    pub max_buckets: u32,
    /// Go on after this name, the cursor of the previous page.
    pub after: Option<Vec<u8>>,
}

impl ListBuckets {
    pub(super) fn parse(query: &Query) -> Result<Self, S3Error> {
        Ok(Self {
            prefix: text(query, "prefix"),
            max_buckets: query.number("max-buckets", PAGE_MAX, PAGE_MAX)?,
            after: continuation(query)?,
        })
    }
}

/// `GET /bucket?list-type=2`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListObjectsV2 {
    /// The bucket.
    pub bucket: OrgName,
    /// Only keys that begin with this.
    pub prefix: String,
    /// Roll up keys to what follows the prefix, up to and with the first of these; never empty.
    pub delimiter: Option<String>,
    /// At most so many keys and common prefixes; may be 0.
    pub max_keys: u32,
    /// Only keys after this one; counts on the first page only.
    pub start_after: Option<String>,
    /// The token as it was given, to be echoed.
    pub continuation_token: Option<String>,
    /// What the token holds: the cursor that the previous page ended with.
    pub cursor: Option<Vec<u8>>,
    /// Whether each object shall name its owner.
    pub fetch_owner: bool,
    /// How keys are written in the answer.
    pub encoding: KeyEncoding,
}

impl ListObjectsV2 {
    pub(super) fn parse(bucket: OrgName, query: &Query) -> Result<Self, S3Error> {
        Ok(Self {
            bucket,
            prefix: text(query, "prefix"),
            delimiter: optional(query, "delimiter"),
            max_keys: query.number("max-keys", PAGE_MAX, PAGE_MAX)?,
            start_after: optional(query, "start-after"),
            continuation_token: query.get("continuation-token").map(str::to_owned),
            cursor: continuation(query)?,
            fetch_owner: query.get("fetch-owner").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            encoding: encoding(query)?,
        })
    }
}

/// `GET /bucket`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListObjectsV1 {
    /// The bucket.
    pub bucket: OrgName,
    /// Only keys that begin with this.
    pub prefix: String,
    /// Roll up keys to what follows the prefix, up to and with the first of these; never empty.
    pub delimiter: Option<String>,
    /// At most so many keys and common prefixes; may be 0.
    pub max_keys: u32,
    /// Only keys and common prefixes after this; a common prefix here skips everything below it.
    pub marker: Option<String>,
    /// How keys are written in the answer.
    pub encoding: KeyEncoding,
}

impl ListObjectsV1 {
    pub(super) fn parse(bucket: OrgName, query: &Query) -> Result<Self, S3Error> {
        Ok(Self {
            bucket,
            prefix: text(query, "prefix"),
            delimiter: optional(query, "delimiter"),
            max_keys: query.number("max-keys", PAGE_MAX, PAGE_MAX)?,
            marker: optional(query, "marker"),
            encoding: encoding(query)?,
        })
    }
}

/// `GET /bucket?uploads`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListMultipartUploads {
    /// The bucket.
    pub bucket: OrgName,
    /// Only keys that begin with this.
    pub prefix: String,
    /// Roll up keys to what follows the prefix, up to and with the first of these; never empty.
    pub delimiter: Option<String>,
    /// At most so many uploads and common prefixes.
    pub max_uploads: u32,
    /// Only uploads of keys after this one, or of this one after [`Self::upload_id_marker`].
    pub key_marker: Option<String>,
    /// Means something only beside a key marker.
    pub upload_id_marker: Option<ContentId>,
    /// How keys are written in the answer.
    pub encoding: KeyEncoding,
}

impl ListMultipartUploads {
    pub(super) fn parse(bucket: OrgName, query: &Query) -> Result<Self, S3Error> {
        let key_marker = optional(query, "key-marker");
        let upload_id_marker = match query.non_empty("upload-id-marker").filter(|_| key_marker.is_some()) {
            Some(marker) => Some(
                parse_upload_id(marker)
                    .map_err(|_| S3Error::invalid_argument("Invalid uploadId marker", "upload-id-marker", marker))?,
            ),
            None => None,
        };
        Ok(Self {
            bucket,
            prefix: text(query, "prefix"),
            delimiter: optional(query, "delimiter"),
            max_uploads: query.number("max-uploads", PAGE_MAX, PAGE_MAX)?,
            key_marker,
            upload_id_marker,
            encoding: encoding(query)?,
        })
    }
}

/// `GET /bucket/key?uploadId=…`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListParts {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: ContentId,
    /// At most so many.
    pub max_parts: u32,
    /// Only parts after this number.
    pub part_number_marker: u32,
}

impl ListParts {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, query: &Query) -> Result<Self, S3Error> {
        Ok(Self {
            bucket,
            key,
            upload: parse_upload_id(query.get("uploadId").unwrap_or_default())?,
            max_parts: query.number("max-parts", PAGE_MAX, PAGE_MAX)?,
            part_number_marker: query.number("part-number-marker", 0, PART_NUMBER_MAX)?,
        })
    }
}

fn text(query: &Query, name: &str) -> String {
    query.get(name).unwrap_or_default().to_owned()
}

fn optional(query: &Query, name: &str) -> Option<String> {
    query.non_empty(name).map(str::to_owned)
}

fn continuation(query: &Query) -> Result<Option<Vec<u8>>, S3Error> {
    query.non_empty("continuation-token").map(cursor::decode).transpose()
}

fn encoding(query: &Query) -> Result<KeyEncoding, S3Error> {
    match query.non_empty("encoding-type") {
        None => Ok(KeyEncoding::Plain),
        Some("url") => Ok(KeyEncoding::Url),
        Some(other) => {
            Err(S3Error::invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", other))
        }
    }
}
