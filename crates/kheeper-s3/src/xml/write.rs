//! A writer that can only escape: nothing that came from outside reaches a document as markup.

use std::fmt::{self, Write as _};

use bytes::Bytes;

/// S3's namespace, on the root element of every result (errors have none).
const XMLNS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A document that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    out: String,
}

impl Writer {
    /// An empty document with its declaration.
    pub(crate) fn document() -> Self {
        Self::with_capacity(512)
    }

    /// An empty document with room for `bytes`.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut out = String::with_capacity(bytes);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self { out }
    }

    /// Opens the root element of a result, in S3's namespace.
    pub(crate) fn open_root(&mut self, name: &str) {
        let _ = write!(self.out, "<{name} xmlns=\"{XMLNS}\">");
    }

    /// Opens an element.
    pub(crate) fn open(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
    }

    /// Closes an element.
    pub(crate) fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// An element that holds text.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.open(name);
        escape_into(&mut self.out, text);
        self.close(name);
    }

    /// An element that holds what `value` prints, which must need no escaping: numbers, times, booleans.
    pub(crate) fn plain(&mut self, name: &str, value: impl fmt::Display) {
        self.open(name);
        let _ = write!(self.out, "{value}");
        self.close(name);
    }

    /// The document.
    pub(crate) fn finish(self) -> Bytes {
        Bytes::from(self.out)
    }
}

/// Escapes text. Control characters become character references, as S3 writes them: XML 1.0 has no way to hold most of
/// them at all, which is why clients that expect such keys ask for `encoding-type=url`.
fn escape_into(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(needs_escape) {
        out.push_str(&rest[..at]);
        let mut chars = rest[at..].chars();
        match chars.next() {
            Some('&') => out.push_str("&amp;"),
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('"') => out.push_str("&quot;"),
            Some(other) => {
                let _ = write!(out, "&#x{:x};", u32::from(other));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

fn needs_escape(c: char) -> bool {
    matches!(c, '&' | '<' | '>' | '"' | '\u{fffe}' | '\u{ffff}') || (c.is_control() && c != '\n' && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        escape_into(&mut out, text);
        out
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escaped("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c'");
        assert_eq!(escaped("]]>"), "]]&gt;");
    }

    #[test]
    fn control_characters_become_character_references() {
        assert_eq!(escaped("a\u{1}b\rc\u{7f}\u{85}d"), "a&#x1;b&#xd;c&#x7f;&#x85;d");
        assert_eq!(escaped("tab\tline\né"), "tab\tline\né");
    }
}
