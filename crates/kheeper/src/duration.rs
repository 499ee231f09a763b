//! Durations as people type them: `90s`, `15m`, `26h`, `7d`, `1h 30m`, or a bare number of seconds.

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// Parses a duration into seconds.
pub(crate) fn parse_secs(text: &str) -> Result<u64, String> {
    if let Ok(secs) = text.parse() {
        return Ok(secs);
    }
    let wrong = || format!("{text:?} is not a duration: expected for instance 90s, 15m, 26h or 7d");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let duration: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    u64::try_from(duration.as_secs()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_with_their_units() {
        for (text, secs) in [("90s", 90), ("15m", 900), ("26h", 93_600), ("7d", 604_800), ("1h 30m", 5400), ("42", 42)]
        {
            assert_eq!(parse_secs(text), Ok(secs), "{text}");
        }
        for text in ["", "soon", "-5m", "5 parsecs", "1.5"] {
            assert!(parse_secs(text).is_err(), "{text}");
        }
    }
}
