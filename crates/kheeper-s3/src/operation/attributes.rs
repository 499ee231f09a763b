//! GetObjectAttributes: what is known of an object, as much of it as is asked for.

use http::HeaderMap;
use kheeper_model::limits::{LIST_PAGE_MAX, PART_NUMBER_MAX};
use kheeper_model::{ObjectKey, OrgName};

use crate::S3Error;
use crate::header::single;

const PAGE_MAX: u32 = LIST_PAGE_MAX as u32;
const ATTRIBUTES: &str = "x-amz-object-attributes";

/// Something that GetObjectAttributes can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectAttribute {
    /// The ETag.
    ETag,
    /// The checksum of the object.
    Checksum,
    /// The parts, where it was uploaded in parts.
    ObjectParts,
    /// The storage class.
    StorageClass,
    /// Bytes it has.
    ObjectSize,
}

impl ObjectAttribute {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ETag" => Self::ETag,
            "Checksum" => Self::Checksum,
            "ObjectParts" => Self::ObjectParts,
            "StorageClass" => Self::StorageClass,
            "ObjectSize" => Self::ObjectSize,
            _ => return None,
        })
    }
}

/// `GET /bucket/key?attributes`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetObjectAttributes {
    /// The bucket.
    pub bucket: OrgName,
    /// The key.
    pub key: ObjectKey,
    /// What to say; at least one.
    pub attributes: Vec<ObjectAttribute>,
    /// At most so many parts.
    pub max_parts: u32,
    /// Only parts after this one.
    pub part_number_marker: u32,
}

impl GetObjectAttributes {
    pub(super) fn parse(bucket: OrgName, key: ObjectKey, headers: &HeaderMap) -> Result<Self, S3Error> {
        Ok(Self {
            bucket,
            key,
            attributes: attributes(headers)?,
            max_parts: number(headers, "x-amz-max-parts", PAGE_MAX)?.min(PAGE_MAX),
            part_number_marker: number(headers, "x-amz-part-number-marker", 0)?.min(PART_NUMBER_MAX),
        })
    }

    /// Whether it asks for `attribute`.
    pub fn wants(&self, attribute: ObjectAttribute) -> bool {
        self.attributes.contains(&attribute)
    }
}

/// The header may come several times, and each may be a list: SDKs do either.
fn attributes(headers: &HeaderMap) -> Result<Vec<ObjectAttribute>, S3Error> {
    let mut wanted = Vec::new();
    for value in headers.get_all(ATTRIBUTES) {
        let text = value.to_str().unwrap_or_default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let attribute = ObjectAttribute::parse(name)
                .ok_or_else(|| S3Error::invalid_argument("Invalid attribute name specified.", ATTRIBUTES, name))?;
            if !wanted.contains(&attribute) {
                wanted.push(attribute);
            }
        }
    }
    if wanted.is_empty() {
        return Err(S3Error::invalid_request(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
        ));
    }
    Ok(wanted)
}

fn number(headers: &HeaderMap, name: &'static str, default: u32) -> Result<u32, S3Error> {
    let Some(text) = single(headers, name)? else { return Ok(default) };
    let digits = !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(number) if digits && number <= i32::MAX as u32 => Ok(number),
        _ => Err(S3Error::invalid_argument("The header's value is not an integer within range.", name, text)),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::S3ErrorCode;

    fn parse(pairs: &[(&'static str, &'static str)]) -> Result<GetObjectAttributes, S3ErrorCode> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let (bucket, key) = ("myorg".parse().expect("a name"), "web-01/a".parse().expect("a key"));
        GetObjectAttributes::parse(bucket, key, &headers).map_err(|error| error.code)
    }

    #[test]
    fn attributes_come_as_a_list_or_one_by_one() {
        use ObjectAttribute::{Checksum, ETag, ObjectSize};
        let list = parse(&[(ATTRIBUTES, "ETag, Checksum,ObjectSize")]).expect("valid");
        let repeated = parse(&[(ATTRIBUTES, "ETag"), (ATTRIBUTES, "Checksum"), (ATTRIBUTES, "ObjectSize,ETag")]);
        assert_eq!(list.attributes, [ETag, Checksum, ObjectSize]);
        assert_eq!(repeated.as_ref(), Ok(&list));
        assert_eq!((list.max_parts, list.part_number_marker), (1000, 0));
    }

    #[test]
    fn what_is_no_attribute_or_no_number_is_refused() {
        assert_eq!(parse(&[]), Err(S3ErrorCode::InvalidRequest));
        assert_eq!(parse(&[(ATTRIBUTES, " , ")]), Err(S3ErrorCode::InvalidRequest));
        assert_eq!(parse(&[(ATTRIBUTES, "ETag,Colour")]), Err(S3ErrorCode::InvalidArgument));
        for bad in ["", "-1", "x", "+1", "99999999999", "4294967295"] {
            let bad = parse(&[(ATTRIBUTES, "ObjectParts"), ("x-amz-max-parts", bad)]);
            assert_eq!(bad, Err(S3ErrorCode::InvalidArgument));
        }
    }
}
