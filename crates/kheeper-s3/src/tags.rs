//! Object tags: as a header writes them (`a=1&b=2`), as a document does, and as they are kept.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::path::decode;
use crate::{S3Error, S3ErrorCode};

/// Tags an object may have (S3's limit).
const COUNT_MAX: usize = 10;
/// Characters of a tag's key and of its value (S3's limits).
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;

/// What would end a key or a value in the form that is kept. Everything else stays as it is.
const ENCODED: &AsciiSet = &CONTROLS.add(b'&').add(b'=').add(b'+').add(b'%').add(b' ');

/// An object's tags, in the order they were given; at most ten, each key once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(Vec<(String, String)>);

impl Tags {
    /// The tags of these keys and values; `InvalidTag` where one breaks S3's limits.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, S3Error> {
        let mut tags: Vec<(String, String)> = Vec::new();
        for (key, value) in pairs {
            if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
                return Err(invalid("The TagKey you have provided is invalid"));
            }
            if value.chars().count() > VALUE_CHARS_MAX {
                return Err(invalid("The TagValue you have provided is invalid"));
            }
            if tags.iter().any(|(other, _)| *other == key) {
                return Err(invalid("Cannot provide multiple Tags with the same key"));
            }
            if tags.len() == COUNT_MAX {
                return Err(invalid("Object tags cannot be greater than 10"));
            }
            tags.push((key, value));
        }
        Ok(Self(tags))
    }

    /// Reads `x-amz-tagging`, and what [`Self::to_form`] writes; `InvalidTag` for what are no tags.
    pub fn parse_form(form: &str) -> Result<Self, S3Error> {
        let decoded = |raw: &str| decode(&raw.replace('+', " ")).map_err(|_| invalid("A tag cannot be decoded."));
        let mut pairs = Vec::new();
        // One more than may be is enough to know that there are too many.
        for pair in form.split('&').filter(|pair| !pair.is_empty()).take(COUNT_MAX + 1) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decoded(key)?, decoded(value)?));
        }
        Self::new(pairs)
    }

    /// The form they are kept in with the object's headers, under `x-amz-tagging`; `None` for no tags.
    pub fn to_form(&self) -> Option<String> {
        let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let pairs: Vec<String> =
            self.0.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
        if pairs.is_empty() { None } else { Some(pairs.join("&")) }
    }

    /// How many there are: what GET and HEAD say (`x-amz-tagging-count`).
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

fn invalid(message: &'static str) -> S3Error {
    S3Error::new(S3ErrorCode::InvalidTag).with_message(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_are_counted_and_checked() {
        assert_eq!(Tags::parse_form("a=1&b=2+3&c").map(|tags| tags.len()), Ok(3));
        assert_eq!(Tags::parse_form("").map(|tags| tags.is_empty()), Ok(true));
        let many = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join("&");
        assert!(Tags::parse_form(&many(10)).is_ok());
        let (long_key, long_value) = ("k".repeat(129), format!("k={}", "v".repeat(257)));
        for bad in ["=v", "a=1&a=2", "a=%FF", &many(11), &many(100_000), &long_key, &long_value] {
            let shown: String = bad.chars().take(20).collect();
            assert_eq!(Tags::parse_form(bad).expect_err(&shown).code, S3ErrorCode::InvalidTag);
        }
        assert!(Tags::parse_form(&format!("{}={}", "é".repeat(128), "é".repeat(256))).is_ok());
    }

    #[test]
    fn a_plus_is_a_space_in_a_header_and_an_encoded_plus_is_one() {
        let tags = Tags::parse_form("project=a+b%2Bc&x=%26%3D").expect("valid");
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("project", "a b+c"), ("x", "&=")]);
        assert_eq!(tags.to_form().as_deref(), Some("project=a%20b%2Bc&x=%26%3D"));
    }

    proptest! {
        #[test]
        fn what_is_kept_reads_back_the_same(key in "[^\0]{1,20}", value in "[^\0]{0,20}") {
            let tags = Tags::new([(key, value)]).expect("within the limits");
            let form = tags.to_form().expect("there is one");
            prop_assert_eq!(Tags::parse_form(&form), Ok(tags));
        }
    }
}
