//! `GET /bucket?list-type=2`

use http::Response;
use kheeper_model::{ChecksumAlgorithm, ChecksumKind};
use kheeper_s3::S3Error;
use kheeper_s3::operation::ListObjectsV2;
use kheeper_s3::xml::response::{self, ObjectEntry, ObjectPage};
use kheeper_store::{ListEntry, ListPage, ListQuery, ReadStore};

use crate::request::dispatch::{Call, read};
use crate::request::lending::ShownHosts;
use crate::request::respond::{self, ResponseBody};

/// What an object has whose client named no checksum.
const CHECKSUM_DEFAULT: (ChecksumAlgorithm, ChecksumKind) = (ChecksumAlgorithm::Crc64nvme, ChecksumKind::FullObject);

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: ReadStore,
    list: ListObjectsV2,
) -> Result<Response<ResponseBody>, S3Error> {
    charge_host(&mut call);
    if let Some(cursor) = &list.cursor {
        check_cursor(cursor, &list.prefix, list.continuation_token.as_deref())?;
    }
    // The token of an earlier page counts, and not where the first page began.
    let after = list.cursor.clone().or_else(|| list.start_after.clone().map(String::into_bytes));
    let query = ListQuery {
        prefix: list.prefix.clone().into_bytes(),
        delimiter: list.delimiter.clone().map(String::into_bytes),
        after,
        max: list.max_keys as usize,
    };
    let page = read(store.list(query)).await?;
    let shown = ShownHosts::of(&page);
    let mut response = respond::xml(response::list_objects_v2(&list, &object_page(page)));
    response.extensions_mut().insert(shown);
    Ok(response)
}

/// A listing is charged to the host that asks; what an owner lists across hosts is charged to nobody.
pub(super) fn charge_host(call: &mut Call<'_>) {
    if let kheeper_store::CallerSubject::Host { namespace_id, .. } = &call.identity.record.subject {
        call.meter.charge(namespace_id);
    }
}

/// A cursor is a key of the listing it came from; one of another listing is refused. What it leads to is authorized by
/// the handle, whatever it says.
fn check_cursor(cursor: &[u8], prefix: &str, token: Option<&str>) -> Result<(), S3Error> {
    if cursor.starts_with(prefix.as_bytes()) {
        return Ok(());
    }
    let message = "The continuation token provided is incorrect";
    Err(S3Error::invalid_argument(message, "continuation-token", token.unwrap_or_default()))
}

/// The store's page in S3's two lists.
pub(super) fn object_page(page: ListPage) -> ObjectPage {
    let mut objects = Vec::with_capacity(page.entries.len());
    let mut common_prefixes = Vec::new();
    for entry in page.entries {
        match entry {
            ListEntry::Object(object) => objects.push(ObjectEntry {
                key: object.key.into(),
                last_modified: object.last_modified,
                etag: object.etag,
                size: object.bytes,
                storage_class: object.storage_class,
                // The one that every object has is what a GET would say, too.
                checksum: Some(object.checksum.unwrap_or(CHECKSUM_DEFAULT)),
            }),
            ListEntry::CommonPrefix(prefix) => common_prefixes.push(prefix),
        }
    }
    ObjectPage { objects, common_prefixes, next: page.next }
}
