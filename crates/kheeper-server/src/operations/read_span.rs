//! Which bytes of an object a GET or HEAD is about: all of them, a range, or one of its parts.

use std::ops::Range;

use kheeper_s3::operation::ReadObject;
use kheeper_s3::{S3Error, S3ErrorCode};
use kheeper_store::ObjectMeta;

/// The bytes, and how to speak of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Span {
    /// The whole object: 200.
    Whole,
    /// Some of it: 206, with its place in the object.
    Some(Range<u64>),
}

impl Span {
    /// What `request` asks for. `parts` are the object's, where a part was asked for.
    ///
    /// `InvalidRange` where there are no such bytes, `InvalidPartNumber` where there is no such part.
    pub(super) fn of(request: &ReadObject, meta: &ObjectMeta, parts: &[Range<u64>]) -> Result<Self, S3Error> {
        if let Some(number) = request.part_number {
            let part = parts.get(number as usize - 1).cloned().ok_or_else(|| {
                S3Error::new(S3ErrorCode::InvalidPartNumber)
                    .with_field("PartNumberRequested", number)
                    .with_field("ActualPartCount", parts.len())
            })?;
            // No Content-Range can name no bytes: the only part of an empty object is all of it, an empty last part of
            // several is a range that cannot be served.
            return match (part.is_empty(), meta.bytes) {
                (false, _) => Ok(Self::Some(part)),
                (true, 0) => Ok(Self::Whole),
                (true, _) => Err(S3Error::new(S3ErrorCode::InvalidRange)),
            };
        }
        match request.conditions.range_to_serve(request.range, &meta.etag, meta.last_modified) {
            Some(asked) => Ok(Self::Some(asked.resolve(meta.bytes)?)),
            None => Ok(Self::Whole),
        }
    }

    /// The bytes.
    pub(super) fn bytes(&self, meta: &ObjectMeta) -> Range<u64> {
        match self {
            Self::Whole => 0..meta.bytes,
            Self::Some(range) => range.clone(),
        }
    }
}
