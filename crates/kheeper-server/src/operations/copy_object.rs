//! `PUT /bucket/key` with `x-amz-copy-source`: another version that shares the source's content.

use http::{HeaderMap, Response};
use kheeper_model::limits::PUT_BYTES_MAX;
use kheeper_model::{Checksum, ChecksumAlgorithm, ChecksumKind};
use kheeper_s3::body::declared::Declared;
use kheeper_s3::body::hash_lane::HashLane;
use kheeper_s3::body::verify::{Compute, PayloadVerifier};
use kheeper_s3::operation::CopyObject;
use kheeper_s3::xml::response;
use kheeper_s3::{S3Error, S3ErrorCode};
use kheeper_store::{CopyRequest, HostStore, ObjectHandle, ReadStore};

use super::precondition;
use crate::error::store_error;
use crate::request::dispatch::{Call, commit, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    target: HostStore,
    source: ReadStore,
    copy: CopyObject,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(target.namespace_id());
    let object = read(source.get(&copy.source.key)).await?;
    let meta = object.meta.clone();
    copy.source_conditions.evaluate(&meta.etag, meta.last_modified)?;
    let checksum = match copy.checksum_algorithm {
        Some(asked) => Some(checksum_of_copy(object, asked).await?),
        None => None,
    };
    let request = CopyRequest {
        key: copy.key.clone(),
        attempt: call.attempt,
        began: call.began,
        headers: Some(copy.headers_of_copy(&meta.headers)),
        source: meta,
        checksum,
        precondition: precondition::of(copy.precondition.clone()),
    };
    let written = commit(target.copy(request)).await?;
    let document = response::copy_object(&written.etag, written.last_modified, written.checksum.as_ref());
    let mut response = respond::xml(document);
    respond::note_overwrite(&mut response, &written);
    Ok(response)
}

/// The checksum that the client wants the copy to have: the one that is known, or computed from the bytes. Reading them
/// takes time in which the client hears nothing, so no more are read than S3 copies at all.
async fn checksum_of_copy(object: ObjectHandle, asked: ChecksumAlgorithm) -> Result<Checksum, S3Error> {
    let known = [Some(object.crc64nvme_checksum()), object.meta.checksum.clone()];
    let whole = |known: &Checksum| known.algorithm == asked && known.kind == ChecksumKind::FullObject;
    if let Some(known) = known.into_iter().flatten().find(whole) {
        return Ok(known);
    }
    if object.meta.bytes > PUT_BYTES_MAX {
        return Err(S3Error::invalid_request(format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {PUT_BYTES_MAX}"
        )));
    }
    let declared = Declared::of_length(object.meta.bytes);
    let mut lane = HashLane::new(PayloadVerifier::new(&declared, Compute { md5: false }).and_compute(asked));
    let mut stream = object.stream(0..object.meta.bytes).await.map_err(|error| store_error(&error))?;
    while let Some(bytes) = stream.next().await {
        lane.push(bytes.map_err(|error| store_error(&error))?).await?;
    }
    let verified = lane.finish(&HeaderMap::new()).await?;
    verified.checksum.ok_or(S3Error::new(S3ErrorCode::InternalError))
}
