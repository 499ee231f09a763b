//! `PUT /bucket/key`: the bytes are durable in blob and index before this answers.

use http::header::ETAG;
use http::{Response, StatusCode};
use kheeper_s3::S3Error;
use kheeper_s3::operation::PutObject;
use kheeper_store::{HostStore, NewObject};

use super::{object_headers, precondition};
use crate::request::body::Payload;
use crate::request::dispatch::{Call, commit, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: HostStore,
    put: PutObject,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    let payload = Payload::new(&call.headers, call.body)?;
    let object = NewObject {
        key: put.key,
        attempt: call.attempt,
        began: call.began,
        length: Some(payload.length()),
        headers: put.headers,
        precondition: precondition::of(put.precondition),
    };
    let mut writer = read(store.begin_put(object)).await?;
    let integrity = payload.receive(&mut writer, &mut call.meter).await?;
    let crc64nvme = integrity.crc64nvme;
    let written = commit(writer.commit(integrity)).await?;
    let mut response = respond::status(StatusCode::OK);
    respond::note_overwrite(&mut response, &written);
    respond::set(&mut response, ETAG, &written.etag.quoted());
    object_headers::set_checksum(&mut response, &object_headers::checksum_or_crc64nvme(written.checksum, crc64nvme));
    Ok(response)
}
