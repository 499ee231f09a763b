//! What S3 calls an object: its key, its ETag, the headers kept with it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{KEY_BYTES_MAX, USER_METADATA_BYTES_MAX};

/// An object's key, `host/` included: 1 to 1024 bytes of UTF-8, opaque, never normalised, ordered by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectKeyError {
    /// A key has at least one byte.
    #[error("the key is empty")]
    Empty,
    /// More bytes than [`KEY_BYTES_MAX`].
    #[error("the key has {0} bytes, and may have {KEY_BYTES_MAX}")]
    TooLong(usize),
}

impl ObjectKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as the bytes that order it.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = ObjectKeyError;

    fn try_from(key: String) -> Result<Self, ObjectKeyError> {
        match key.len() {
            0 => Err(ObjectKeyError::Empty),
            1..=KEY_BYTES_MAX => Ok(Self(key)),
            bytes => Err(ObjectKeyError::TooLong(bytes)),
        }
    }
}

impl FromStr for ObjectKey {
    type Err = ObjectKeyError;

    fn from_str(key: &str) -> Result<Self, ObjectKeyError> {
        Self::try_from(key.to_owned())
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> String {
        key.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An entity tag without its quotes: 32 hex digits of the content's MD5, or `<md5 of the parts' md5s>-<parts>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ETag(String);

impl ETag {
    /// Takes the tag as it stands, with or without the quotes around it.
    pub fn new(tag: &str) -> Self {
        Self(tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(tag).to_owned())
    }

    /// The tag without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag as it stands in a header or in XML, in quotes.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The headers that are kept with an object and given back with it: lower-case names, sorted, each once.
///
/// They are `content-type`, `cache-control`, `content-disposition`, `content-encoding`, `content-language`, `expires`,
/// `x-amz-storage-class`, `x-amz-tagging`, `x-amz-website-redirect-location` and any `x-amz-meta-*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectHeaders(std::collections::BTreeMap<String, String>);

impl ObjectHeaders {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header; a name given twice keeps its last value. `name` must be lower case.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Removes a header, if it is there.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All headers, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the user's own metadata is within S3's 2 KiB (names without their prefix, and values).
    pub fn user_metadata_fits(&self) -> bool {
        let bytes: usize =
            self.iter().filter_map(|(name, value)| Some(name.strip_prefix("x-amz-meta-")?.len() + value.len())).sum();
        bytes <= USER_METADATA_BYTES_MAX
    }
}

impl FromIterator<(String, String)> for ObjectHeaders {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(headers: I) -> Self {
        Self(headers.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_1024_bytes() {
        assert_eq!("".parse::<ObjectKey>(), Err(ObjectKeyError::Empty));
        assert!("a".repeat(1024).parse::<ObjectKey>().is_ok());
        assert_eq!("a".repeat(1025).parse::<ObjectKey>(), Err(ObjectKeyError::TooLong(1025)));
        assert_eq!("é".repeat(513).parse::<ObjectKey>(), Err(ObjectKeyError::TooLong(1026)));
    }

    #[test]
    fn a_key_is_never_normalised() {
        for key in ["a//b", "../x", "./a", "a/", "e\u{301}", "\u{e9}", "a\0b"] {
            assert_eq!(key.parse::<ObjectKey>().map(String::from), Ok(key.to_owned()));
        }
    }

    #[test]
    fn an_etag_is_the_same_with_and_without_quotes() {
        assert_eq!(ETag::new("\"abc\""), ETag::new("abc"));
        assert_eq!(ETag::new("abc").quoted(), "\"abc\"");
    }
}
