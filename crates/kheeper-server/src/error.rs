//! One map from what went wrong to what the client reads. What the log says is another text.

use kheeper_model::Timestamp;
use kheeper_s3::error::{S3Error, S3ErrorCode};
use kheeper_store::{CallerRecord, IntegrityFailure, StoreError};

/// What every caller reads whose token did not verify, whatever was wrong with it.
const UNAUTHENTICATED: &str = "Access denied. Requests to this server carry a kheeper token.";

/// Why a request was refused before anything was done for it.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// Nobody we know. The reason is for the log.
    Unauthenticated(&'static str),
    /// An S3 signature instead of a token.
    SigV4,
    /// Validly signed, and too old.
    TokenExpired,
    /// Validly signed, and from the future.
    ClockAhead { secs: u64 },
    /// Somebody we know, who may not. The reason is for both.
    Denied {
        /// Why.
        why: &'static str,
        /// Who, for the audit log.
        who: Box<CallerRecord>,
    },
    /// Nobody is let in: the store was restored from a snapshot of that time.
    Quarantined(Timestamp),
    /// Who is calling cannot be found out now.
    Unavailable(&'static str),
}

impl Refusal {
    /// Somebody we know, who may not.
    pub(crate) fn denied(why: &'static str, who: &CallerRecord) -> Self {
        Self::Denied { why, who: Box::new(who.clone()) }
    }

    /// What the client reads.
    pub(crate) fn into_s3_error(self) -> S3Error {
        match self {
            Self::Unauthenticated(why) => {
                tracing::debug!(why, "a caller was refused");
                S3Error::new(S3ErrorCode::AccessDenied).with_message(UNAUTHENTICATED)
            }
            Self::SigV4 => S3Error::new(S3ErrorCode::AccessDenied).with_message(
                "This server takes no S3 signatures: point the client at kheeper object-proxy (http://127.0.0.1:5000).",
            ),
            Self::TokenExpired => S3Error::new(S3ErrorCode::ExpiredToken),
            Self::ClockAhead { secs } => S3Error::new(S3ErrorCode::RequestTimeTooSkewed).with_message(format!(
                "The token is from {secs} s in the future: set the clock of the machine that made it."
            )),
            Self::Denied { why, .. } => {
                S3Error::new(S3ErrorCode::AccessDenied).with_message(format!("Access denied: {why}."))
            }
            Self::Quarantined(since) => quarantined(since),
            Self::Unavailable(why) => {
                tracing::error!(why, "callers cannot be authenticated");
                S3Error::new(S3ErrorCode::ServiceUnavailable)
            }
        }
    }
}

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        refusal.into_s3_error()
    }
}

/// A client tries again, and its operator reads why in the meantime.
fn quarantined(since: Timestamp) -> S3Error {
    S3Error::new(S3ErrorCode::ServiceUnavailable)
        .with_message(format!("Nobody is let in: {}.", StoreError::Quarantined(since)))
}

/// What a client reads when the store could not do as it was asked. Logs what an operator has to act on.
pub(crate) fn store_error(error: &StoreError) -> S3Error {
    use S3ErrorCode as Code;
    let code = match error {
        StoreError::NoSuchKey => Code::NoSuchKey,
        StoreError::NoSuchUpload => Code::NoSuchUpload,
        StoreError::InvalidPart(_) => Code::InvalidPart,
        StoreError::InvalidPartOrder => Code::InvalidPartOrder,
        StoreError::EntityTooSmall { .. } => Code::EntityTooSmall,
        StoreError::EntityTooLarge => Code::EntityTooLarge,
        StoreError::PreconditionFailed => Code::PreconditionFailed,
        StoreError::Denied(denied) => {
            tracing::info!(%denied, "refused at commit");
            return S3Error::new(Code::AccessDenied).with_message(format!("Access denied: {denied}."));
        }
        StoreError::ReadOnlyHost => {
            return S3Error::new(Code::AccessDenied).with_message(
                "Access denied: this host rejoined and may only read. Restore first, then run kheeper hosts resume on it.",
            );
        }
        StoreError::AttemptMismatch => {
            return S3Error::new(Code::InvalidRequest)
                .with_message("This attempt is known, and wrote something else: a retry must send the same bytes.");
        }
        StoreError::PartChecksum { expected, found } => {
            let found = found.map_or_else(|| "null".to_owned(), |found| found.to_string().to_lowercase());
            let expected = expected.to_string().to_lowercase();
            return S3Error::invalid_request(format!(
                "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {found}"
            ));
        }
        StoreError::ObjectSize { .. } => return S3Error::invalid_request(format!("{error}.")),
        StoreError::ChecksumKind(_) => {
            return S3Error::invalid_request("The upload was not created for a checksum of the type you specified.");
        }
        StoreError::ChecksumMismatch(algorithm) => {
            return S3Error::new(Code::BadDigest)
                .with_message(format!("The {algorithm} you specified did not match the calculated checksum."));
        }
        StoreError::WouldOverwrite(key) => {
            return S3Error::new(Code::PreconditionFailed).with_message(format!(
                "{key} has, or had until it was deleted, other bytes, and this namespace keeps what was written first. \
                 Write under another name or prefix; an owner ends it with kheeper hosts set ORG/HOST --no-overwrite=off."
            ));
        }
        StoreError::TimeNotPast(_) => {
            return S3Error::new(Code::InvalidArgument).with_message(format!("{error}."));
        }
        StoreError::Integrity(failure @ IntegrityFailure::Length { .. }) => {
            return S3Error::new(Code::IncompleteBody).with_message(format!("{failure}."));
        }
        StoreError::Integrity(failure @ IntegrityFailure::Crc64Nvme) => {
            return S3Error::new(Code::BadDigest).with_message(format!("{failure}."));
        }
        StoreError::StorageFull => {
            tracing::error!("a write was refused: the disk is full");
            Code::XKheeperStorageFull
        }
        StoreError::ShareExceeded => {
            tracing::error!("a write was refused: {error}");
            return S3Error::new(Code::XKheeperStorageFull).with_message(format!("{error}."));
        }
        StoreError::QuotaExceeded => Code::QuotaExceeded,
        StoreError::Quarantined(since) => return quarantined(*since),
        StoreError::Unavailable(why) => {
            tracing::error!(%why, "the store is unavailable");
            Code::ServiceUnavailable
        }
        StoreError::Busy(why) => {
            tracing::warn!(%why, "the store is busy");
            Code::SlowDown
        }
        StoreError::Damaged { blob, what } => {
            tracing::error!(%blob, what, "stored bytes are damaged and were not sent");
            return S3Error::new(Code::InternalError).with_message(
                "The stored bytes are damaged and were not sent. The operator of the server must look at it.",
            );
        }
        other => {
            tracing::error!(error = %other, "a request failed");
            Code::InternalError
        }
    };
    S3Error::new(code)
}
