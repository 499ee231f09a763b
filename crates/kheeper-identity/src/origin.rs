//! A server's origin in its one canonical form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ParseError;

/// Bytes of an origin, at the most: a DNS name has 253.
const ORIGIN_BYTES_MAX: usize = 300;

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS: for loopback.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Lower-case scheme, lower-case host and explicit port: `https://backup.example.com:443`. Two origins are the same
/// server if and only if they are equal; a token's `aud` is compared in this form, never with a request's `Host`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    scheme: Scheme,
    /// As a URL holds it: an IPv6 address in brackets.
    host: String,
    port: u16,
    text: String,
}

impl Origin {
    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether the connection is protected by TLS.
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// The host as a URL holds it: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as one connects to it: an IPv6 address without brackets.
    pub fn connect_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, always known.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.text[self.scheme.as_str().len() + "://".len()..]
    }

    /// The canonical text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is this machine: `localhost`, 127.0.0.0/8 or `[::1]`. No name is resolved.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.connect_host().parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    fn new(scheme: Scheme, host: String, port: u16) -> Self {
        let text = format!("{}://{host}:{port}", scheme.as_str());
        Self { scheme, host, port, text }
    }
}

impl FromStr for Origin {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.len() > ORIGIN_BYTES_MAX {
            return Err(ParseError::new(format!("an origin has at most {ORIGIN_BYTES_MAX} characters")));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            ParseError::new(format!(
                "{text:?} is not an origin: expected https://HOST[:PORT], for instance https://backup.example.com"
            ))
        })?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(ParseError::new(format!("the origin's scheme is {other:?}: expected http or https"))),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(bad) = authority.chars().find(|c| matches!(c, '/' | '?' | '#' | '@' | '\\')) {
            return Err(ParseError::new(format!(
                "the origin {text:?} holds {bad:?}: expected scheme, host and port only"
            )));
        }
        let (host, port) = split_port(authority, scheme)?;
        Ok(Self::new(scheme, canonical_host(host)?, port))
    }
}

fn split_port(authority: &str, scheme: Scheme) -> Result<(&str, u16), ParseError> {
    // A colon inside the brackets of an IPv6 address does not start a port.
    let port_at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let Some(at) = port_at else { return Ok((authority, scheme.default_port())) };
    let digits = &authority[at + 1..];
    let port = digits.parse().ok().filter(|port| *port != 0 && digits.bytes().all(|b| b.is_ascii_digit()));
    let port =
        port.ok_or_else(|| ParseError::new(format!("the origin's port {digits:?} is not a number from 1 to 65535")))?;
    Ok((&authority[..at], port))
}

fn canonical_host(host: &str) -> Result<String, ParseError> {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address
            .map(|address| format!("[{address}]"))
            .ok_or_else(|| ParseError::new(format!("the origin's host {host:?} is not an IPv6 address")));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(address.to_string());
    }
    let name = host.to_ascii_lowercase();
    let well_formed = name.len() <= 253 && name.split('.').all(is_dns_label);
    // A last label of digits only would be read as an IPv4 address by some resolvers (127.1, 0x7f.1).
    let last_is_number = name.rsplit('.').next().is_some_and(|l| l.starts_with(|c: char| c.is_ascii_digit()));
    if !well_formed || last_is_number {
        return Err(ParseError::new(format!("the origin's host {host:?} is neither a host name nor an IP address")));
    }
    Ok(name)
}

fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl TryFrom<String> for Origin {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> String {
        origin.text
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Result<String, ParseError> {
        text.parse::<Origin>().map(|origin| origin.to_string())
    }

    #[test]
    fn spellings_of_one_origin_are_equal() {
        for (text, expected) in [
            ("https://Backup.Example.com", "https://backup.example.com:443"),
            ("HTTPS://backup.example.com/", "https://backup.example.com:443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost", "http://localhost:80"),
            ("https://[0:0::1]:9000", "https://[::1]:9000"),
            ("https://[2001:DB8::1]", "https://[2001:db8::1]:443"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_but_scheme_host_and_port_is_refused() {
        for text in [
            "backup.example.com",
            "ftp://a",
            "https://",
            "https://a/b",
            "https://a//",
            "https://u@a",
            "https://a?x",
            "https://a#x",
            "https://a:0",
            "https://a:65536",
            "https://a:+1",
            "https://a:",
            "https://a b",
            "https://-a",
            "https://a..b",
            "https://a.",
            "https://[::1",
            "https://[::g]",
            "https://127.1",
            "https://0x7f.1",
            "https://a\\b",
            "https://é",
            "https://::1",
        ] {
            assert!(canonical(text).is_err(), "{text}");
        }
        assert!(canonical(&format!("https://{}", "a.".repeat(200))).is_err());
    }

    #[test]
    fn parts_are_what_the_text_says() {
        let origin: Origin = "https://[::1]:9000".parse().unwrap();
        assert_eq!((origin.host(), origin.connect_host(), origin.port()), ("[::1]", "::1", 9000));
        assert_eq!(origin.authority(), "[::1]:9000");
        assert!(origin.is_https() && origin.is_loopback());
        assert!("http://127.9.9.9".parse::<Origin>().unwrap().is_loopback());
        assert!(!"http://10.0.0.1".parse::<Origin>().unwrap().is_loopback());
        assert!(!"http://localhost.example.com".parse::<Origin>().unwrap().is_loopback());
    }
}
