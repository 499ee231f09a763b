//! A write's condition, from how S3 says it to how the store checks it.

use kheeper_s3::condition::WritePrecondition;
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
