//! From an operation and what it may touch to the handler that carries it out.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Response};
use kheeper_model::{AttemptId, Timestamp};
use kheeper_s3::body::kheeper_trailer;
use kheeper_s3::header::effective_headers;
use kheeper_s3::query::Query;
use kheeper_s3::{Operation, S3Error, S3ErrorCode};
use kheeper_store::StoreError;

use super::authenticate::Identity;
use super::authorize::Access;
use super::body::RequestBody;
use super::respond::ResponseBody;
use super::traffic::Meter;
use crate::app::App;
use crate::error::store_error;
use crate::operations as op;

/// The index has so long to answer a read.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// Syncing and committing have so long.
const COMMIT_DEADLINE: Duration = Duration::from_secs(40);

/// What every handler gets beside the operation.
pub(crate) struct Call<'a> {
    pub(crate) app: &'a Arc<App>,
    pub(crate) identity: &'a Identity,
    /// The request's headers, and what its query says in place of headers.
    pub(crate) headers: Cow<'a, HeaderMap>,
    pub(crate) body: &'a mut RequestBody,
    pub(crate) meter: Meter,
    /// When the request's head arrived.
    pub(crate) began: Timestamp,
    /// The client's write, the same on every retry by the proxy.
    pub(crate) attempt: AttemptId,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        app: &'a Arc<App>,
        identity: &'a Identity,
        head: &'a Parts,
        body: &'a mut RequestBody,
        meter: Meter,
    ) -> Result<Self, S3Error> {
        let attempt = kheeper_trailer::attempt(&head.headers)?.unwrap_or_else(AttemptId::random);
        let query = Query::parse(head.uri.query())?;
        let headers = effective_headers(&query, &head.headers)?;
        Ok(Self { app, identity, headers, body, meter, began: app.store.now(), attempt })
    }
}

/// Waits for a read of the index; a store that does not answer is 503, never 404.
pub(crate) async fn read<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, S3Error> {
    within(READ_DEADLINE, answer).await
}

/// Waits for a commit. After the deadline its outcome is unknown: 503, and a retry of the attempt finds it.
pub(crate) async fn commit<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, S3Error> {
    within(COMMIT_DEADLINE, answer).await
}

async fn within<T>(deadline: Duration, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, S3Error> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => answer.map_err(|error| store_error(&error)),
        Err(_) => {
            tracing::error!(secs = deadline.as_secs(), "the store did not answer in time");
            Err(S3Error::new(S3ErrorCode::ServiceUnavailable))
        }
    }
}

/// Carries out `operation` on what `access` allows.
pub(crate) async fn dispatch(
    call: Call<'_>,
    access: Access,
    operation: Operation,
) -> Result<Response<ResponseBody>, S3Error> {
    match (operation, access) {
        (Operation::ListBuckets(list), Access::Orgs(orgs)) => op::list_buckets::handle(call, list, orgs).await,
        (Operation::HeadBucket(_), Access::Bucket) => op::bucket::head(),
        (Operation::CreateBucket(request), Access::Bucket) => op::bucket::create(&request.bucket),
        (Operation::GetBucketLocation(_), Access::Bucket) => op::bucket::location(),
        (Operation::GetBucketVersioning(_), Access::Bucket) => op::bucket::versioning(),
        (Operation::ListObjectsV1(list), Access::Read(store)) => op::list_objects_v1::handle(call, store, list).await,
        (Operation::ListObjectsV2(list), Access::Read(store)) => op::list_objects_v2::handle(call, store, list).await,
        (Operation::GetObject(get), Access::Read(store)) => op::get_object::handle(call, store, get).await,
        (Operation::HeadObject(head), Access::Read(store)) => op::head_object::handle(call, store, head).await,
        (Operation::GetObjectAttributes(request), Access::Read(store)) => {
            op::get_object_attributes::handle(call, store, request).await
        }
        (Operation::GetObjectTagging(request), Access::Read(store)) => op::tagging::get(call, store, request).await,
        (Operation::PutObjectTagging(request), Access::Write(store)) => op::tagging::put(call, store, request).await,
        (Operation::DeleteObjectTagging(request), Access::Write(store)) => {
            op::tagging::delete(call, store, request).await
        }
        (Operation::PutObject(put), Access::Write(store)) => op::put_object::handle(call, store, put).await,
        (Operation::DeleteObject(delete), Access::Write(store)) => op::delete_object::handle(call, store, delete).await,
        (Operation::DeleteObjects(_), Access::Write(store)) => op::delete_objects::handle(call, store).await,
        (Operation::CopyObject(copy), Access::Copy { target, source }) => {
            op::copy_object::handle(call, target, source, copy).await
        }
        (Operation::CreateMultipartUpload(create), Access::Write(store)) => {
            op::create_multipart_upload::handle(call, store, create).await
        }
        (Operation::UploadPart(part), Access::Write(store)) => op::upload_part::handle(call, store, part).await,
        (Operation::CompleteMultipartUpload(complete), Access::Write(store)) => {
            op::complete_multipart_upload::handle(call, store, complete).await
        }
        (Operation::AbortMultipartUpload(abort), Access::Write(store)) => {
            op::abort_multipart_upload::handle(call, store, abort).await
        }
        (Operation::ListParts(list), Access::Write(store)) => op::list_parts::handle(call, store, list).await,
        (Operation::ListMultipartUploads(list), Access::Write(store)) => {
            op::list_multipart_uploads::handle(call, store, list).await
        }
        (Operation::UploadPartCopy(copy), Access::Copy { target, source }) => {
            op::upload_part_copy::handle(call, target, source, copy).await
        }
        (Operation::DeleteBucket(_), _) => Err(S3Error::not_implemented("DeleteBucket")),
        (operation, _) => {
            tracing::error!(operation = operation.name(), "authorization gave a handle of the wrong kind");
            Err(S3Error::new(S3ErrorCode::InternalError))
        }
    }
}
