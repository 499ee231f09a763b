//! `GET /bucket?uploads`: the host's own uploads.

use http::Response;
use kheeper_s3::S3Error;
use kheeper_s3::operation::ListMultipartUploads;
use kheeper_s3::xml::response;
use kheeper_store::{HostStore, UploadEntry, UploadQuery};

use crate::request::dispatch::{Call, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: HostStore,
    list: ListMultipartUploads,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    let query = UploadQuery {
        prefix: list.prefix.clone(),
        delimiter: list.delimiter.clone(),
        after_key: list.key_marker.clone(),
        after_upload: list.upload_id_marker,
        max: list.max_uploads as usize,
    };
    let found = read(store.list_uploads(query)).await?;
    let mut page =
        response::UploadPage { uploads: Vec::new(), common_prefixes: Vec::new(), truncated: found.next.is_some() };
    for entry in found.entries {
        match entry {
            UploadEntry::CommonPrefix(prefix) => page.common_prefixes.push(prefix),
            UploadEntry::Upload(upload) => page.uploads.push(response::UploadEntry {
                key: upload.key.into(),
                upload: upload.id,
                initiated: upload.initiated,
                checksum: upload.checksum,
                storage_class: upload.headers.get("x-amz-storage-class").map(str::to_owned),
            }),
        }
    }
    Ok(respond::xml(response::list_multipart_uploads(&list, &page)))
}
