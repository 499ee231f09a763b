//! `GET /`: the caller's orgs.

use http::Response;
use kheeper_model::OrgName;
use kheeper_s3::S3Error;
use kheeper_s3::operation::ListBuckets;
use kheeper_s3::xml::response::{self, BucketEntry};

use crate::request::dispatch::{Call, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    call: Call<'_>,
    list: ListBuckets,
    mut orgs: Vec<OrgName>,
) -> Result<Response<ResponseBody>, S3Error> {
    orgs.sort();
    let after = list.after.as_deref().unwrap_or_default();
    orgs.retain(|org| org.as_str().starts_with(&list.prefix) && org.as_str().as_bytes() > after);
    let max = list.max_buckets as usize;
    let next = if max > 0 && orgs.len() > max { Some(orgs[max - 1].as_str().as_bytes().to_vec()) } else { None };
    orgs.truncate(max);
    let mut buckets = Vec::with_capacity(orgs.len());
    for name in orgs {
        if let Some(org) = read(call.app.store.org(&name)).await? {
            buckets.push(BucketEntry { name, created_at: org.created_at });
        }
    }
    let owner = call.identity.store_caller();
    Ok(respond::xml(response::list_buckets(&list, owner.subject.as_str(), &buckets, next.as_deref())))
}
