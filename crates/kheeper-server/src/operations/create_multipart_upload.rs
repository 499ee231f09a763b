//! `POST /bucket/key?uploads`

use http::Response;
use kheeper_s3::S3Error;
use kheeper_s3::operation::CreateMultipartUpload;
use kheeper_s3::xml::response;
use kheeper_store::{HostStore, NewUpload};

use crate::request::dispatch::{Call, commit};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: HostStore,
    create: CreateMultipartUpload,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    let upload = NewUpload {
        key: create.key.clone(),
        attempt: call.attempt,
        headers: create.headers.clone(),
        checksum: create.checksum.map(|checksum| (checksum.algorithm, checksum.kind)),
    };
    let id = commit(store.create_upload(upload)).await?;
    let mut response = respond::xml(response::create_multipart_upload(&create, &id));
    if let Some(checksum) = create.checksum {
        let algorithm = checksum.algorithm.to_string();
        respond::set(&mut response, http::HeaderName::from_static("x-amz-checksum-algorithm"), &algorithm);
        let kind = response::checksum_type(checksum.kind);
        respond::set(&mut response, http::HeaderName::from_static("x-amz-checksum-type"), kind);
    }
    Ok(response)
}
