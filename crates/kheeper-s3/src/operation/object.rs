//! Operations on one object.

use http::{HeaderMap, HeaderName, HeaderValue};
use kheeper_model::{ChecksumAlgorithm, ObjectHeaders, ObjectKey, OrgName};

use super::CopySource;
use super::multipart::{parse_algorithm, part_number};
use super::stored_headers::{STORAGE_CLASS, TAGGING, stored_headers};
use crate::S3Error;
use crate::condition::{DeletePrecondition, ReadConditions, SourceConditions, WritePrecondition};
use crate::header::single;
use crate::query::Query;
use crate::range::RangeSpec;

/// `GET /bucket/key` and `HEAD /bucket/key`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadObject {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
    /// The range that was asked for; see [`ReadConditions::range_to_serve`].
    pub range: Option<RangeSpec>,
    /// The part that was asked for instead of a range: the parts of an object are counted from 1 in their order, and
    /// one that was not uploaded in parts is its own first part.
    pub part_number: Option<u32>,
    /// On what conditions.
    pub conditions: ReadConditions,
    /// Headers that the answer shall have instead of the stored ones.
    pub overrides: ResponseOverrides,
    /// Whether the answer shall carry the object's checksum (`x-amz-checksum-mode: ENABLED`). Never on a 206: clients
    /// would hold the part against the whole.
    pub wants_checksum: bool,
}

impl ReadObject {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, query: &Query, headers: &HeaderMap) -> Result<Self, S3Error> {
        let range = single(headers, "range")?.and_then(RangeSpec::parse);
        let part_number = query.get("partNumber").map(part_number).transpose()?;
        if range.is_some() && part_number.is_some() {
            return Err(S3Error::invalid_request("Cannot specify both Range header and partNumber query parameter"));
        }
        Ok(Self {
            bucket,
            key,
            range,
            part_number,
            conditions: ReadConditions::from_headers(headers)?,
            overrides: ResponseOverrides::parse(query)?,
            wants_checksum: single(headers, "x-amz-checksum-mode")?
                .is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED")),
        })
    }
}

/// `response-*`: headers that the answer to a GET or HEAD shall have instead of the stored ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseOverrides(Vec<(HeaderName, HeaderValue)>);

impl ResponseOverrides {
    fn parse(query: &Query) -> Result<Self, S3Error> {
        use http::header;
        let known = [
            ("response-cache-control", header::CACHE_CONTROL),
            ("response-content-disposition", header::CONTENT_DISPOSITION),
            ("response-content-encoding", header::CONTENT_ENCODING),
            ("response-content-language", header::CONTENT_LANGUAGE),
            ("response-content-type", header::CONTENT_TYPE),
            ("response-expires", header::EXPIRES),
        ];
        let mut overrides = Vec::new();
        for (parameter, header) in known {
            let Some(text) = query.non_empty(parameter) else { continue };
            let value = HeaderValue::from_bytes(text.as_bytes())
                .map_err(|_| S3Error::invalid_argument("Header value cannot be represented.", parameter, text))?;
            overrides.push((header, value));
        }
        Ok(Self(overrides))
    }

    /// The headers, each once.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

/// `PUT /bucket/key`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutObject {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
    /// What is kept with the object.
    pub headers: ObjectHeaders,
    /// What must be true of the key for the object to appear.
    pub precondition: WritePrecondition,
}

impl PutObject {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, headers: &HeaderMap) -> Result<Self, S3Error> {
        let precondition = WritePrecondition::from_headers(headers)?;
        Ok(Self { bucket, key, headers: stored_headers(headers)?, precondition })
    }
}

/// Where a copy takes its metadata or its tags from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// From the source.
    Copy,
    /// From the request.
    Replace,
}

/// `PUT /bucket/key` with `x-amz-copy-source`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyObject {
    /// The bucket of the new object.
    pub bucket: OrgName,
    /// The key of the new object.
    pub key: ObjectKey,
    /// What is copied.
    pub source: CopySource,
    /// On what conditions on the source.
    pub source_conditions: SourceConditions,
    /// What must be true of the new key for the object to appear.
    pub precondition: WritePrecondition,
    /// Where the metadata comes from.
    pub metadata: Directive,
    /// Where the tags come from.
    pub tagging: Directive,
    /// The checksum that the copy shall have, where the client asked for one.
    pub checksum_algorithm: Option<ChecksumAlgorithm>,
    headers: ObjectHeaders,
}

impl CopyObject {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, headers: &HeaderMap) -> Result<Self, S3Error> {
        let copy = Self {
            bucket,
            key,
            source: CopySource::parse(single(headers, "x-amz-copy-source")?.unwrap_or_default())?,
            source_conditions: SourceConditions::from_headers(headers)?,
            precondition: WritePrecondition::from_headers(headers)?,
            metadata: directive(headers, "x-amz-metadata-directive")?,
            tagging: directive(headers, "x-amz-tagging-directive")?,
            checksum_algorithm: single(headers, "x-amz-checksum-algorithm")?.map(parse_algorithm).transpose()?,
            headers: stored_headers(headers)?,
        };
        let onto_itself = copy.source.bucket == copy.bucket && copy.source.key == copy.key;
        let changes = copy.metadata == Directive::Replace
            || copy.tagging == Directive::Replace
            || headers.contains_key(STORAGE_CLASS)
            || copy.checksum_algorithm.is_some();
        if onto_itself && !changes {
            return Err(S3Error::invalid_request(
                "This copy request is illegal because it is trying to copy an object to itself without changing the \
                 object's metadata, storage class, website redirect location or encryption attributes.",
            ));
        }
        Ok(copy)
    }

    /// What is kept with the copy, given what is kept with its source. The storage class is always the request's, as
    /// it is in S3.
    pub fn headers_of_copy(&self, source: &ObjectHeaders) -> ObjectHeaders {
        let chosen = |name: &str, from: &ObjectHeaders| Some((name.to_owned(), from.get(name)?.to_owned()));
        let metadata = match self.metadata {
            Directive::Copy => source,
            Directive::Replace => &self.headers,
        };
        let tags = match self.tagging {
            Directive::Copy => source,
            Directive::Replace => &self.headers,
        };
        let of_metadata = metadata
            .iter()
            .filter(|(name, _)| *name != STORAGE_CLASS && *name != TAGGING)
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        of_metadata.chain(chosen(STORAGE_CLASS, &self.headers)).chain(chosen(TAGGING, tags)).collect()
    }
}

fn directive(headers: &HeaderMap, name: &'static str) -> Result<Directive, S3Error> {
    match single(headers, name)? {
        None | Some("COPY") => Ok(Directive::Copy),
        Some("REPLACE") => Ok(Directive::Replace),
        Some(other) => Err(S3Error::invalid_argument("Unknown directive.", name, other)),
    }
}

/// `DELETE /bucket/key`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteObject {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
    /// What must be true of the object for it to be deleted.
    pub precondition: DeletePrecondition,
}

impl DeleteObject {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, headers: &HeaderMap) -> Result<Self, S3Error> {
        Ok(Self { bucket, key, precondition: DeletePrecondition::from_headers(headers)? })
    }
}

/// A request for an object that has nothing else in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRequest {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
}
