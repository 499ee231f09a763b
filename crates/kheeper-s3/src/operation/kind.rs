//! Which operation a request is, before anything in it is parsed.

use std::fmt;

use http::Method;

use crate::path::Target;
use crate::query::Query;
use crate::{S3Error, S3ErrorCode};

/// What requests are counted and priced as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationClass {
    /// Changes or adds something.
    Write,
    /// GET and HEAD of one thing.
    Read,
    /// Lists.
    List,
    /// Deletes or aborts.
    Delete,
}

/// What an operation's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// There is none that means anything.
    None,
    /// An object's or a part's bytes, streamed.
    Payload,
    /// A document of at most [`kheeper_model::limits::XML_BODY_BYTES_MAX`] bytes, read whole.
    Document,
}

macro_rules! kinds {
    ($($kind:ident => $class:ident, $body:ident;)*) => {
        /// An operation's name, without what is in the request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each is the S3 operation of the same name")]
        pub enum OperationKind {
            $($kind,)*
        }

        impl OperationKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// S3's name of the operation.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)*
                }
            }

            /// What it counts as when requests are priced.
            pub fn class(self) -> OperationClass {
                match self {
                    $(Self::$kind => OperationClass::$class,)*
                }
            }

            /// What its body is.
            pub fn body(self) -> BodyKind {
                match self {
                    $(Self::$kind => BodyKind::$body,)*
                }
            }
        }
    };
}

kinds! {
    ListBuckets => List, None;
    HeadBucket => Read, None;
    CreateBucket => Write, Document;
    DeleteBucket => Delete, None;
    GetBucketLocation => Read, None;
    GetBucketVersioning => Read, None;
    ListObjectsV1 => List, None;
    ListObjectsV2 => List, None;
    ListMultipartUploads => List, None;
    DeleteObjects => Delete, Document;
    GetObject => Read, None;
    HeadObject => Read, None;
    PutObject => Write, Payload;
    CopyObject => Write, None;
    DeleteObject => Delete, None;
    GetObjectAttributes => Read, None;
    GetObjectTagging => Read, None;
    PutObjectTagging => Write, Document;
    DeleteObjectTagging => Delete, None;
    CreateMultipartUpload => Write, None;
    UploadPart => Write, Payload;
    UploadPartCopy => Write, None;
    ListParts => List, None;
    CompleteMultipartUpload => Write, Document;
    AbortMultipartUpload => Delete, None;
}

impl OperationKind {
    /// Which operation a request is. What other sub-resources it names is judged afterwards, by the policy list.
    pub(crate) fn of(method: &Method, target: &Target, query: &Query, copies: bool) -> Result<Self, S3Error> {
        match target {
            Target::Service => Self::of_service(method),
            Target::Bucket { .. } => Self::of_bucket(method, query),
            Target::Object { .. } => Self::of_object(method, query, copies),
        }
    }

    fn of_service(method: &Method) -> Result<Self, S3Error> {
        match *method {
            Method::GET => Ok(Self::ListBuckets),
            _ => Err(S3Error::new(S3ErrorCode::MethodNotAllowed)),
        }
    }

    fn of_bucket(method: &Method, query: &Query) -> Result<Self, S3Error> {
        match *method {
            Method::GET if query.contains("location") => Ok(Self::GetBucketLocation),
            Method::GET if query.contains("versioning") => Ok(Self::GetBucketVersioning),
            Method::GET if query.contains("uploads") => Ok(Self::ListMultipartUploads),
            Method::GET => match query.get("list-type") {
                None => Ok(Self::ListObjectsV1),
                Some("2") => Ok(Self::ListObjectsV2),
                Some(other) => Err(S3Error::invalid_argument("Invalid list-type.", "list-type", other)),
            },
            Method::HEAD => Ok(Self::HeadBucket),
            Method::PUT => Ok(Self::CreateBucket),
            Method::DELETE => Ok(Self::DeleteBucket),
            Method::POST if query.contains("delete") => Ok(Self::DeleteObjects),
            Method::POST => Err(S3Error::not_implemented("POST to a bucket, but for ?delete,")),
            _ => Err(S3Error::new(S3ErrorCode::MethodNotAllowed)),
        }
    }

    fn of_object(method: &Method, query: &Query, copies: bool) -> Result<Self, S3Error> {
        let upload = query.contains("uploadId");
        match *method {
            Method::GET if upload => Ok(Self::ListParts),
            Method::GET if query.contains("attributes") => Ok(Self::GetObjectAttributes),
            Method::GET if query.contains("tagging") => Ok(Self::GetObjectTagging),
            Method::GET => Ok(Self::GetObject),
            Method::HEAD => Ok(Self::HeadObject),
            Method::PUT if upload || query.contains("partNumber") => {
                Ok(if copies { Self::UploadPartCopy } else { Self::UploadPart })
            }
            Method::PUT if query.contains("tagging") => Ok(Self::PutObjectTagging),
            Method::PUT => Ok(if copies { Self::CopyObject } else { Self::PutObject }),
            Method::POST if query.contains("uploads") => Ok(Self::CreateMultipartUpload),
            Method::POST if upload => Ok(Self::CompleteMultipartUpload),
            Method::POST => Err(S3Error::not_implemented("POST to an object, but for ?uploads and ?uploadId,")),
            Method::DELETE if upload => Ok(Self::AbortMultipartUpload),
            Method::DELETE if query.contains("tagging") => Ok(Self::DeleteObjectTagging),
            Method::DELETE => Ok(Self::DeleteObject),
            _ => Err(S3Error::new(S3ErrorCode::MethodNotAllowed)),
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
