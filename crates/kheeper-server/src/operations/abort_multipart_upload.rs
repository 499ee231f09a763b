//! `DELETE /bucket/key?uploadId=…`: the upload is gone, and sweep takes its parts.

use http::{Response, StatusCode};
use kheeper_s3::S3Error;
use kheeper_s3::operation::UploadRequest;
use kheeper_store::HostStore;

use crate::request::dispatch::{Call, commit};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: HostStore,
    abort: UploadRequest,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    commit(store.abort_upload(&abort.key, &abort.upload)).await?;
    Ok(respond::status(StatusCode::NO_CONTENT))
}
