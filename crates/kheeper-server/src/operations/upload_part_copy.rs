//! `PUT /bucket/key?partNumber=…&uploadId=…` with `x-amz-copy-source`: a part whose bytes the store reads itself.
//!
//! The bytes are copied: they are read and verified like any GET, and written, hashed and synced like any part.

use http::{HeaderMap, Response};
use kheeper_model::limits::{PART_BYTES_MAX, PART_NUMBER_MAX};
use kheeper_s3::body::declared::Declared;
use kheeper_s3::body::hash_lane::HashLane;
use kheeper_s3::body::verify::{Compute, PayloadVerifier};
use kheeper_s3::operation::UploadPartCopy;
use kheeper_s3::xml::response;
use kheeper_s3::{S3Error, S3ErrorCode};
use kheeper_store::{HostStore, Integrity, NewPart, ReadStore};

use crate::error::store_error;
use crate::request::dispatch::{Call, commit, read};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    target: HostStore,
    source: ReadStore,
    copy: UploadPartCopy,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(target.namespace_id());
    let object = read(source.get(&copy.source.key)).await?;
    copy.source_conditions.evaluate(&object.meta.etag, object.meta.last_modified)?;
    let range = match copy.range {
        Some(range) => range.resolve(object.meta.bytes)?,
        None => 0..object.meta.bytes,
    };
    let length = range.end - range.start;
    if length > PART_BYTES_MAX {
        return Err(S3Error::new(S3ErrorCode::EntityTooLarge));
    }
    let part = NewPart {
        key: copy.key,
        upload: copy.upload,
        number: copy.part_number,
        attempt: call.attempt,
        length: Some(length),
    };
    let upload = read(target.list_parts(&part.key, &part.upload, PART_NUMBER_MAX, 1)).await?.upload;
    let mut writer = read(target.begin_part(part)).await?;
    let mut verifier = PayloadVerifier::new(&Declared::of_length(length), Compute { md5: true });
    if let Some((algorithm, _)) = upload.checksum {
        verifier = verifier.and_compute(algorithm);
    }
    let mut lane = HashLane::new(verifier);
    let mut stream = object.stream(range).await.map_err(|error| store_error(&error))?;
    while let Some(bytes) = stream.next().await {
        let bytes = bytes.map_err(|error| store_error(&error))?;
        lane.push(bytes.clone()).await?;
        writer.write(bytes).await.map_err(|error| store_error(&error))?;
    }
    let verified = lane.finish(&HeaderMap::new()).await?;
    let md5 = verified.md5.ok_or(S3Error::new(S3ErrorCode::InternalError))?;
    let integrity = Integrity { length, crc64nvme: verified.crc64nvme, md5, checksum: verified.checksum };
    let written = commit(writer.commit(integrity)).await?;
    Ok(respond::xml(response::upload_part_copy(&written.etag, written.last_modified, written.checksum.as_ref())))
}
