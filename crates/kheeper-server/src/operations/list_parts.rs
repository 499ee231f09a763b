//! `GET /bucket/key?uploadId=…`

use http::Response;
use kheeper_s3::S3Error;
use kheeper_s3::operation::ListParts;
use kheeper_s3::xml::response::{self, PartEntry, PartPage};
use kheeper_store::HostStore;

use crate::request::dispatch::{Call, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: HostStore,
    list: ListParts,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    let page =
        read(store.list_parts(&list.key, &list.upload, list.part_number_marker, list.max_parts as usize)).await?;
    let parts = page.parts.into_iter().map(|part| PartEntry {
        part_number: part.number,
        last_modified: part.last_modified,
        etag: part.etag,
        size: part.bytes,
        checksum: part.checksum,
    });
    let page = PartPage {
        parts: parts.collect(),
        truncated: page.next.is_some(),
        checksum: page.upload.checksum,
        storage_class: page.upload.headers.get("x-amz-storage-class").map(str::to_owned),
    };
    Ok(respond::xml(response::list_parts(&list, &page)))
}
