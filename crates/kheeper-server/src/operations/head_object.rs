//! `HEAD /bucket/key`: what a GET would say, without the bytes.

use http::header::CONTENT_RANGE;
use http::{Response, StatusCode};
use kheeper_s3::S3Error;
use kheeper_s3::operation::ReadObject;
use kheeper_s3::range::content_range;
use kheeper_store::ReadStore;

use super::get_object::not_modified;
use super::object_headers;
use crate::request::dispatch::{Call, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: ReadStore,
    head: ReadObject,
) -> Result<Response<ResponseBody>, S3Error> {
    let meta = read(store.head(&head.key)).await?;
    call.meter.charge(&meta.namespace_id);
    if let Err(error) = head.conditions.evaluate(&meta.etag, meta.last_modified) {
        return not_modified(error, &meta);
    }
    let mut response = respond::status(StatusCode::OK);
    object_headers::set_stored(&mut response, &meta, &head.overrides);
    match head.conditions.range_to_serve(head.range, &meta.etag, meta.last_modified) {
        Some(asked) => {
            let range = asked.resolve(meta.bytes)?;
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            respond::set(&mut response, CONTENT_RANGE, &content_range(&range, meta.bytes));
            respond::set_length(&mut response, range.end - range.start);
        }
        None => {
            respond::set_length(&mut response, meta.bytes);
            if let Some(checksum) = meta.checksum.as_ref().filter(|_| head.wants_checksum) {
                object_headers::set_checksum(&mut response, checksum);
            }
        }
    }
    Ok(response)
}
