//! The documents that clients send: what was read, written again, reads the same.
#![no_main]

use kheeper_fuzz::{bounded, escape};
use kheeper_model::limits::{DELETE_KEYS_MAX, PART_NUMBER_MAX};
use kheeper_s3::tags::Tags;
use kheeper_s3::xml::request::{CompleteRequest, DeleteRequest, parse_tagging};
use libfuzzer_sys::fuzz_target;

/// An element of three bytes of name becomes a tree node, so memory is a multiple of the input, and bounded by
/// the number of elements that a document may have.
const MEMORY_FACTOR: usize = 64;

fuzz_target!(|input: &[u8]| {
    if let Ok(request) = bounded(input, MEMORY_FACTOR, || DeleteRequest::parse(input)) {
        assert!((1..=DELETE_KEYS_MAX).contains(&request.keys.len()));
        let objects: String =
            request.keys.iter().map(|key| format!("<Object><Key>{}</Key></Object>", escape(key.as_str()))).collect();
        let document = format!("<Delete><Quiet>{}</Quiet>{objects}</Delete>", request.quiet);
        assert_eq!(DeleteRequest::parse(document.as_bytes()).as_ref(), Ok(&request));
    }
    if let Ok(request) = bounded(input, MEMORY_FACTOR, || CompleteRequest::parse(input)) {
        assert!(request.parts.is_sorted_by_key(|part| part.part_number));
        let mut document = String::from("<CompleteMultipartUpload>");
        for part in &request.parts {
            assert!((1..=PART_NUMBER_MAX).contains(&part.part_number));
            let (number, etag) = (part.part_number, escape(&part.etag.quoted()));
            let checksum = part.checksum.as_ref().map_or(String::new(), |(algorithm, value)| {
                let element = algorithm.xml_element();
                format!("<{element}>{value}</{element}>")
            });
            document += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{checksum}</Part>");
        }
        document += "</CompleteMultipartUpload>";
        assert_eq!(CompleteRequest::parse(document.as_bytes()).as_ref(), Ok(&request));
    }
    if let Ok(tags) = bounded(input, MEMORY_FACTOR, || parse_tagging(input)) {
        let set: String = tags
            .iter()
            .map(|(key, value)| format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(key), escape(value)))
            .collect();
        let document = format!("<Tagging><TagSet>{set}</TagSet></Tagging>");
        assert_eq!(parse_tagging(document.as_bytes()).as_ref(), Ok(&tags));
        let kept = tags.to_form().unwrap_or_default();
        assert_eq!(Tags::parse_form(&kept).as_ref(), Ok(&tags), "kept as {kept}");
    }
});
