//! `PUT /bucket/key?partNumber=…&uploadId=…`: one part, durable before this answers.

use http::header::{ETAG, HeaderName};
use http::{Response, StatusCode};
use kheeper_s3::S3Error;
use kheeper_s3::operation::UploadPart;
use kheeper_store::{HostStore, NewPart};

use super::object_headers;
use crate::request::body::Payload;
use crate::request::dispatch::{Call, commit, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: HostStore,
    request: UploadPart,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    let payload = Payload::new(&call.headers, call.body)?;
    let part = NewPart {
        key: request.key,
        upload: request.upload,
        number: request.part_number,
        attempt: call.attempt,
        length: Some(payload.length()),
    };
    let mut writer = read(store.begin_part(part)).await?;
    let integrity = payload.receive(&mut writer, &mut call.meter).await?;
    let crc64nvme = integrity.crc64nvme;
    let written = commit(writer.commit(integrity)).await?;
    let mut response = respond::status(StatusCode::OK);
    respond::set(&mut response, ETAG, &written.etag.quoted());
    let checksum = object_headers::checksum_or_crc64nvme(written.checksum, crc64nvme);
    respond::set(&mut response, HeaderName::from_static(checksum.algorithm.header()), &checksum.value);
    Ok(response)
}
