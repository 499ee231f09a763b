//! `HEAD /bucket/key`: what a GET would say, without the bytes.

use http::{Response, StatusCode};
use kheeper_s3::S3Error;
use kheeper_s3::operation::ReadObject;
use kheeper_store::ReadStore;

use super::get_object::not_modified;
use super::object_headers;
use super::read_span::Span;
use crate::request::dispatch::{Call, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: ReadStore,
    head: ReadObject,
) -> Result<Response<ResponseBody>, S3Error> {
    // Only these two need to know more than the object's row says.
    let (meta, parts, checksum) = if head.wants_checksum || head.part_number.is_some() {
        let object = read(store.get(&head.key)).await?;
        let checksum = head.wants_checksum.then(|| object.checksum());
        let parts = object.parts();
        (object.meta, parts, checksum)
    } else {
        (read(store.head(&head.key)).await?, Vec::new(), None)
    };
    call.meter.charge(&meta.namespace_id);
    if let Err(error) = head.conditions.evaluate(&meta.etag, meta.last_modified) {
        return not_modified(error, &meta);
    }
    let span = Span::of(&head, &meta, &parts)?;
    let mut response = respond::status(StatusCode::OK);
    object_headers::set_stored(&mut response, &meta, &head.overrides);
    object_headers::set_span(&mut response, &meta, &span, checksum.as_ref());
    if head.part_number.is_some() {
        object_headers::set_parts_count(&mut response, &meta);
    }
    Ok(response)
}
