//! What a request asks for: one variant per S3 operation, with everything in it parsed.
//!
//! [`Operation::parse`] is the only way in. An operation that exists has passed the policy list of [`crate::header`]:
//! whatever could change its meaning is in it, or was refused with 501.

mod attributes;
mod copy_source;
mod kind;
mod list;
mod multipart;
mod object;
mod stored_headers;

use http::{HeaderMap, Method};
use kheeper_model::{ObjectKey, OrgName};

pub use attributes::{GetObjectAttributes, ObjectAttribute};
pub use copy_source::CopySource;
pub use kind::{BodyKind, OperationClass, OperationKind};
pub use list::{ListBuckets, ListMultipartUploads, ListObjectsV1, ListObjectsV2, ListParts};
pub use multipart::{
    CompleteMultipartUpload, CreateMultipartUpload, PartChecksum, UploadPart, UploadPartCopy, UploadRequest,
};
pub use object::{CopyObject, DeleteObject, Directive, ObjectRequest, PutObject, ReadObject, ResponseOverrides};

use crate::header::{check, effective_headers};
use crate::path::{Target, parse_path};
use crate::query::Query;
use crate::{S3Error, S3ErrorCode};

/// A request for a bucket that has nothing but the bucket in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketRequest {
    /// The bucket.
    pub bucket: OrgName,
}

/// An S3 operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// `GET /`
    ListBuckets(ListBuckets),
    /// `HEAD /bucket`
    HeadBucket(BucketRequest),
    /// `PUT /bucket`
    CreateBucket(BucketRequest),
    /// `DELETE /bucket`
    DeleteBucket(BucketRequest),
    /// `GET /bucket?location`
    GetBucketLocation(BucketRequest),
    /// `GET /bucket?versioning`
    GetBucketVersioning(BucketRequest),
    /// `GET /bucket`
    ListObjectsV1(ListObjectsV1),
    /// `GET /bucket?list-type=2`
    ListObjectsV2(ListObjectsV2),
    /// `GET /bucket?uploads`
    ListMultipartUploads(ListMultipartUploads),
    /// `POST /bucket?delete`; the keys are in the body.
    DeleteObjects(BucketRequest),
    /// `GET /bucket/key`
    GetObject(ReadObject),
    /// `HEAD /bucket/key`
    HeadObject(ReadObject),
    /// `PUT /bucket/key`
    PutObject(PutObject),
    /// `PUT /bucket/key` with `x-amz-copy-source`
    CopyObject(CopyObject),
    /// `DELETE /bucket/key`
    DeleteObject(DeleteObject),
    /// `GET /bucket/key?attributes`
    GetObjectAttributes(GetObjectAttributes),
    /// `GET /bucket/key?tagging`
    GetObjectTagging(ObjectRequest),
    /// `PUT /bucket/key?tagging`; the tags are in the body.
    PutObjectTagging(ObjectRequest),
    /// `DELETE /bucket/key?tagging`
    DeleteObjectTagging(ObjectRequest),
    /// `POST /bucket/key?uploads`
    CreateMultipartUpload(CreateMultipartUpload),
    /// `PUT /bucket/key?partNumber=…&uploadId=…`
    UploadPart(UploadPart),
    /// `PUT /bucket/key?partNumber=…&uploadId=…` with `x-amz-copy-source`
    UploadPartCopy(UploadPartCopy),
    /// `GET /bucket/key?uploadId=…`
    ListParts(ListParts),
    /// `POST /bucket/key?uploadId=…`; the parts are in the body.
    CompleteMultipartUpload(CompleteMultipartUpload),
    /// `DELETE /bucket/key?uploadId=…`
    AbortMultipartUpload(UploadRequest),
}

impl Operation {
    /// Parses a request's head.
    ///
    /// `raw_path` and `raw_query` as they stood on the wire. `NotImplemented` for everything that is S3's and not
    /// kheeper's; `MethodNotAllowed` for methods that are not S3's either; else the error of the part that is wrong.
    pub fn parse(
        method: &Method,
        raw_path: &str,
        raw_query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Self, S3Error> {
        let target = parse_path(raw_path)?;
        let query = Query::parse(raw_query)?;
        let headers = &*effective_headers(&query, headers)?;
        let kind = OperationKind::of(method, &target, &query, headers.contains_key("x-amz-copy-source"))?;
        check(kind, &query, headers)?;
        match target {
            Target::Service => Self::of_service(kind, &query),
            Target::Bucket { name } => Self::of_bucket(kind, name, &query),
            Target::Object { bucket, key } => Self::of_object(kind, bucket, key, &query, headers),
        }
    }

    fn of_service(kind: OperationKind, query: &Query) -> Result<Self, S3Error> {
        match kind {
            OperationKind::ListBuckets => Ok(Self::ListBuckets(ListBuckets::parse(query)?)),
            _ => Err(S3Error::new(S3ErrorCode::MethodNotAllowed)),
        }
    }

    fn of_bucket(kind: OperationKind, bucket: OrgName, query: &Query) -> Result<Self, S3Error> {
        Ok(match kind {
            OperationKind::HeadBucket => Self::HeadBucket(BucketRequest { bucket }),
            OperationKind::CreateBucket => Self::CreateBucket(BucketRequest { bucket }),
            OperationKind::DeleteBucket => Self::DeleteBucket(BucketRequest { bucket }),
            OperationKind::GetBucketLocation => Self::GetBucketLocation(BucketRequest { bucket }),
            OperationKind::GetBucketVersioning => Self::GetBucketVersioning(BucketRequest { bucket }),
            OperationKind::DeleteObjects => Self::DeleteObjects(BucketRequest { bucket }),
            OperationKind::ListObjectsV1 => Self::ListObjectsV1(ListObjectsV1::parse(bucket, query)?),
            OperationKind::ListObjectsV2 => Self::ListObjectsV2(ListObjectsV2::parse(bucket, query)?),
            OperationKind::ListMultipartUploads => {
                Self::ListMultipartUploads(ListMultipartUploads::parse(bucket, query)?)
            }
            _ => return Err(S3Error::new(S3ErrorCode::MethodNotAllowed)),
        })
    }

    fn of_object(
        kind: OperationKind,
        bucket: OrgName,
        key: ObjectKey,
        query: &Query,
        headers: &HeaderMap,
    ) -> Result<Self, S3Error> {
        Ok(match kind {
            OperationKind::GetObject => Self::GetObject(ReadObject::parse(bucket, key, query, headers)?),
            OperationKind::HeadObject => Self::HeadObject(ReadObject::parse(bucket, key, query, headers)?),
            OperationKind::PutObject => Self::PutObject(PutObject::parse(bucket, key, headers)?),
            OperationKind::CopyObject => Self::CopyObject(CopyObject::parse(bucket, key, headers)?),
            OperationKind::DeleteObject => Self::DeleteObject(DeleteObject::parse(bucket, key, headers)?),
            OperationKind::GetObjectAttributes => {
                Self::GetObjectAttributes(GetObjectAttributes::parse(bucket, key, headers)?)
            }
            OperationKind::GetObjectTagging => Self::GetObjectTagging(ObjectRequest { bucket, key }),
            OperationKind::PutObjectTagging => Self::PutObjectTagging(ObjectRequest { bucket, key }),
            OperationKind::DeleteObjectTagging => Self::DeleteObjectTagging(ObjectRequest { bucket, key }),
            OperationKind::CreateMultipartUpload => {
                Self::CreateMultipartUpload(CreateMultipartUpload::parse(bucket, key, headers)?)
            }
            OperationKind::UploadPart => Self::UploadPart(UploadPart::parse(bucket, key, query)?),
            OperationKind::UploadPartCopy => Self::UploadPartCopy(UploadPartCopy::parse(bucket, key, query, headers)?),
            OperationKind::ListParts => Self::ListParts(ListParts::parse(bucket, key, query)?),
            OperationKind::CompleteMultipartUpload => {
                Self::CompleteMultipartUpload(CompleteMultipartUpload::parse(bucket, key, query, headers)?)
            }
            OperationKind::AbortMultipartUpload => {
                Self::AbortMultipartUpload(UploadRequest::parse(bucket, key, query)?)
            }
            _ => return Err(S3Error::new(S3ErrorCode::MethodNotAllowed)),
        })
    }

    /// Which operation it is, without what is in it.
    pub fn kind(&self) -> OperationKind {
        match self {
            Self::ListBuckets(_) => OperationKind::ListBuckets,
            Self::HeadBucket(_) => OperationKind::HeadBucket,
            Self::CreateBucket(_) => OperationKind::CreateBucket,
            Self::DeleteBucket(_) => OperationKind::DeleteBucket,
            Self::GetBucketLocation(_) => OperationKind::GetBucketLocation,
            Self::GetBucketVersioning(_) => OperationKind::GetBucketVersioning,
            Self::ListObjectsV1(_) => OperationKind::ListObjectsV1,
            Self::ListObjectsV2(_) => OperationKind::ListObjectsV2,
            Self::ListMultipartUploads(_) => OperationKind::ListMultipartUploads,
            Self::DeleteObjects(_) => OperationKind::DeleteObjects,
            Self::GetObject(_) => OperationKind::GetObject,
            Self::HeadObject(_) => OperationKind::HeadObject,
            Self::PutObject(_) => OperationKind::PutObject,
            Self::CopyObject(_) => OperationKind::CopyObject,
            Self::DeleteObject(_) => OperationKind::DeleteObject,
            Self::GetObjectAttributes(_) => OperationKind::GetObjectAttributes,
            Self::GetObjectTagging(_) => OperationKind::GetObjectTagging,
            Self::PutObjectTagging(_) => OperationKind::PutObjectTagging,
            Self::DeleteObjectTagging(_) => OperationKind::DeleteObjectTagging,
            Self::CreateMultipartUpload(_) => OperationKind::CreateMultipartUpload,
            Self::UploadPart(_) => OperationKind::UploadPart,
            Self::UploadPartCopy(_) => OperationKind::UploadPartCopy,
            Self::ListParts(_) => OperationKind::ListParts,
            Self::CompleteMultipartUpload(_) => OperationKind::CompleteMultipartUpload,
            Self::AbortMultipartUpload(_) => OperationKind::AbortMultipartUpload,
        }
    }

    /// S3's name of the operation, for instance `PutObject`.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// What it counts as when requests are priced.
    pub fn class(&self) -> OperationClass {
        self.kind().class()
    }

    /// The bucket it names; `None` for ListBuckets.
    pub fn bucket(&self) -> Option<&OrgName> {
        match self {
            Self::ListBuckets(_) => None,
            Self::HeadBucket(request)
            | Self::CreateBucket(request)
            | Self::DeleteBucket(request)
            | Self::GetBucketLocation(request)
            | Self::GetBucketVersioning(request)
            | Self::DeleteObjects(request) => Some(&request.bucket),
            Self::ListObjectsV1(request) => Some(&request.bucket),
            Self::ListObjectsV2(request) => Some(&request.bucket),
            Self::ListMultipartUploads(request) => Some(&request.bucket),
            Self::GetObject(request) | Self::HeadObject(request) => Some(&request.bucket),
            Self::PutObject(request) => Some(&request.bucket),
            Self::CopyObject(request) => Some(&request.bucket),
            Self::DeleteObject(request) => Some(&request.bucket),
            Self::GetObjectAttributes(request) => Some(&request.bucket),
            Self::GetObjectTagging(request) | Self::PutObjectTagging(request) | Self::DeleteObjectTagging(request) => {
                Some(&request.bucket)
            }
            Self::CreateMultipartUpload(request) => Some(&request.bucket),
            Self::UploadPart(request) => Some(&request.bucket),
            Self::UploadPartCopy(request) => Some(&request.bucket),
            Self::ListParts(request) => Some(&request.bucket),
            Self::CompleteMultipartUpload(request) => Some(&request.bucket),
            Self::AbortMultipartUpload(request) => Some(&request.bucket),
        }
    }

    /// The key in its path; `None` for operations on buckets. The keys of DeleteObjects are in its body, and a copy
    /// names a second one: [`Self::copy_source`].
    pub fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::ListBuckets(_)
            | Self::HeadBucket(_)
            | Self::CreateBucket(_)
            | Self::DeleteBucket(_)
            | Self::GetBucketLocation(_)
            | Self::GetBucketVersioning(_)
            | Self::DeleteObjects(_)
            | Self::ListObjectsV1(_)
            | Self::ListObjectsV2(_)
            | Self::ListMultipartUploads(_) => None,
            Self::GetObject(request) | Self::HeadObject(request) => Some(&request.key),
            Self::PutObject(request) => Some(&request.key),
            Self::CopyObject(request) => Some(&request.key),
            Self::DeleteObject(request) => Some(&request.key),
            Self::GetObjectAttributes(request) => Some(&request.key),
            Self::GetObjectTagging(request) | Self::PutObjectTagging(request) | Self::DeleteObjectTagging(request) => {
                Some(&request.key)
            }
            Self::CreateMultipartUpload(request) => Some(&request.key),
            Self::UploadPart(request) => Some(&request.key),
            Self::UploadPartCopy(request) => Some(&request.key),
            Self::ListParts(request) => Some(&request.key),
            Self::CompleteMultipartUpload(request) => Some(&request.key),
            Self::AbortMultipartUpload(request) => Some(&request.key),
        }
    }

    /// What a copy reads from.
    pub fn copy_source(&self) -> Option<&CopySource> {
        match self {
            Self::CopyObject(request) => Some(&request.source),
            Self::UploadPartCopy(request) => Some(&request.source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
