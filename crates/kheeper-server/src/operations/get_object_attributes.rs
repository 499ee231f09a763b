//! `GET /bucket/key?attributes`: what is known of an object, without its bytes.

use http::Response;
use http::header::LAST_MODIFIED;
use kheeper_s3::S3Error;
use kheeper_s3::operation::{GetObjectAttributes, ObjectAttribute};
use kheeper_s3::xml::attributes::{Attributes, PartAttributes, get_object_attributes};
use kheeper_store::{ObjectHandle, ReadStore};

use super::object_headers::{STORAGE_CLASS, http_date};
use crate::request::dispatch::{Call, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: ReadStore,
    request: GetObjectAttributes,
) -> Result<Response<ResponseBody>, S3Error> {
    let object = read(store.get(&request.key)).await?;
    let meta = &object.meta;
    call.meter.charge(&meta.namespace_id);
    let wants_parts = request.wants(ObjectAttribute::ObjectParts) && meta.part_count.is_some();
    let attributes = Attributes {
        etag: meta.etag.clone(),
        checksum: Some(object.checksum()),
        parts: if wants_parts { Some(parts(&object).await?) } else { None },
        storage_class: meta.headers.get(STORAGE_CLASS).map(str::to_owned),
        size: meta.bytes,
    };
    let mut response = respond::xml(get_object_attributes(&request, &attributes));
    respond::set(&mut response, LAST_MODIFIED, &http_date(meta.last_modified));
    Ok(response)
}

async fn parts(object: &ObjectHandle) -> Result<Vec<PartAttributes>, S3Error> {
    let mut checksums = read(object.part_checksums()).await?.unwrap_or_default().into_iter();
    let with_checksum =
        |part: std::ops::Range<u64>| PartAttributes { size: part.end - part.start, checksum: checksums.next() };
    Ok(object.parts().into_iter().map(with_checksum).collect())
}
