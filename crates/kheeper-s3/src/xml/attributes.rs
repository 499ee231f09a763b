//! `GetObjectAttributesResponse`: what was asked for of an object, and nothing else.

use bytes::Bytes;
use kheeper_model::{Checksum, ETag};

use super::response::{STORAGE_CLASS_DEFAULT, checksum_elements};
use super::write::Writer;
use crate::operation::{GetObjectAttributes, ObjectAttribute};

/// An object, as far as its attributes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Its ETag.
    pub etag: ETag,
    /// Its checksum.
    pub checksum: Option<Checksum>,
    /// Its parts in order, where it was uploaded in parts and they were asked for.
    pub parts: Option<Vec<PartAttributes>>,
    /// Its storage class, where it was given one.
    pub storage_class: Option<String>,
    /// Bytes it has.
    pub size: u64,
}

/// A part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartAttributes {
    /// Bytes it has.
    pub size: u64,
    /// Its checksum, where its client declared one.
    pub checksum: Option<Checksum>,
}

/// The document. Parts are counted from 1 in their order, as GET's `partNumber` counts them.
pub fn get_object_attributes(request: &GetObjectAttributes, object: &Attributes) -> Bytes {
    let mut xml = Writer::document();
    xml.open_root("GetObjectAttributesResponse");
    if request.wants(ObjectAttribute::ETag) {
        // Here alone S3 writes it without quotes.
        xml.text("ETag", object.etag.as_str());
    }
    if request.wants(ObjectAttribute::Checksum)
        && let Some(checksum) = &object.checksum
    {
        xml.open("Checksum");
        checksum_elements(&mut xml, Some(checksum));
        xml.close("Checksum");
    }
    if request.wants(ObjectAttribute::ObjectParts)
        && let Some(parts) = &object.parts
    {
        object_parts(&mut xml, request, parts);
    }
    if request.wants(ObjectAttribute::StorageClass) {
        xml.text("StorageClass", object.storage_class.as_deref().unwrap_or(STORAGE_CLASS_DEFAULT));
    }
    if request.wants(ObjectAttribute::ObjectSize) {
        xml.plain("ObjectSize", object.size);
    }
    xml.close("GetObjectAttributesResponse");
    xml.finish()
}

fn object_parts(xml: &mut Writer, request: &GetObjectAttributes, parts: &[PartAttributes]) {
    let first = (request.part_number_marker as usize).min(parts.len());
    let end = first.saturating_add(request.max_parts as usize).min(parts.len());
    xml.open("ObjectParts");
    xml.plain("IsTruncated", end < parts.len() && request.max_parts > 0);
    xml.plain("MaxParts", request.max_parts);
    xml.plain("NextPartNumberMarker", end);
    xml.plain("PartNumberMarker", request.part_number_marker);
    for (number, part) in (first + 1..).zip(&parts[first..end]) {
        xml.open("Part");
        if let Some(checksum) = &part.checksum {
            xml.text(checksum.algorithm.xml_element(), &checksum.value);
        }
        xml.plain("PartNumber", number);
        xml.plain("Size", part.size);
        xml.close("Part");
    }
    xml.plain("PartsCount", parts.len());
    xml.close("ObjectParts");
}

#[cfg(test)]
mod tests {
    use kheeper_model::{ChecksumAlgorithm, ChecksumKind};

    use super::*;
    use ObjectAttribute::{Checksum as Sum, ETag as Tag, ObjectParts, ObjectSize, StorageClass};

    fn document(attributes: &[ObjectAttribute], max_parts: u32, part_number_marker: u32) -> String {
        let request = GetObjectAttributes {
            bucket: "myorg".parse().expect("a name"),
            key: "web-01/a".parse().expect("a key"),
            attributes: attributes.to_vec(),
            max_parts,
            part_number_marker,
        };
        let checksum =
            |value: &str, kind| Some(Checksum { algorithm: ChecksumAlgorithm::Crc32, kind, value: value.to_owned() });
        let part = |size| PartAttributes { size, checksum: checksum("AAAAAA==", ChecksumKind::FullObject) };
        let object = Attributes {
            etag: ETag::new("abc-3"),
            checksum: checksum("y/Q5Jg==-3", ChecksumKind::Composite),
            parts: Some(vec![part(5), part(5), part(1)]),
            storage_class: None,
            size: 11,
        };
        let text = String::from_utf8(get_object_attributes(&request, &object).to_vec()).expect("UTF-8");
        let (_, inner) = text.split_once("2006-03-01/\">").expect("a root");
        inner.strip_suffix("</GetObjectAttributesResponse>").expect("a root").to_owned()
    }

    #[test]
    fn only_what_was_asked_for_is_said() {
        assert_eq!(document(&[Tag], 1000, 0), "<ETag>abc-3</ETag>");
        assert_eq!(document(&[ObjectSize], 1000, 0), "<ObjectSize>11</ObjectSize>");
        assert_eq!(document(&[StorageClass], 1000, 0), "<StorageClass>STANDARD</StorageClass>");
        assert_eq!(
            document(&[Sum], 1000, 0),
            "<Checksum><ChecksumCRC32>y/Q5Jg==-3</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType></Checksum>"
        );
    }

    #[test]
    fn parts_come_in_pages() {
        let part = |number: u32, size: u32| {
            format!(
                "<Part><ChecksumCRC32>AAAAAA==</ChecksumCRC32><PartNumber>{number}</PartNumber><Size>{size}</Size></Part>"
            )
        };
        let page = |truncated: bool, max: u32, next: u32, marker: u32, parts: &str| {
            format!(
                "<ObjectParts><IsTruncated>{truncated}</IsTruncated><MaxParts>{max}</MaxParts>\
                 <NextPartNumberMarker>{next}</NextPartNumberMarker><PartNumberMarker>{marker}</PartNumberMarker>{parts}\
                 <PartsCount>3</PartsCount></ObjectParts>"
            )
        };
        let first = [part(1, 5), part(2, 5)].concat();
        assert_eq!(document(&[ObjectParts], 2, 0), page(true, 2, 2, 0, &first));
        assert_eq!(document(&[ObjectParts], 2, 2), page(false, 2, 3, 2, &part(3, 1)));
        assert_eq!(document(&[ObjectParts], 2, 10_000), page(false, 2, 3, 10_000, ""));
        assert_eq!(document(&[ObjectParts], 0, 0), page(false, 0, 0, 0, ""));
    }
}
