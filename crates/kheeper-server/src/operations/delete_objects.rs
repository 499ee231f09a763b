//! `POST /bucket?delete`: all of the keys, or none and an error. Clients do not read errors of single keys.

use http::Response;
use kheeper_s3::xml::request::DeleteRequest;
use kheeper_s3::xml::response;
use kheeper_s3::{OperationKind, S3Error};
use kheeper_store::HostStore;

use crate::request::dispatch::{Call, commit};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(mut call: Call<'_>, store: HostStore) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    let body = call.body.document(OperationKind::DeleteObjects, &call.headers).await?;
    let request = DeleteRequest::parse(&body)?;
    commit(store.delete_many(request.keys.clone(), call.attempt)).await?;
    Ok(respond::xml(response::delete_result(&request.keys, std::iter::empty(), request.quiet)))
}
