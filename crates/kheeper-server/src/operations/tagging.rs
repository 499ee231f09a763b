//! `?tagging`: an object's tags, which can change after it was written.

use http::{Response, StatusCode};
use kheeper_model::ObjectHeaders;
use kheeper_s3::operation::ObjectRequest;
use kheeper_s3::tags::Tags;
use kheeper_s3::xml::request::parse_tagging;
use kheeper_s3::xml::response;
use kheeper_s3::{OperationKind, S3Error, S3ErrorCode};
use kheeper_store::{HostStore, ReadStore};

use crate::request::dispatch::{Call, commit, read};
use crate::request::respond::{self, ResponseBody};

/// Under which of the stored headers tags are kept.
pub(super) const TAGGING: &str = "x-amz-tagging";

/// `GET`: also of an object without tags, which is an empty set.
pub(crate) async fn get(
    mut call: Call<'_>,
    store: ReadStore,
    request: ObjectRequest,
) -> Result<Response<ResponseBody>, S3Error> {
    let meta = read(store.head(&request.key)).await?;
    call.meter.charge(&meta.namespace_id);
    Ok(respond::xml(response::tagging(&stored_tags(&meta.headers)?)))
}

/// `PUT`: the tags of the document instead of those that were there.
pub(crate) async fn put(
    mut call: Call<'_>,
    store: HostStore,
    request: ObjectRequest,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    let body = call.body.document(OperationKind::PutObjectTagging, &call.headers).await?;
    let tags = parse_tagging(&body)?;
    commit(store.set_tags(&request.key, tags.to_form(), call.attempt)).await?;
    Ok(respond::status(StatusCode::OK))
}

/// `DELETE`: no tags.
pub(crate) async fn delete(
    mut call: Call<'_>,
    store: HostStore,
    request: ObjectRequest,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    commit(store.set_tags(&request.key, None, call.attempt)).await?;
    Ok(respond::status(StatusCode::NO_CONTENT))
}

/// The tags that are kept with an object. They were checked before they were stored.
pub(super) fn stored_tags(headers: &ObjectHeaders) -> Result<Tags, S3Error> {
    Tags::parse_form(headers.get(TAGGING).unwrap_or_default()).map_err(|error| {
        tracing::error!(%error, "stored tags cannot be read");
        S3Error::new(S3ErrorCode::InternalError)
    })
}
