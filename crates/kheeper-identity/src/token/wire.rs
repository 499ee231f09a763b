//! The JSON inside a token, and the three parts around it.
//!
//! The structs are what makes reading strict: serde refuses a field that occurs twice, one that is not listed, one of
//! another type (`exp` as text, as a float, `aud` as a list), and one that is missing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kheeper_model::limits::TOKEN_BYTES_MAX;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::TokenError;
use crate::key::SIGNATURE_BYTES;

/// The one algorithm (RFC 8037).
pub(super) const ALG: &str = "EdDSA";
/// `typ` of a token that goes with requests.
pub(super) const TYP_ACCESS: &str = "kheeper-access+jwt";
/// `typ` of a token that registers a user's key.
pub(super) const TYP_REGISTRATION: &str = "kheeper-registration+jwt";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) typ: String,
    pub(super) kid: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessWire {
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub(super) scope: Option<String>,
}

/// A field that may be absent, but not `null`: `"scope": null` must not read as "no scope".
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistrationWire {
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) jti: String,
    /// The raw public key in base64url: the server does not know it yet.
    pub(super) key: String,
}

/// A token cut at its dots, decoded, and nothing believed yet but its header's form.
pub(super) struct Parts<'a> {
    pub(super) header: Header,
    pub(super) claims: Vec<u8>,
    pub(super) signature: [u8; SIGNATURE_BYTES],
    /// What the signature covers.
    pub(super) signed: &'a str,
}

/// Cuts and decodes `token`. The size is checked before anything is decoded, the algorithm before anything else of the
/// header, and the kind of token before its claims.
pub(super) fn split<'a>(token: &'a str, typ: &str) -> Result<Parts<'a>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Denied("longer than a token may be"));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Denied("not three parts"))?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Denied("not three parts"))?;
    if claims.contains('.') {
        return Err(TokenError::Denied("not three parts"));
    }
    let header: Header = read_object(&decode(header)?).ok_or(TokenError::Denied("a header of another form"))?;
    if header.alg != ALG {
        return Err(TokenError::Denied("an algorithm other than EdDSA"));
    }
    if header.typ != typ {
        return Err(TokenError::Denied("a token of another kind"));
    }
    let signature = decode(signature)?.try_into().map_err(|_| TokenError::Denied("a signature of another length"))?;
    Ok(Parts { header, claims: decode(claims)?, signature, signed })
}

/// The compact form of a header and claims, without the signature.
pub(super) fn signing_input<C: Serialize>(typ: &str, kid: &str, claims: &C) -> String {
    let header = Header { alg: ALG.to_owned(), typ: typ.to_owned(), kid: kid.to_owned() };
    let encode = |json: Vec<u8>| URL_SAFE_NO_PAD.encode(json);
    let header = serde_json::to_vec(&header).expect("a struct of texts is JSON");
    let claims = serde_json::to_vec(claims).expect("a struct of texts and numbers is JSON");
    format!("{}.{}", encode(header), encode(claims))
}

/// Reads a JSON object. serde would take a list of the fields' values for a struct as well.
pub(super) fn read_object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    if json.first() == Some(&b'{') { serde_json::from_slice(json).ok() } else { None }
}

/// Base64url without padding and with zero trailing bits: each token has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Denied("not base64url"))
}
