//! `encoding-type=url`: keys as URL-encoded text, so that XML can hold any of them.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters and `/`. A plus becomes `%2B` and a space `%20`, which every client
/// decodes to the same, whether it reads `+` as a space or not.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Whether a listing encodes its keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyEncoding {
    /// Keys as they are.
    #[default]
    Plain,
    /// `encoding-type=url`, echoed as `EncodingType`.
    Url,
}

impl KeyEncoding {
    /// A key, prefix, delimiter or marker as it goes into the document.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Plain => Cow::Borrowed(text),
            Self::Url => utf8_percent_encode(text, ENCODED).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_list_objects_v2_example_test_file_3_png_is_url_encoded() {
        // The guide prints `test_file%283%29.png` for this key.
        assert_eq!(KeyEncoding::Url.apply("test_file(3).png"), "test_file%283%29.png");
    }

    #[test]
    fn plus_and_space_survive_both_ways_of_decoding() {
        assert_eq!(KeyEncoding::Url.apply("a+b c/d~é\u{1}"), "a%2Bb%20c/d~%C3%A9%01");
        assert_eq!(KeyEncoding::Plain.apply("a+b c"), "a+b c");
    }
}
