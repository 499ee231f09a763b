//! Times as people type them: `2026-11-22T21:00:00Z`, or `2h ago`.

use jiff::Timestamp as Instant;
use kheeper_model::Timestamp;

use crate::duration;

/// Reads a time; one that is said to be ago is counted from `now`.
pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(ago) = text.trim().strip_suffix("ago") {
        let secs = duration::parse_secs(ago.trim())?;
        return Ok(now.minus_secs(secs));
    }
    match text.trim().parse::<Instant>() {
        Ok(instant) => Ok(Timestamp(instant.as_millisecond())),
        Err(_) => Err(format!(
            "{text:?} is not a time: write 2026-11-22T21:00:00Z (with Z or an offset such as +01:00), or \"2h ago\""
        )),
    }
}

/// Reads a time for a command's flag, by this machine's clock.
pub(crate) fn parse_flag(text: &str) -> Result<Timestamp, String> {
    parse(text, kheeper_model::Clock::now(&kheeper_model::SystemClock))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_348_800_000);

    #[test]
    fn times_are_absolute_or_ago() {
        for (text, expected) in [
            ("2026-11-22T12:00:00Z", NOW),
            ("2026-11-22T13:00:00+01:00", NOW),
            ("2026-11-22 12:00:00Z", NOW),
            ("2026-11-22T12:00:00.000Z", NOW),
            ("2h ago", NOW.minus_secs(7200)),
            ("90s ago", NOW.minus_secs(90)),
            (" 1d 2h  ago", NOW.minus_secs(26 * 3600)),
        ] {
            assert_eq!(parse(text, NOW), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_time_without_its_zone_is_refused_and_so_is_the_future() {
        for text in ["", "2026-11-22", "2026-11-22T12:00:00", "yesterday", "2h", "-2h ago", "ago", "in 2h"] {
            assert!(parse(text, NOW).is_err(), "{text}");
        }
    }
}
