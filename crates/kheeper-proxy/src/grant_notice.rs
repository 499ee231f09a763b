//! Says in the log by which grant this host reads another, and warns before the end: a recovery that the end of a grant
//! interrupts stops, and whoever runs it should not be surprised.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;

/// The hosts that are remembered; more than a host can hold grants.
const HOSTS_MAX: usize = 64;

/// What was said of each grant.
#[derive(Debug, Default)]
pub(crate) struct GrantNotices(Mutex<HashMap<String, Notice>>);

/// How near the end is: each is said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Notice {
    Begun,
    AnHour,
    TenMinutes,
    AMinute,
}

impl Notice {
    fn of(secs_left: u64) -> Self {
        match secs_left {
            ..60 => Self::AMinute,
            60..600 => Self::TenMinutes,
            600..3600 => Self::AnHour,
            3600.. => Self::Begun,
        }
    }
}

impl GrantNotices {
    /// Looks whether an answer was had by a grant, and says what has to be said.
    pub(crate) fn look_at(&self, headers: &HeaderMap) {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(host) = header("x-kheeper-grant-of") else { return };
        let Some(secs_left) = header("x-kheeper-grant-secs-left").and_then(|secs| secs.parse().ok()) else { return };
        match self.note(host, secs_left) {
            None => {}
            Some(Notice::Begun) => tracing::info!("reading {host} by a grant, for another {} min", secs_left / 60),
            Some(_) => tracing::warn!(
                secs_left,
                "the grant to read {host} ends soon; what still needs it then is refused: kheeper grants create"
            ),
        }
    }

    /// What has to be said now, if anything. A grant that was made anew begins again.
    fn note(&self, host: &str, secs_left: u64) -> Option<Notice> {
        let notice = Notice::of(secs_left);
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= HOSTS_MAX && !said.contains_key(host) {
            said.clear();
        }
        (said.insert(host.to_owned(), notice) != Some(notice)).then_some(notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_towards_the_end_is_said_once_and_a_new_grant_begins_again() {
        let notices = GrantNotices::default();
        let said: Vec<Option<Notice>> =
            [7200, 7100, 3599, 3000, 599, 59, 10, 7200].map(|secs| notices.note("web-01", secs)).into();
        let expected = [
            Some(Notice::Begun),
            None,
            Some(Notice::AnHour),
            None,
            Some(Notice::TenMinutes),
            Some(Notice::AMinute),
            None,
            Some(Notice::Begun),
        ];
        assert_eq!(said, expected);
    }
}
