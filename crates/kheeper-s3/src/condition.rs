//! Conditional requests (RFC 9110, section 13), for reads, writes and the source of a copy.

use http::{HeaderMap, HeaderName};
use kheeper_model::{ETag, Timestamp};

use crate::range::RangeSpec;
use crate::{S3Error, S3ErrorCode};

/// What `If-Match` and `If-None-Match` hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETagList {
    /// `*`: any object.
    Any,
    /// One of these.
    Tags(Vec<EntityTag>),
}

/// One entity tag of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag {
    /// Whether it was marked weak (`W/`).
    pub weak: bool,
    /// The tag without quotes.
    pub tag: ETag,
}

impl ETagList {
    /// Parses a header. Quotes may be missing, as some clients leave them out; `InvalidArgument` for an empty list.
    fn parse(name: &HeaderName, value: &str) -> Result<Self, S3Error> {
        if value.trim() == "*" {
            return Ok(Self::Any);
        }
        let tags: Vec<EntityTag> = value
            .split(',')
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
            .map(|tag| match tag.strip_prefix("W/") {
                Some(tag) => EntityTag { weak: true, tag: ETag::new(tag) },
                None => EntityTag { weak: false, tag: ETag::new(tag) },
            })
            .collect();
        if tags.is_empty() {
            return Err(S3Error::invalid_argument("The list of entity tags is empty.", name.as_str(), value));
        }
        Ok(Self::Tags(tags))
    }

    /// Strong comparison: `If-Match` (RFC 9110, section 8.8.3.2).
    fn matches_strongly(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| !tag.weak && tag.tag == *etag),
        }
    }

    /// Weak comparison: `If-None-Match`.
    fn matches_weakly(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag.tag == *etag),
        }
    }
}

/// `If-Range`: serve the range only if the object is still this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfRange {
    /// An entity tag, compared strongly.
    Tag(EntityTag),
    /// The exact time of the last change.
    Date(Timestamp),
}

/// The conditions of a GET or HEAD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadConditions {
    /// `If-Match`.
    pub if_match: Option<ETagList>,
    /// `If-None-Match`.
    pub if_none_match: Option<ETagList>,
    /// `If-Modified-Since`; whole seconds.
    pub if_modified_since: Option<Timestamp>,
    /// `If-Unmodified-Since`; whole seconds.
    pub if_unmodified_since: Option<Timestamp>,
    /// `If-Range`.
    pub if_range: Option<IfRange>,
}

impl ReadConditions {
    /// Reads the conditions of a GET or HEAD. Dates that are none are ignored, as RFC 9110 asks.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, S3Error> {
        Ok(Self {
            if_match: etags(headers, &http::header::IF_MATCH)?,
            if_none_match: etags(headers, &http::header::IF_NONE_MATCH)?,
            if_modified_since: date(headers, &http::header::IF_MODIFIED_SINCE),
            if_unmodified_since: date(headers, &http::header::IF_UNMODIFIED_SINCE),
            if_range: if_range(headers),
        })
    }

    /// Judges the conditions in the order of RFC 9110, section 13.2.2: `PreconditionFailed`, or `NotModified`.
    pub fn evaluate(&self, etag: &ETag, last_modified: Timestamp) -> Result<(), S3Error> {
        self.evaluate_match(etag, last_modified)?;
        if self.is_unchanged(etag, last_modified) {
            return Err(S3Error::new(S3ErrorCode::NotModified));
        }
        Ok(())
    }

    /// The range to serve: `range`, or none where `If-Range` names another version of the object.
    pub fn range_to_serve(&self, range: Option<RangeSpec>, etag: &ETag, modified: Timestamp) -> Option<RangeSpec> {
        let same = match &self.if_range {
            None => true,
            Some(IfRange::Tag(tag)) => !tag.weak && tag.tag == *etag,
            Some(IfRange::Date(date)) => date.as_secs() == modified.as_secs(),
        };
        range.filter(|_| same)
    }

    fn evaluate_match(&self, etag: &ETag, last_modified: Timestamp) -> Result<(), S3Error> {
        let (holds, condition) = match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) => (tags.matches_strongly(etag), "If-Match"),
            (None, Some(date)) => (last_modified.as_secs() <= date.as_secs(), "If-Unmodified-Since"),
            (None, None) => return Ok(()),
        };
        if holds { Ok(()) } else { Err(failed(condition)) }
    }

    fn is_unchanged(&self, etag: &ETag, last_modified: Timestamp) -> bool {
        match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => tags.matches_weakly(etag),
            (None, Some(date)) => last_modified.as_secs() <= date.as_secs(),
            (None, None) => false,
        }
    }
}

/// The conditions on the source of a copy, `x-amz-copy-source-if-*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceConditions(ReadConditions);

impl SourceConditions {
    /// Reads `x-amz-copy-source-if-*`.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, S3Error> {
        const IF_MATCH: HeaderName = HeaderName::from_static("x-amz-copy-source-if-match");
        const IF_NONE_MATCH: HeaderName = HeaderName::from_static("x-amz-copy-source-if-none-match");
        const IF_MODIFIED_SINCE: HeaderName = HeaderName::from_static("x-amz-copy-source-if-modified-since");
        const IF_UNMODIFIED_SINCE: HeaderName = HeaderName::from_static("x-amz-copy-source-if-unmodified-since");
        Ok(Self(ReadConditions {
            if_match: etags(headers, &IF_MATCH)?,
            if_none_match: etags(headers, &IF_NONE_MATCH)?,
            if_modified_since: date(headers, &IF_MODIFIED_SINCE),
            if_unmodified_since: date(headers, &IF_UNMODIFIED_SINCE),
            if_range: None,
        }))
    }

    /// Judges the conditions: `PreconditionFailed` where one does not hold. A copy is never answered 304.
    pub fn evaluate(&self, etag: &ETag, last_modified: Timestamp) -> Result<(), S3Error> {
        self.0.evaluate_match(etag, last_modified)?;
        if self.0.is_unchanged(etag, last_modified) {
            return Err(failed("x-amz-copy-source-if-none-match or -if-modified-since"));
        }
        Ok(())
    }
}

/// What must be true of the key, at the moment of the commit, for a write to happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WritePrecondition {
    /// Nothing.
    #[default]
    None,
    /// `If-None-Match: *`: the key has no object.
    Absent,
    /// `If-Match: <etag>`: the key's object has this ETag.
    Match(ETag),
}

impl WritePrecondition {
    /// Reads the conditions of a PUT, copy or complete. What S3 has no meaning for is `NotImplemented`, never ignored.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, S3Error> {
        let if_match = etags(headers, &http::header::IF_MATCH)?;
        let if_none_match = etags(headers, &http::header::IF_NONE_MATCH)?;
        match (if_match, if_none_match) {
            (None, None) => Ok(Self::None),
            (None, Some(ETagList::Any)) => Ok(Self::Absent),
            (Some(ETagList::Tags(tags)), None) => match tags.as_slice() {
                [EntityTag { weak: false, tag }] => Ok(Self::Match(tag.clone())),
                _ => Err(S3Error::not_implemented("If-Match with several or weak entity tags on a write")),
            },
            (Some(ETagList::Any), None) => Err(S3Error::not_implemented("If-Match: * on a write")),
            (None, Some(ETagList::Tags(_))) => {
                Err(S3Error::not_implemented("If-None-Match with an entity tag on a write"))
            }
            (Some(_), Some(_)) => Err(S3Error::not_implemented("If-Match together with If-None-Match on a write")),
        }
    }
}

/// What must be true of an object, at the moment of the commit, for a DELETE to happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DeletePrecondition {
    /// Nothing.
    #[default]
    None,
    /// `If-Match: *`: there is an object.
    Present,
    /// `If-Match: <etag>`: the object has this ETag.
    Match(ETag),
}

impl DeletePrecondition {
    /// Reads the condition of a DELETE. What S3 has no meaning for is `NotImplemented`, never ignored.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, S3Error> {
        match etags(headers, &http::header::IF_MATCH)? {
            None => Ok(Self::None),
            Some(ETagList::Any) => Ok(Self::Present),
            Some(ETagList::Tags(tags)) => match tags.as_slice() {
                [EntityTag { weak: false, tag }] => Ok(Self::Match(tag.clone())),
                _ => Err(S3Error::not_implemented("If-Match with several or weak entity tags on DELETE")),
            },
        }
    }
}

fn failed(condition: &str) -> S3Error {
    S3Error::new(S3ErrorCode::PreconditionFailed).with_field("Condition", condition)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn etags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<ETagList>, S3Error> {
    let refuse = || S3Error::invalid_argument("The header is not a list of entity tags.", name.as_str(), "");
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let mut joined = first.to_str().map_err(|_| refuse())?.to_owned();
    for more in values {
        joined.push(',');
        joined.push_str(more.to_str().map_err(|_| refuse())?);
    }
    ETagList::parse(name, &joined).map(Some)
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    parse_date(text(headers, name)?)
}

/// An HTTP date in any of its three forms.
fn parse_date(text: &str) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(text.trim()).ok()?;
    let secs = time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(Timestamp::from_secs(i64::try_from(secs).ok()?))
}

fn if_range(headers: &HeaderMap) -> Option<IfRange> {
    let value = text(headers, &http::header::IF_RANGE)?.trim();
    if let Some(date) = parse_date(value) {
        return Some(IfRange::Date(date));
    }
    let (weak, tag) = value.strip_prefix("W/").map_or((false, value), |tag| (true, tag));
    Some(IfRange::Tag(EntityTag { weak, tag: ETag::new(tag) }))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const ETAG: &str = "900150983cd24fb0d6963f7d28e17f72";
    /// Half a second after `Sun, 06 Nov 1994 08:49:37 GMT`, RFC 9110's example date.
    const MODIFIED: Timestamp = Timestamp(784_111_777_500);
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("valid")))
            .collect()
    }

    fn read(pairs: &[(&'static str, &str)]) -> Result<(), S3ErrorCode> {
        let conditions = ReadConditions::from_headers(&headers(pairs)).expect("valid");
        conditions.evaluate(&ETag::new(ETAG), MODIFIED).map_err(|error| error.code)
    }

    #[test]
    fn each_read_condition_holds_or_not() {
        use S3ErrorCode::{NotModified, PreconditionFailed};
        let quoted = format!("\"{ETAG}\"");
        assert_eq!(read(&[]), Ok(()));
        for tag in [quoted.as_str(), ETAG, "*", &format!("\"x\", {quoted}")] {
            assert_eq!(read(&[("if-match", tag)]), Ok(()), "{tag}");
            assert_eq!(read(&[("if-none-match", tag)]), Err(NotModified), "{tag}");
        }
        assert_eq!(read(&[("if-match", "\"x\"")]), Err(PreconditionFailed));
        assert_eq!(read(&[("if-none-match", "\"x\"")]), Ok(()));
        assert_eq!(read(&[("if-modified-since", SAME)]), Err(NotModified));
        assert_eq!(read(&[("if-modified-since", EARLIER)]), Ok(()));
        assert_eq!(read(&[("if-unmodified-since", SAME)]), Ok(()));
        assert_eq!(read(&[("if-unmodified-since", EARLIER)]), Err(PreconditionFailed));
        assert_eq!(read(&[("if-unmodified-since", "yesterday")]), Ok(()));
    }

    #[test]
    fn weak_tags_match_for_none_match_and_never_for_match() {
        let weak = format!("W/\"{ETAG}\"");
        assert_eq!(read(&[("if-match", &weak)]), Err(S3ErrorCode::PreconditionFailed));
        assert_eq!(read(&[("if-none-match", &weak)]), Err(S3ErrorCode::NotModified));
    }

    #[test]
    fn aws_get_object_if_match_true_outweighs_if_unmodified_since_false() {
        assert_eq!(read(&[("if-match", ETAG), ("if-unmodified-since", EARLIER)]), Ok(()));
    }

    #[test]
    fn aws_get_object_if_none_match_false_outweighs_if_modified_since_true() {
        let conditions = [("if-none-match", ETAG), ("if-modified-since", EARLIER)];
        assert_eq!(read(&conditions), Err(S3ErrorCode::NotModified));
    }

    #[test]
    fn a_copy_source_condition_fails_with_412_in_every_case() {
        let source = |pairs: &[(&'static str, &str)]| {
            let conditions = SourceConditions::from_headers(&headers(pairs)).expect("valid");
            conditions.evaluate(&ETag::new(ETAG), MODIFIED).map_err(|error| error.code)
        };
        assert_eq!(source(&[("x-amz-copy-source-if-match", ETAG)]), Ok(()));
        for (name, value) in [
            ("x-amz-copy-source-if-match", "x"),
            ("x-amz-copy-source-if-none-match", ETAG),
            ("x-amz-copy-source-if-modified-since", SAME),
            ("x-amz-copy-source-if-unmodified-since", EARLIER),
        ] {
            assert_eq!(source(&[(name, value)]), Err(S3ErrorCode::PreconditionFailed), "{name}");
        }
    }

    #[test]
    fn if_range_of_another_version_turns_a_range_into_the_whole() {
        let range = RangeSpec::parse("bytes=0-1");
        let served = |if_range: &str| {
            let conditions = ReadConditions::from_headers(&headers(&[("if-range", if_range)])).expect("valid");
            conditions.range_to_serve(range, &ETag::new(ETAG), MODIFIED)
        };
        assert_eq!(served(&format!("\"{ETAG}\"")), range);
        assert_eq!(served(SAME), range);
        assert_eq!(served("\"other\""), None);
        assert_eq!(served(&format!("W/\"{ETAG}\"")), None);
        assert_eq!(served(EARLIER), None);
    }

    #[test]
    fn a_delete_may_ask_for_one_object_or_for_any() {
        let delete =
            |tag: &str| DeletePrecondition::from_headers(&headers(&[("if-match", tag)])).map_err(|error| error.code);
        assert_eq!(DeletePrecondition::from_headers(&HeaderMap::new()), Ok(DeletePrecondition::None));
        assert_eq!(delete("*"), Ok(DeletePrecondition::Present));
        assert_eq!(delete("\"abc\""), Ok(DeletePrecondition::Match(ETag::new("abc"))));
        assert_eq!(delete("\"a\", \"b\""), Err(S3ErrorCode::NotImplemented));
        assert_eq!(delete("W/\"a\""), Err(S3ErrorCode::NotImplemented));
    }

    #[test]
    fn a_write_precondition_is_one_of_two_or_refused() {
        let write = |pairs: &[(&'static str, &str)]| {
            WritePrecondition::from_headers(&headers(pairs)).map_err(|error| error.code)
        };
        assert_eq!(write(&[]), Ok(WritePrecondition::None));
        assert_eq!(write(&[("if-none-match", "*")]), Ok(WritePrecondition::Absent));
        assert_eq!(write(&[("if-match", "\"abc\"")]), Ok(WritePrecondition::Match(ETag::new("abc"))));
        for refused in [
            &[("if-none-match", "\"abc\"")][..],
            &[("if-match", "*")],
            &[("if-match", "\"a\", \"b\"")],
            &[("if-match", "W/\"a\"")],
            &[("if-match", "\"a\""), ("if-none-match", "*")],
        ] {
            assert_eq!(write(refused), Err(S3ErrorCode::NotImplemented), "{refused:?}");
        }
    }
}
