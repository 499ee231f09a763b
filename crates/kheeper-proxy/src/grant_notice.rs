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
    /// Looks whether an answer was had by grants, and says what has to be said of each.
    pub(crate) fn look_at(&self, headers: &HeaderMap) {
        let all = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        for (host, secs_left) in all("x-kheeper-grant-of").zip(all("x-kheeper-grant-secs-left")) {
            if let Ok(secs_left) = secs_left.parse() {
                self.say(host, secs_left);
            }
        }
    }

    fn say(&self, host: &str, secs_left: u64) {
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
    fn an_answer_by_several_grants_speaks_of_each() {
        let notices = GrantNotices::default();
        let mut headers = HeaderMap::new();
        for (host, secs_left) in [("web-01", "59"), ("web-03", "7200")] {
            headers.append("x-kheeper-grant-of", host.parse().expect("a header value"));
            headers.append("x-kheeper-grant-secs-left", secs_left.parse().expect("a header value"));
        }
        notices.look_at(&headers);
        assert_eq!(notices.note("web-01", 58), None, "that was said");
        assert_eq!(notices.note("web-03", 7100), None, "and so was that");
    }

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
