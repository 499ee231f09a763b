//! How far our clock is from the server's, as every answer's `Date` shows it.
//!
//! Tokens carry times, so a clock that drifts is fine until it is five minutes off and then stops all backups at once.
//! It is measured all the while, to be named before that: in the log, in `/-/metrics`, and in the error in the end.

use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use http::HeaderMap;
use http::header::DATE;
use kheeper_model::Timestamp;

/// From here on the log says it: a fifth of what the server tolerates, and more than any answer is under way.
const NAMED_FROM_SECS: u64 = 60;
/// It is said again when it has changed by this much.
const NAMED_AGAIN_SECS: u64 = 30;
/// `Date` has whole seconds, hyper writes it once a second, and the answer takes its way.
const UNCERTAIN_SECS: u64 = 2;

/// The difference, as last seen.
#[derive(Debug, Default)]
pub(crate) struct ClockDrift(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ahead_secs: Option<i64>,
    named: Option<i64>,
}

/// What there is to say about a measurement.
#[derive(Debug, PartialEq, Eq)]
enum News {
    None,
    Off(i64),
    RightAgain,
}

impl ClockDrift {
    /// Takes an answer's `Date` into account, if it has one, and says in the log what is worth saying. The seconds by
    /// which our clock, `now`, is ahead.
    pub(crate) fn observe(&self, headers: &HeaderMap, now: Timestamp) -> Option<i64> {
        let ahead_secs = ahead_of(headers, now)?;
        match self.note(ahead_secs) {
            News::None => {}
            News::Off(_) => tracing::warn!(
                ahead_secs,
                "the clock of this machine is {}: set it right, the server tolerates {} s",
                describe(ahead_secs),
                kheeper_model::limits::CLOCK_SKEW_SECS_MAX
            ),
            News::RightAgain => tracing::info!("the clock of this machine agrees with the server's again"),
        }
        Some(ahead_secs)
    }

    /// Seconds by which our clock was ahead of the server's at its last answer; 0 within what can be told.
    pub(crate) fn ahead_secs(&self) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ahead_secs
    }

    fn note(&self, ahead_secs: i64) -> News {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ahead_secs = Some(ahead_secs);
        let off = ahead_secs.unsigned_abs() >= NAMED_FROM_SECS;
        match state.named {
            None if off => {}
            Some(named) if off && named.abs_diff(ahead_secs) >= NAMED_AGAIN_SECS => {}
            Some(_) if !off => {
                state.named = None;
                return News::RightAgain;
            }
            _ => return News::None,
        }
        state.named = Some(ahead_secs);
        News::Off(ahead_secs)
    }
}

/// `7200 s behind the server's`.
pub(crate) fn describe(ahead_secs: i64) -> String {
    let direction = if ahead_secs > 0 { "ahead of" } else { "behind" };
    format!("{} s {direction} the server's", ahead_secs.unsigned_abs())
}

fn ahead_of(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let theirs = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let theirs = theirs.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let ahead = now.as_secs() - i64::try_from(theirs).ok()?;
    Some(if ahead.unsigned_abs() <= UNCERTAIN_SECS { 0 } else { ahead })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_difference_is_named_once_and_again_when_it_changes() {
        let drift = ClockDrift::default();
        assert_eq!(drift.ahead_secs(), None);
        assert_eq!(drift.note(30), News::None);
        assert_eq!(drift.note(-90), News::Off(-90));
        assert_eq!(drift.note(-91), News::None);
        assert_eq!(drift.note(-130), News::Off(-130));
        assert_eq!(drift.ahead_secs(), Some(-130));
        assert_eq!(drift.note(0), News::RightAgain);
        assert_eq!(drift.note(0), News::None);
    }

    #[test]
    fn a_date_is_compared_to_the_second_and_its_own_uncertainty_is_no_drift() {
        let headers = |value: &'static str| HeaderMap::from_iter([(DATE, HeaderValue::from_static(value))]);
        let date = headers("Sun, 22 Nov 2026 21:00:00 GMT");
        let at = |secs: i64| Timestamp::from_secs(1_795_381_200 + secs);
        assert_eq!(ahead_of(&date, at(0)), Some(0));
        assert_eq!(ahead_of(&date, at(2)), Some(0));
        assert_eq!(ahead_of(&date, at(7200)), Some(7200));
        assert_eq!(ahead_of(&date, at(-7200)), Some(-7200));
        assert_eq!(ahead_of(&headers("yesterday"), at(0)), None);
        assert_eq!(ahead_of(&HeaderMap::new(), at(0)), None);
    }
}
