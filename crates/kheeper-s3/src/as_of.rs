//! Reading the past: the header by which a person's proxy says as of when, and the server hears it.

use http::{HeaderMap, HeaderValue};
use kheeper_model::Timestamp;

use crate::{S3Error, S3ErrorCode};

/// Milliseconds since 1970, in decimal: what is read is what there was then. A client's own is dropped by the proxy.
pub const AT: &str = "x-kheeper-at";

/// The header's value for a time.
pub fn header_value(at: Timestamp) -> HeaderValue {
    HeaderValue::from(at.as_millis())
}

/// The time that the headers name, if they name one. Anything but one number is refused: a reader who asks for the past
/// must never get the present.
pub fn parse(headers: &HeaderMap) -> Result<Option<Timestamp>, S3Error> {
    let mut values = headers.get_all(AT).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let millis = value.to_str().ok().and_then(|text| text.parse::<i64>().ok()).filter(|millis| *millis >= 0);
    match (millis, values.next()) {
        (Some(millis), None) => Ok(Some(Timestamp(millis))),
        _ => {
            Err(S3Error::new(S3ErrorCode::InvalidArgument).with_message(format!("{AT} is not a time in milliseconds.")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (http::HeaderName::from_static(AT), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_time_is_read_as_it_was_written() {
        let at = Timestamp(1_700_000_000_123);
        let mut headers = HeaderMap::new();
        headers.insert(AT, header_value(at));
        assert_eq!(parse(&headers), Ok(Some(at)));
        assert_eq!(parse(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn what_is_no_time_is_never_taken_for_now() {
        for values in [&[""][..], &["now"], &["-1"], &["1.5"], &["99999999999999999999"], &["1", "1"]] {
            assert!(parse(&headers(values)).is_err(), "{values:?}");
        }
    }
}
