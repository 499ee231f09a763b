//! `Range`: which bytes of an object are wanted (RFC 9110, section 14).

use std::ops::Range;

use crate::{S3Error, S3ErrorCode};

/// One range of bytes, as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSpec {
    /// `bytes=first-last`, both included.
    FromTo {
        /// The first byte.
        first: u64,
        /// The last byte; may lie beyond the end.
        last: u64,
    },
    /// `bytes=first-`.
    From {
        /// The first byte.
        first: u64,
    },
    /// `bytes=-length`: the last `length` bytes.
    Suffix {
        /// How many.
        length: u64,
    },
}

impl RangeSpec {
    /// Parses a `Range` header. `None` for what a server ignores and answers with the whole object: another unit,
    /// several ranges (S3 serves one), and anything that is not well-formed (RFC 9110, section 14.2).
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, set) = header.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        match (first, last) {
            ("", length) => Some(Self::Suffix { length: position(length)? }),
            (first, "") => Some(Self::From { first: position(first)? }),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Self::FromTo { first, last })
            }
        }
    }

    /// The bytes it means in an object of `total` bytes; never empty. `InvalidRange` when there are none.
    pub fn resolve(self, total: u64) -> Result<Range<u64>, S3Error> {
        let range = match self {
            Self::FromTo { first, last } => first..last.saturating_add(1).min(total),
            Self::From { first } => first..total,
            Self::Suffix { length } => total.saturating_sub(length)..total,
        };
        if range.is_empty() {
            return Err(S3Error::new(S3ErrorCode::InvalidRange)
                .with_field("RangeRequested", self)
                .with_field("ActualObjectSize", total));
        }
        Ok(range)
    }
}

impl std::fmt::Display for RangeSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FromTo { first, last } => write!(f, "bytes={first}-{last}"),
            Self::From { first } => write!(f, "bytes={first}-"),
            Self::Suffix { length } => write!(f, "bytes=-{length}"),
        }
    }
}

/// A position. More digits than a number can hold mean "beyond the end", which is a position too.
fn position(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// The value of `Content-Range` on a 206 answer. `range` is what [`RangeSpec::resolve`] gave.
pub fn content_range(range: &Range<u64>, total: u64) -> String {
    debug_assert!(!range.is_empty() && range.end <= total, "a resolved range lies within the object");
    format!("bytes {}-{}/{total}", range.start, range.end - 1)
}

/// The value of `Content-Range` on a 416 answer.
pub fn unsatisfied_content_range(total: u64) -> String {
    format!("bytes */{total}")
}

/// `x-amz-copy-source-range`: `bytes=first-last`, both given and both inside the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRange {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
}

impl CopyRange {
    /// Parses the header; `InvalidArgument` for anything but `bytes=first-last`.
    pub fn parse(header: &str) -> Result<Self, S3Error> {
        match RangeSpec::parse(header) {
            Some(RangeSpec::FromTo { first, last }) => Ok(Self { first, last }),
            _ => Err(S3Error::invalid_argument(
                "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
                 zero-based offsets of the first and last bytes to copy",
                "x-amz-copy-source-range",
                header,
            )),
        }
    }

    /// The bytes it means in a source of `total` bytes; `InvalidRange` when it reaches beyond its end.
    pub fn resolve(self, total: u64) -> Result<Range<u64>, S3Error> {
        if self.last >= total {
            return Err(S3Error::new(S3ErrorCode::InvalidRange)
                .with_message(format!("Range specified is not valid for source object of size: {total}")));
        }
        Ok(self.first..self.last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(header: &str, total: u64) -> Result<Range<u64>, S3ErrorCode> {
        RangeSpec::parse(header).expect(header).resolve(total).map_err(|error| error.code)
    }

    #[test]
    fn rfc_9110_section_14_1_2_examples_for_a_representation_of_10000_bytes() {
        assert_eq!(resolve("bytes=0-499", 10_000), Ok(0..500));
        assert_eq!(resolve("bytes=500-999", 10_000), Ok(500..1000));
        assert_eq!(resolve("bytes=-500", 10_000), Ok(9500..10_000));
        assert_eq!(resolve("bytes=9500-", 10_000), Ok(9500..10_000));
    }

    #[test]
    fn aws_get_object_example_asks_for_the_first_ten_bytes() {
        let range = resolve("bytes=0-9", 434_234).expect("satisfiable");
        assert_eq!(content_range(&range, 434_234), "bytes 0-9/434234");
    }

    #[test]
    fn a_last_byte_beyond_the_end_is_the_end() {
        assert_eq!(resolve("bytes=0-499", 100), Ok(0..100));
        assert_eq!(resolve("bytes=-500", 100), Ok(0..100));
        assert_eq!(resolve("bytes=5-99999999999999999999999", 100), Ok(5..100));
        assert_eq!(resolve("bytes=0-18446744073709551615", 100), Ok(0..100));
    }

    #[test]
    fn a_range_without_a_byte_is_not_satisfiable() {
        for (header, total) in [("bytes=0-", 0), ("bytes=0-1", 0), ("bytes=-1", 0), ("bytes=-0", 5), ("bytes=5-", 5)] {
            assert_eq!(resolve(header, total), Err(S3ErrorCode::InvalidRange), "{header}");
        }
        assert_eq!(unsatisfied_content_range(5), "bytes */5");
    }

    #[test]
    fn what_is_not_one_well_formed_range_of_bytes_is_ignored() {
        for header in
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-2"]
        {
            assert_eq!(RangeSpec::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_copy_range_needs_both_ends_inside_the_source() {
        let range = CopyRange::parse("bytes=0-9").expect("valid");
        assert_eq!(range.resolve(10), Ok(0..10));
        assert_eq!(range.resolve(9).expect_err("beyond").code, S3ErrorCode::InvalidRange);
        for bad in ["bytes=0-", "bytes=-5", "0-9", "bytes=9-0"] {
            assert_eq!(CopyRange::parse(bad).expect_err(bad).code, S3ErrorCode::InvalidArgument);
        }
    }
}
