//! The documents that clients send.
//!
//! Read with and without a namespace, since pgBackRest and s3cmd send none, and with ETags quoted or not. A document
//! type declaration is refused, attributes are never looked at, and depth, elements, their tags and bytes are limited.

use kheeper_model::limits::{DELETE_KEYS_MAX, PART_NUMBER_MAX, XML_BODY_BYTES_MAX};
use kheeper_model::{ChecksumAlgorithm, ETag, ObjectKey};
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};

use crate::body::declared::is_checksum_value;
use crate::path::parse_key;
use crate::tags::Tags;
use crate::{S3Error, S3ErrorCode};

/// Elements inside each other.
const DEPTH_MAX: usize = 8;
/// Elements of one document: ten thousand parts, each with a number, an ETag and a checksum, and room to spare.
const ELEMENTS_MAX: usize = 60_000;

/// Bytes of a start tag, attributes included. No client sends more than a namespace.
const TAG_BYTES_MAX: usize = 4096;

/// The body of DeleteObjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// The keys, 1 to [`DELETE_KEYS_MAX`], in the order they came in.
    pub keys: Vec<ObjectKey>,
    /// Whether the answer shall name failures only.
    pub quiet: bool,
}

impl DeleteRequest {
    /// Parses the document. `MalformedXML` for what is none, and for more than 1000 keys.
    ///
    /// An empty `<VersionId>` is no version: wal-g sends it, and ignores the errors that S3 would answer. A version
    /// that is not empty is `NotImplemented` for the whole request, as is an object that is to be deleted on condition.
    pub fn parse(body: &[u8]) -> Result<Self, S3Error> {
        let mut request = Self { keys: Vec::new(), quiet: false };
        for element in read_document(body, "Delete")? {
            match element.name.as_str() {
                "Quiet" => request.quiet = element.boolean()?,
                "Object" if request.keys.len() == DELETE_KEYS_MAX => {
                    return Err(malformed("It has more than 1000 keys."));
                }
                "Object" => request.keys.push(delete_key(element)?),
                _ => return Err(element.unexpected()),
            }
        }
        if request.keys.is_empty() {
            return Err(malformed("It names no key."));
        }
        Ok(request)
    }
}

fn delete_key(object: Element) -> Result<ObjectKey, S3Error> {
    let mut key = None;
    for element in object.children {
        match element.name.as_str() {
            "Key" => key = Some(element.text),
            "VersionId" | "ETag" | "LastModifiedTime" | "Size" if element.text.trim().is_empty() => {}
            "VersionId" | "ETag" | "LastModifiedTime" | "Size" => {
                return Err(S3Error::not_implemented(format!("{} in DeleteObjects", element.name)));
            }
            _ => return Err(element.unexpected()),
        }
    }
    match key {
        Some(key) if !key.is_empty() => parse_key(key),
        _ => Err(malformed("An object has no key.")),
    }
}

/// Reads the body of PutObjectTagging. `MalformedXML` for what is none, `InvalidTag` for tags that break S3's limits.
pub fn parse_tagging(body: &[u8]) -> Result<Tags, S3Error> {
    let mut sets = read_document(body, "Tagging")?;
    let set = match (sets.pop(), sets.is_empty()) {
        (Some(set), true) if set.name == "TagSet" => set,
        _ => return Err(malformed("It does not have exactly one TagSet.")),
    };
    let pairs: Result<Vec<_>, _> = set.children.into_iter().map(tag).collect();
    Tags::new(pairs?)
}

fn tag(tag: Element) -> Result<(String, String), S3Error> {
    if tag.name != "Tag" {
        return Err(tag.unexpected());
    }
    let (mut key, mut value) = (None, None);
    for element in tag.children {
        let kept = match element.name.as_str() {
            "Key" => &mut key,
            "Value" => &mut value,
            _ => return Err(element.unexpected()),
        };
        if kept.replace(element.text).is_some() {
            return Err(malformed("A tag has two keys or two values."));
        }
    }
    key.zip(value).ok_or_else(|| malformed("A tag lacks its Key or its Value."))
}

/// A part that CompleteMultipartUpload lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// 1 to [`PART_NUMBER_MAX`].
    pub part_number: u32,
    /// The ETag that its upload was answered with.
    pub etag: ETag,
    /// The checksum that its upload was answered with, where the client repeats it.
    pub checksum: Option<(ChecksumAlgorithm, String)>,
}

/// The body of CompleteMultipartUpload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteRequest {
    /// The parts, at least one, in ascending order of their numbers.
    pub parts: Vec<CompletedPart>,
}

impl CompleteRequest {
    /// Parses the document. `MalformedXML` for what is none, `InvalidArgument` for a part number that cannot be,
    /// `InvalidPartOrder` where the numbers do not ascend.
    pub fn parse(body: &[u8]) -> Result<Self, S3Error> {
        let mut parts: Vec<CompletedPart> = Vec::new();
        for element in read_document(body, "CompleteMultipartUpload")? {
            if element.name != "Part" {
                return Err(element.unexpected());
            }
            let part = completed_part(element)?;
            if parts.last().is_some_and(|last| last.part_number >= part.part_number) {
                return Err(S3Error::new(S3ErrorCode::InvalidPartOrder));
            }
            parts.push(part);
        }
        if parts.is_empty() {
            return Err(malformed("You must specify at least one part."));
        }
        Ok(Self { parts })
    }
}

fn completed_part(part: Element) -> Result<CompletedPart, S3Error> {
    let (mut part_number, mut etag, mut checksum) = (None, None, None);
    for element in part.children {
        let text = element.text.trim();
        match element.name.as_str() {
            "PartNumber" => part_number = Some(part_number_of(text)?),
            "ETag" => etag = Some(ETag::new(text)),
            name => {
                let algorithm = ChecksumAlgorithm::ALL.into_iter().find(|algorithm| algorithm.xml_element() == name);
                let Some(algorithm) = algorithm else { return Err(element.unexpected()) };
                if text.is_empty() {
                    continue;
                }
                if !is_checksum_value(algorithm, text) {
                    return Err(malformed("A part's checksum is not one."));
                }
                checksum = Some((algorithm, text.to_owned()));
            }
        }
    }
    match (part_number, etag) {
        (Some(part_number), Some(etag)) => Ok(CompletedPart { part_number, etag, checksum }),
        _ => Err(malformed("A part lacks its PartNumber or its ETag.")),
    }
}

fn part_number_of(text: &str) -> Result<u32, S3Error> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(malformed("A PartNumber is not a number."));
    }
    text.parse().ok().filter(|number| (1..=PART_NUMBER_MAX).contains(number)).ok_or_else(|| {
        let message = format!("Part number must be an integer between 1 and {PART_NUMBER_MAX}, inclusive");
        S3Error::invalid_argument(message, "partNumber", text)
    })
}

/// An element with what is in it.
#[derive(Debug, Default)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn boolean(&self) -> Result<bool, S3Error> {
        match self.text.trim() {
            "true" | "True" | "TRUE" | "1" => Ok(true),
            "" | "false" | "False" | "FALSE" | "0" => Ok(false),
            _ => Err(malformed("A boolean is neither true nor false.")),
        }
    }

    fn unexpected(&self) -> S3Error {
        malformed(format!("The element {} is not expected here.", self.name.chars().take(64).collect::<String>()))
    }
}

/// Reads a document and gives the children of its root, which must have the name `root`.
fn read_document(body: &[u8], root: &str) -> Result<Vec<Element>, S3Error> {
    if body.len() > XML_BODY_BYTES_MAX {
        return Err(malformed("It is too long."));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("It is not UTF-8."))?;
    // No XML has one, and the parser lets it through.
    if text.contains('\0') {
        return Err(malformed("It holds a NUL character."));
    }
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut document = DocumentReader { open: vec![Element::default()], elements: 0 };
    loop {
        match reader.read_event().map_err(|error| malformed(error.to_string()))? {
            Event::Eof => break,
            event => document.take(event)?,
        }
    }
    let found = document.into_root()?;
    if found.name != root {
        return Err(found.unexpected());
    }
    Ok(found.children)
}

/// Elements that are open, the outermost first. The first stands for the document itself.
struct DocumentReader {
    open: Vec<Element>,
    elements: usize,
}

impl DocumentReader {
    fn take(&mut self, event: Event<'_>) -> Result<(), S3Error> {
        match event {
            Event::Start(start) | Event::Empty(start) if start.len() > TAG_BYTES_MAX => {
                Err(malformed("It has an element with too many attributes."))
            }
            Event::Start(start) => self.begin(start.local_name().as_ref()),
            Event::Empty(start) => {
                self.begin(start.local_name().as_ref())?;
                self.end();
                Ok(())
            }
            Event::End(_) => {
                self.end();
                Ok(())
            }
            Event::Text(text) => self.push_text(&text.xml10_content()),
            Event::CData(text) => self.push_text(&text.xml10_content()),
            Event::GeneralRef(reference) => self.push_text(resolve(&reference)?.as_str()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => Ok(()),
            Event::DocType(_) => Err(malformed("It has a document type declaration.")),
        }
    }

    fn begin(&mut self, name: &str) -> Result<(), S3Error> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX || self.open.len() > DEPTH_MAX {
            return Err(malformed("It has too many elements."));
        }
        self.open.push(Element { name: name.to_owned(), ..Element::default() });
        Ok(())
    }

    /// The reader checks that names match, so there is one to close.
    fn end(&mut self) {
        if let Some(element) = self.open.pop()
            && let Some(parent) = self.open.last_mut()
        {
            parent.children.push(element);
        }
    }

    fn push_text(&mut self, text: &str) -> Result<(), S3Error> {
        let at_top = self.open.len() <= 1;
        match self.open.last_mut() {
            Some(element) if !at_top => element.text.push_str(text),
            _ if text.trim().is_empty() => {}
            _ => return Err(malformed("There is text outside of its root element.")),
        }
        Ok(())
    }

    fn into_root(mut self) -> Result<Element, S3Error> {
        let mut document = match (self.open.pop(), self.open.is_empty()) {
            (Some(document), true) => document,
            _ => return Err(malformed("It ends before its root element does.")),
        };
        match (document.children.pop(), document.children.is_empty()) {
            (Some(root), true) => Ok(root),
            _ => Err(malformed("It does not have exactly one root element.")),
        }
    }
}

/// The five entities of XML and character references; there are no others without a DTD.
fn resolve(reference: &BytesRef<'_>) -> Result<String, S3Error> {
    let unknown = || malformed("It refers to an entity that XML does not have.");
    if reference.is_char_ref() {
        let character = reference.resolve_char_ref().ok().flatten().filter(|&c| c != '\0').ok_or_else(unknown)?;
        return Ok(character.to_string());
    }
    resolve_xml_entity(&reference.xml10_content()).map(str::to_owned).ok_or_else(unknown)
}

fn malformed(why: impl std::fmt::Display) -> S3Error {
    S3Error::new(S3ErrorCode::MalformedXML)
        .with_message(format!("The XML you provided was not well-formed or did not validate: {why}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(body: &str) -> Result<Vec<String>, S3ErrorCode> {
        let request = DeleteRequest::parse(body.as_bytes()).map_err(|error| error.code)?;
        Ok(request.keys.into_iter().map(String::from).collect())
    }

    fn parts(body: &str) -> Result<Vec<(u32, String)>, S3ErrorCode> {
        let request = CompleteRequest::parse(body.as_bytes()).map_err(|error| error.code)?;
        Ok(request.parts.into_iter().map(|part| (part.part_number, part.etag.to_string())).collect())
    }

    #[test]
    fn aws_delete_objects_example_with_two_keys() {
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                    <Object>\n  <Key>sample1.txt</Key>\n</Object>\n<Object>\n  <Key>sample2.txt</Key>\n</Object>\n</Delete>";
        assert_eq!(keys(body), Ok(vec!["sample1.txt".into(), "sample2.txt".into()]));
    }

    #[test]
    fn wal_g_sends_an_empty_version_id_and_means_none() {
        for version in ["<VersionId></VersionId>", "<VersionId/>", "<VersionId> </VersionId>"] {
            let body = format!("<Delete><Object><Key>web-01/a</Key>{version}</Object></Delete>");
            assert_eq!(keys(&body), Ok(vec!["web-01/a".into()]), "{version}");
        }
    }

    #[test]
    fn a_version_or_a_condition_refuses_the_whole_request() {
        for extra in ["<VersionId>abc</VersionId>", "<VersionId>null</VersionId>", "<ETag>a</ETag>", "<Size>1</Size>"] {
            let body = format!("<Delete><Object><Key>a</Key></Object><Object><Key>b</Key>{extra}</Object></Delete>");
            assert_eq!(keys(&body), Err(S3ErrorCode::NotImplemented), "{extra}");
        }
    }

    #[test]
    fn pgbackrest_sends_no_namespace_and_quiet() {
        let body = "<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>";
        assert!(DeleteRequest::parse(body.as_bytes()).expect("valid").quiet);
        assert!(!DeleteRequest::parse(b"<Delete><Object><Key>a</Key></Object></Delete>").expect("valid").quiet);
    }

    #[test]
    fn keys_keep_every_character() {
        let body = "<Delete><Object><Key> a&amp;&lt;b&gt;&quot;&apos;&#x1;&#13;é+%2F//..</Key></Object>\
                    <Object><Key><![CDATA[<&>]]></Key></Object><Object><Key>a/</Key></Object></Delete>";
        assert_eq!(keys(body), Ok(vec![" a&<b>\"'\u{1}\ré+%2F//..".into(), "<&>".into(), "a/".into()]));
    }

    #[test]
    fn a_thousand_keys_are_the_most() {
        let body = |count: usize| format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(count));
        assert_eq!(keys(&body(1000)).map(|keys| keys.len()), Ok(1000));
        assert_eq!(keys(&body(1001)), Err(S3ErrorCode::MalformedXML));
        assert_eq!(keys(&body(0)), Err(S3ErrorCode::MalformedXML));
    }

    #[test]
    fn keys_that_cannot_be_are_refused() {
        let body = |key: &str| format!("<Delete><Object><Key>{key}</Key></Object></Delete>");
        assert_eq!(keys(&body("")), Err(S3ErrorCode::MalformedXML));
        assert_eq!(keys(&body("&#0;")), Err(S3ErrorCode::MalformedXML));
        assert_eq!(keys(&body(&"a".repeat(1025))), Err(S3ErrorCode::KeyTooLongError));
        assert_eq!(keys("<Delete><Object></Object></Delete>"), Err(S3ErrorCode::MalformedXML));
    }

    /// Found by fuzzing: written again as a reference, it would not be read.
    #[test]
    fn a_nul_character_is_refused_wherever_it_stands() {
        assert_eq!(keys("<Delete><Object><Key>a\0b</Key></Object></Delete>"), Err(S3ErrorCode::MalformedXML));
        let etag = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a\0b</ETag></Part></CompleteMultipartUpload>";
        assert_eq!(parts(etag), Err(S3ErrorCode::MalformedXML));
    }

    #[test]
    fn s3cmd_completes_without_namespace_and_without_quotes() {
        let quoted = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part><PartNumber>1\
                      </PartNumber><ETag>\"a54357aff0632cce46d942af68356b38\"</ETag></Part><Part><PartNumber>3</PartNumber>\
                      <ETag>&quot;0c78aef83f66abc1fa1e8477f296d394&quot;</ETag></Part></CompleteMultipartUpload>";
        let bare = "<CompleteMultipartUpload><Part><ETag>a54357aff0632cce46d942af68356b38</ETag><PartNumber>1\
                    </PartNumber></Part><Part><ETag> 0c78aef83f66abc1fa1e8477f296d394 </ETag><PartNumber>3</PartNumber>\
                    </Part></CompleteMultipartUpload>";
        let expected = Ok(vec![
            (1, "a54357aff0632cce46d942af68356b38".to_owned()),
            (3, "0c78aef83f66abc1fa1e8477f296d394".to_owned()),
        ]);
        assert_eq!(parts(quoted), expected);
        assert_eq!(parts(bare), expected);
    }

    #[test]
    fn part_checksums_are_kept() {
        let body = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag>\
                     <ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part></CompleteMultipartUpload>";
        let request = CompleteRequest::parse(body).expect("valid");
        assert_eq!(request.parts[0].checksum, Some((ChecksumAlgorithm::Crc32, "y/Q5Jg==".to_owned())));
    }

    #[test]
    fn parts_must_ascend_and_have_numbers_that_can_be() {
        let body = |numbers: &[&str]| {
            let part = |n: &&str| format!("<Part><PartNumber>{n}</PartNumber><ETag>a</ETag></Part>");
            format!(
                "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
                numbers.iter().map(part).collect::<String>()
            )
        };
        assert_eq!(parts(&body(&["2", "1"])), Err(S3ErrorCode::InvalidPartOrder));
        assert_eq!(parts(&body(&["1", "1"])), Err(S3ErrorCode::InvalidPartOrder));
        assert_eq!(parts(&body(&["0"])), Err(S3ErrorCode::InvalidArgument));
        assert_eq!(parts(&body(&["10001"])), Err(S3ErrorCode::InvalidArgument));
        assert_eq!(parts(&body(&["x"])), Err(S3ErrorCode::MalformedXML));
        assert_eq!(parts(&body(&[])), Err(S3ErrorCode::MalformedXML));
        let all: Vec<String> = (1..=10_000).map(|n| n.to_string()).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(parts(&body(&all)).map(|parts| parts.len()), Ok(10_000));
    }

    #[test]
    fn tags_are_read_from_their_document() {
        let tags = |body: &str| {
            let tags = parse_tagging(body.as_bytes()).map_err(|error| error.code)?;
            Ok(tags.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>())
        };
        let tag = |key: &str, value: &str| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
        let set = |tags: &str| format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
        let aws = "<?xml version=\"1.0\"?><Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet>\n<Tag>\
                   <Key>a b</Key><Value>&amp;é</Value></Tag></TagSet></Tagging>";
        assert_eq!(tags(aws), Ok(vec!["a b:&é".to_owned()]));
        assert_eq!(tags(&set("")), Ok(vec![]));
        assert_eq!(tags("<Tagging><TagSet/></Tagging>"), Ok(vec![]));
        assert_eq!(tags(&set(&tag("a", ""))), Ok(vec!["a:".to_owned()]));
        assert_eq!(tags(&set(&tag("", "v"))), Err(S3ErrorCode::InvalidTag));
        assert_eq!(tags(&set(&[tag("a", "1"), tag("a", "2")].concat())), Err(S3ErrorCode::InvalidTag));
        assert_eq!(
            tags(&set(&(0..11).map(|n| tag(&n.to_string(), "")).collect::<String>())),
            Err(S3ErrorCode::InvalidTag)
        );
        for bad in [
            "",
            "<Tagging/>",
            "<TagSet/>",
            "<Tagging><TagSet/><TagSet/></Tagging>",
            &set("<Tag><Key>a</Key></Tag>"),
            &set("<Tag><Value>a</Value></Tag>"),
            &set("<Tag><Key>a</Key><Key>b</Key><Value/></Tag>"),
            &set("<Key>a</Key>"),
        ] {
            assert_eq!(tags(bad), Err(S3ErrorCode::MalformedXML), "{bad}");
        }
    }

    #[test]
    fn what_is_no_document_is_malformed() {
        let lol = "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]>\
                   <Delete><Object><Key>&lol2;</Key></Object></Delete>";
        let deep = format!("<Delete>{}", "<Object>".repeat(1000));
        let many = format!("<Delete>{}</Delete>", "<Quiet/>".repeat(100_000));
        for body in [
            "",
            "   ",
            "not xml",
            "<Delete>",
            "<Delete></Object>",
            "<Delete><Object><Key>a</Key></Object></Delete>trailing",
            "<Delete><Object><Key>a</Key></Object></Delete><Delete/>",
            "<Delete><Object><Key>&nbsp;</Key></Object></Delete>",
            "<Delete><Object><Key>a</Key><Fancy>1</Fancy></Object></Delete>",
            "<Delete><Fancy/><Object><Key>a</Key></Object></Delete>",
            "<CompleteMultipartUpload/>",
            lol,
            &deep,
            &many,
        ] {
            let shown: String = body.chars().take(60).collect();
            assert_eq!(keys(body), Err(S3ErrorCode::MalformedXML), "{shown}");
        }
        assert_eq!(DeleteRequest::parse(b"\xff").expect_err("bad").code, S3ErrorCode::MalformedXML);
    }

    #[test]
    fn attributes_by_the_thousand_are_malformed_and_a_few_are_read_past() {
        let body = |count: usize| {
            let attributes: String = (0..count).map(|n| format!(" a{n}=\"\"")).collect();
            format!("<Delete{attributes}><Object><Key>a</Key></Object></Delete>")
        };
        assert_eq!(keys(&body(400)), Ok(vec!["a".into()]));
        assert_eq!(keys(&body(80_000)), Err(S3ErrorCode::MalformedXML));
    }

    proptest! {
        #[test]
        fn no_document_panics(body in "[<>/&;#x0-9a-zDeleteObjectKey\"'= !\\[\\]-]{0,200}") {
            let _ = DeleteRequest::parse(body.as_bytes());
            let _ = CompleteRequest::parse(body.as_bytes());
            let _ = parse_tagging(body.as_bytes());
        }

        #[test]
        fn every_key_survives_escaping(key in "[^\0\r\u{fffe}\u{ffff}]{1,100}") {
            let mut xml = crate::xml::write::Writer::document();
            xml.open("Delete");
            xml.open("Object");
            xml.text("Key", &key);
            xml.close("Object");
            xml.close("Delete");
            let request = DeleteRequest::parse(&xml.finish()).expect("well-formed");
            prop_assert_eq!(request.keys[0].as_str(), key);
        }
    }
}
