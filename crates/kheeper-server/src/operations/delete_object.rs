//! `DELETE /bucket/key`: hides the current version; 204, also when there was none and none was asked for.

use http::{Response, StatusCode};
use kheeper_s3::S3Error;
use kheeper_s3::operation::DeleteObject;
use kheeper_store::HostStore;

use super::precondition;
use crate::request::dispatch::{Call, commit};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: HostStore,
    delete: DeleteObject,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    let precondition = precondition::of_delete(delete.precondition);
    commit(store.delete_if(&delete.key, call.attempt, precondition)).await?;
    Ok(respond::status(StatusCode::NO_CONTENT))
}
