//! When a reader looks: now, or at a time that is past.

use kheeper_model::Timestamp;
use kheeper_model::limits::AS_OF_SECS_MIN;

use crate::error::StoreError;

/// When a reader looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// At what is current.
    Now,
    /// At what was current then: versions with committed_at <= then < hidden_at.
    Past(Timestamp),
}

impl AsOf {
    /// A time that is past by enough for nothing to be committed as of it any more.
    pub(crate) fn past(at: Timestamp, now: Timestamp) -> Result<Self, StoreError> {
        if at > now.minus_secs(AS_OF_SECS_MIN) { Err(StoreError::TimeNotPast(at)) } else { Ok(Self::Past(at)) }
    }
}
