//! CopyObject: a new version that shares the source's content. No byte moves.

use kheeper_model::ObjectHeaders;

use crate::control::unexpected;
use crate::error::StoreError;
use crate::host_store::HostStore;
use crate::index::{Change, CopyObject, Outcome};
use crate::object::{CopyRequest, Written};

impl HostStore {
    /// Makes a version of `request.key` with the bytes of `request.source`, which a [`crate::ReadStore`] gave.
    pub async fn copy(&self, request: CopyRequest) -> Result<Written, StoreError> {
        self.check_owns(&request.key)?;
        let source = request.source;
        let headers: ObjectHeaders = request.headers.unwrap_or(source.headers);
        let change = CopyObject {
            caller: self.caller.clone(),
            namespace: self.namespace_id.clone(),
            key: request.key,
            attempt: request.attempt,
            began: request.began,
            source: source.key,
            content: source.content,
            etag: source.etag,
            bytes: source.bytes,
            part_count: source.part_count,
            checksum: request.checksum.or(source.checksum),
            headers,
            precondition: request.precondition,
        };
        match self.store.commit(Change::CopyObject(change)).await? {
            Outcome::Written(written) => Ok(written),
            other => Err(unexpected(&other)),
        }
    }
}
