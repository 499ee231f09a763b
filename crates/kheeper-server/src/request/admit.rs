//! Whether there is room for the request: one permit of a bounded number, and a body of a length that is allowed.

use std::sync::Arc;

use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use kheeper_model::limits;
use kheeper_s3::{Operation, S3Error, S3ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Takes a permit, to be held until the answer was sent. Looks at lengths before a byte of the body is read, so that a
/// client that waits for `100 Continue` is refused without sending it.
pub(crate) fn admit(
    requests: &Arc<Semaphore>,
    operation: &Operation,
    headers: &HeaderMap,
) -> Result<OwnedSemaphorePermit, S3Error> {
    let permit = Arc::clone(requests).try_acquire_owned().map_err(|_| {
        tracing::warn!("a request was refused: too many are in flight");
        S3Error::new(S3ErrorCode::SlowDown)
    })?;
    let bytes_max = match operation {
        Operation::PutObject(_) => limits::PUT_BYTES_MAX,
        Operation::UploadPart(_) => limits::PART_BYTES_MAX,
        _ => limits::XML_BODY_BYTES_MAX as u64,
    };
    // Framed bodies are longer than their payload by their framing; the payload's own length is checked as it arrives.
    let framing_allowance = bytes_max / 64;
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > bytes_max + framing_allowance) {
        return Err(S3Error::new(S3ErrorCode::EntityTooLarge));
    }
    Ok(permit)
}
