//! A write's condition, from how S3 says it to how the store checks it.

use kheeper_s3::condition::{DeletePrecondition, WritePrecondition};
use kheeper_store::{ETagMatch, Precondition};

pub(super) fn of(condition: WritePrecondition) -> Precondition {
    match condition {
        WritePrecondition::None => Precondition::NONE,
        WritePrecondition::Absent => Precondition::absent(),
        WritePrecondition::Match(tag) => {
            Precondition { if_match: Some(ETagMatch::OneOf(vec![tag])), if_none_match: None }
        }
    }
}

pub(super) fn of_delete(condition: DeletePrecondition) -> Precondition {
    let if_match = match condition {
        DeletePrecondition::None => None,
        DeletePrecondition::Present => Some(ETagMatch::Any),
        DeletePrecondition::Match(tag) => Some(ETagMatch::OneOf(vec![tag])),
    };
    Precondition { if_match, if_none_match: None }
}
