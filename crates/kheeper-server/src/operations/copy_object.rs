//! `PUT /bucket/key` with `x-amz-copy-source`: another version that shares the source's content.

use http::Response;
use kheeper_s3::S3Error;
use kheeper_s3::operation::CopyObject;
use kheeper_s3::xml::response;
use kheeper_store::{CopyRequest, HostStore, ReadStore};

use super::precondition;
use crate::request::dispatch::{Call, commit, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    target: HostStore,
    source: ReadStore,
    copy: CopyObject,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(target.namespace_id());
    let meta = read(source.head(&copy.source.key)).await?;
    copy.source_conditions.evaluate(&meta.etag, meta.last_modified)?;
    if let Some(asked) = copy.checksum_algorithm
        && meta.checksum.as_ref().is_none_or(|kept| kept.algorithm != asked)
    {
        return Err(S3Error::not_implemented("another checksum algorithm on CopyObject"));
    }
    let request = CopyRequest {
        key: copy.key.clone(),
        attempt: call.attempt,
        began: call.began,
        headers: Some(copy.headers_of_copy(&meta.headers)),
        source: meta,
        precondition: precondition::of(copy.precondition.clone()),
    };
    let written = commit(target.copy(request)).await?;
    Ok(respond::xml(response::copy_object(&written.etag, written.last_modified, written.checksum.as_ref())))
}
