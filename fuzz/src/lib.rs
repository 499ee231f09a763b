//! What the fuzz targets share: a request's head read from text, and a bound on memory.
//!
//! Each target states properties and not only that nothing panics: what is decoded encodes to the same again, a body cut
//! anywhere means the same, the key that is authorized is the key that is listed, and memory follows the input's size.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use kheeper_s3::xml::url::KeyEncoding;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Memory that a parser may take however small its input is: error texts, tables, a first buffer.
const MEMORY_BASE: usize = 256 * 1024;

/// Runs `parse`, and panics when it took more than `factor` bytes of memory for each byte of input.
pub fn bounded<T>(input: &[u8], factor: usize, parse: impl FnOnce() -> T) -> T {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let parsed = parse();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    let allowed = MEMORY_BASE + factor * input.len();
    assert!(taken <= allowed, "{taken} bytes of memory for {} bytes of input", input.len());
    parsed
}

/// A request's head: `METHOD target`, then `name: value` lines. `None` for what an HTTP parser would not let through.
pub struct Head {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
}

impl Head {
    pub fn read(input: &[u8]) -> Option<Self> {
        let (first, rest) = match input.iter().position(|&byte| byte == b'\n') {
            Some(end) => (&input[..end], &input[end + 1..]),
            None => (input, &input[..0]),
        };
        let (method, target) = std::str::from_utf8(first).ok()?.trim_end().split_once(' ')?;
        // What `http::Uri` makes of a target: no fragment, no blanks, the query after the first question mark.
        let uri: http::Uri = target.split(' ').next()?.parse().ok()?;
        Some(Self {
            method: Method::from_bytes(method.as_bytes()).ok()?,
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
            headers: headers(rest)?,
        })
    }
}

/// `name: value` lines; `None` where one is no header.
pub fn headers(lines: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    Some(headers)
}

/// The first line, which says how to use the rest, as numbers; and the rest.
pub fn numbers_and_rest(input: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let end = input.iter().position(|&byte| byte == b'\n')?;
    let line = std::str::from_utf8(&input[..end]).ok()?;
    let numbers: Result<Vec<usize>, _> = line.split(' ').map(str::parse).collect();
    Some((numbers.ok()?, &input[end + 1..]))
}

/// `text` percent-encoded as a client does it in a path.
pub fn encode(text: &str) -> String {
    KeyEncoding::Url.apply(text).into_owned()
}

/// `text` as it stands in XML.
pub fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' | '<' | '>' | '"' | '\'' => format!("&#{};", u32::from(c)),
            c if c.is_control() => format!("&#{};", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}
