//! `POST /bucket/key?uploadId=…`: one manifest and one version; no byte is rewritten. Repeated, it answers the same.

use http::Response;
use kheeper_model::{Checksum, ChecksumKind};
use kheeper_s3::operation::CompleteMultipartUpload;
use kheeper_s3::xml::request::CompleteRequest as Document;
use kheeper_s3::xml::response;
use kheeper_s3::{OperationKind, S3Error};
use kheeper_store::{CompletePart, CompleteRequest, HostStore};

use super::precondition;
use crate::request::dispatch::{Call, commit};
use crate::request::respond::{self, ResponseBody};

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: HostStore,
    complete: CompleteMultipartUpload,
) -> Result<Response<ResponseBody>, S3Error> {
    call.meter.charge(store.namespace_id());
    let body = call.body.document(OperationKind::CompleteMultipartUpload, &call.headers).await?;
    let document = Document::parse(&body)?;
    let parts = document.parts.into_iter().map(|part| CompletePart {
        number: part.part_number,
        etag: part.etag,
        checksums: part
            .checksum
            .into_iter()
            .map(|(algorithm, value)| Checksum { algorithm, kind: ChecksumKind::FullObject, value })
            .collect(),
    });
    let request = CompleteRequest {
        key: complete.key.clone(),
        upload: complete.upload,
        parts: parts.collect(),
        object_bytes: complete.object_size,
        checksum: complete.object_checksum.clone(),
        checksum_kind: complete.checksum_kind,
        attempt: call.attempt,
        precondition: precondition::of(complete.precondition.clone()),
    };
    let written = commit(store.complete_upload(request)).await?;
    let location = format!("/{}/{}", complete.bucket, complete.key);
    let checksum = written.checksum.as_ref();
    let document =
        response::complete_multipart_upload(&complete.bucket, &complete.key, &location, &written.etag, checksum);
    let mut response = respond::xml(document);
    respond::note_overwrite(&mut response, &written);
    Ok(response)
}
