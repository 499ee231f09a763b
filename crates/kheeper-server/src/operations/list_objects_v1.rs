//! `GET /bucket`: the older listing, which rclone's `Other`, s3cmd and duplicity still use.

use http::Response;
use kheeper_s3::S3Error;
use kheeper_s3::operation::ListObjectsV1;
use kheeper_s3::xml::response;
use kheeper_store::{ListQuery, ReadStore};

use super::list_objects_v2::{charge_host, object_page};
use crate::request::dispatch::{Call, read};
use crate::request::lending::ShownHosts;
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: ReadStore,
    list: ListObjectsV1,
) -> Result<Response<ResponseBody>, S3Error> {
    charge_host(&mut call);
    let query = ListQuery {
        prefix: list.prefix.clone().into_bytes(),
        delimiter: list.delimiter.clone().map(String::into_bytes),
        after: list.marker.clone().map(String::into_bytes),
        max: list.max_keys as usize,
    };
    let page = read(store.list(query)).await?;
    let shown = ShownHosts::of(&page);
    let mut response = respond::xml(response::list_objects_v1(&list, &object_page(page)));
    response.extensions_mut().insert(shown);
    Ok(response)
}
