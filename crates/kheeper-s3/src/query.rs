//! The query of a request: its parameters, decoded, in order.

use crate::header::{Policy, QUERY_POLICY};
use crate::path::decode;
use crate::{S3Error, S3ErrorCode};

/// The parameters of a query, decoded once (`+` is a space), in the order they came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parses a query as it stood on the wire, without its `?`.
    ///
    /// `InvalidURI` when it cannot be decoded, `InvalidArgument` when a parameter that means something comes twice:
    /// two readers could each believe another one.
    pub fn parse(raw: Option<&str>) -> Result<Self, S3Error> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode_form(name)?, decode_form(value)?);
            if means_something(&name) && pairs.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
                return Err(S3Error::invalid_argument("A query parameter may be given once.", &name, &value));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter, empty for one without; `None` when it is not there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, `None` also where it is empty: S3 reads `delimiter=` as no delimiter.
    pub fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Whether a parameter is there, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A parameter as a number from 0 to `max`; larger numbers count as `max`, an absent or empty one as `default`.
    pub(crate) fn number(&self, name: &str, default: u32, max: u32) -> Result<u32, S3Error> {
        let Some(text) = self.non_empty(name) else { return Ok(default) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || text.len() > 10 || text.parse::<u64>().is_ok_and(|number| number > i32::MAX as u64) {
            let message = format!("Provided {name} not an integer or within integer range");
            return Err(S3Error::new(S3ErrorCode::InvalidArgument)
                .with_message(message)
                .with_field("ArgumentName", name)
                .with_field("ArgumentValue", text));
        }
        Ok(text.parse::<u32>().unwrap_or(max).min(max))
    }
}

fn decode_form(raw: &str) -> Result<String, S3Error> {
    if raw.contains('+') { decode(&raw.replace('+', " ")) } else { decode(raw) }
}

/// Whether the policy list knows the name, or its prefix says that we should.
fn means_something(name: &str) -> bool {
    QUERY_POLICY.iter().any(|(known, policy)| *known == name && !matches!(policy, Policy::Ignore))
        || name.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-amz-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(raw: &str) -> Vec<(String, String)> {
        let query = Query::parse(Some(raw)).expect(raw);
        query.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_plus_is_a_space_and_an_escaped_plus_is_a_plus() {
        assert_eq!(pairs("prefix=a+b%2Bc%20d"), [("prefix".into(), "a b+c d".into())]);
    }

    #[test]
    fn a_sub_resource_is_the_same_bare_and_with_an_equals_sign() {
        for raw in ["uploads", "uploads=", "&uploads&", "uploads=&x-id=CreateMultipartUpload"] {
            assert_eq!(Query::parse(Some(raw)).expect(raw).get("uploads"), Some(""), "{raw}");
        }
        assert!(!Query::parse(None).expect("empty").contains("uploads"));
    }

    #[test]
    fn a_known_parameter_that_comes_twice_is_refused() {
        for raw in ["prefix=a&prefix=b", "uploadId=1&uploadId=1", "%70refix=a&prefix=b", "x-amz-acl=a&X-Amz-Acl=b"] {
            assert_eq!(Query::parse(Some(raw)).expect_err(raw).code, S3ErrorCode::InvalidArgument, "{raw}");
        }
        assert!(Query::parse(Some("foo=1&foo=2")).is_ok());
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused_not_replaced() {
        assert_eq!(Query::parse(Some("prefix=%FF")).expect_err("bad").code, S3ErrorCode::InvalidURI);
        assert_eq!(Query::parse(Some("prefix=%4")).expect_err("bad").code, S3ErrorCode::InvalidURI);
    }

    #[test]
    fn numbers_are_capped_and_nothing_else_is_a_number() {
        let number = |raw: &str| Query::parse(Some(raw)).expect(raw).number("max-keys", 1000, 1000);
        assert_eq!(number("max-keys=5"), Ok(5));
        assert_eq!(number("max-keys=0"), Ok(0));
        assert_eq!(number("max-keys="), Ok(1000));
        assert_eq!(number(""), Ok(1000));
        assert_eq!(number("max-keys=100000"), Ok(1000));
        for bad in ["max-keys=-1", "max-keys=abc", "max-keys=2147483648", "max-keys=99999999999", "max-keys=1.5"] {
            assert_eq!(number(bad).expect_err(bad).code, S3ErrorCode::InvalidArgument);
        }
    }
}
