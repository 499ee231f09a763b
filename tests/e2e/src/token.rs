//! Tokens that no honest program would mint.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// A JWT taken apart, to be changed and signed again.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its header.
    pub header: Value,
    /// Its claims.
    pub claims: Value,
}

impl Token {
    /// Takes `jwt` apart.
    pub fn parse(jwt: &str) -> Self {
        let part = |index: usize| {
            let text = jwt.trim().split('.').nth(index).expect("a JWT has three parts");
            let bytes = URL_SAFE_NO_PAD.decode(text).expect("a part of a JWT is base64url");
            serde_json::from_slice(&bytes).expect("a part of a JWT is JSON")
        };
        Self { header: part(0), claims: part(1) }
    }

    /// With another header value.
    pub fn with_header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// With another claim.
    pub fn with_claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Without a claim.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.as_object_mut().expect("claims are an object").remove(name);
        self
    }

    /// What is signed.
    pub fn signing_input(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }

    /// Signed with a host's or user's own key.
    pub fn sign(&self, key: &Ed25519KeyPair) -> String {
        sign_input(&self.signing_input(), key)
    }

    /// Not signed at all.
    pub fn unsigned(&self) -> String {
        format!("{}.", self.signing_input())
    }

    /// Signed with HMAC, keyed with `secret`: the old confusion of a public key with a secret.
    pub fn sign_hs256(&self, secret: &[u8]) -> String {
        let input = self.signing_input();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    }
}

/// Signs a header and claims that are text already, so that they may be malformed.
pub fn sign_input(input: &str, key: &Ed25519KeyPair) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes())))
}

/// The base64url of `text`.
pub fn part(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// The key pair in a PKCS#8 PEM file.
pub fn key_pair(path: &std::path::Path) -> Ed25519KeyPair {
    let pem = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(base64).expect("PEM holds base64");
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).expect("an Ed25519 key")
}

/// An Ed25519 key pair.
pub type KeyPair = Ed25519KeyPair;

/// A key pair that nobody has, and its public half in PEM.
pub fn new_key_pair() -> (KeyPair, String) {
    let key = Ed25519KeyPair::generate().expect("the system's random source answers");
    let pem = public_pem(&key);
    (key, pem)
}

/// The public half of a key pair in PEM.
pub fn public_pem(key: &KeyPair) -> String {
    // What stands before the 32 bytes of every Ed25519 key in SPKI.
    const HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&HEAD[..], key.public_key().as_ref()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}
