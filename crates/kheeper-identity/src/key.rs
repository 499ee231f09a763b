//! Ed25519 keys: the private half that never leaves its machine, the public half, and its name, the key id.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kheeper_model::KeyId;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use crate::KeyError;

/// Bytes of a raw Ed25519 public key.
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// What stands before the 32 bytes in the DER of an Ed25519 public key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 private key. It cannot be printed, only written to a file on purpose.
pub struct PrivateKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl PrivateKey {
    /// A new key, from the system's random source.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Library)?;
        Self::from_pair(pair)
    }

    /// Reads a PKCS#8 PEM (`-----BEGIN PRIVATE KEY-----`), version 1 (as OpenSSL writes it) or 2.
    pub fn from_pkcs8_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyError::NotPem("private key"))?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map_err(|_| KeyError::NotEd25519("private key in PKCS#8"))?;
        Self::from_pair(pair)
    }

    /// The key as PKCS#8 PEM, for its file and nothing else.
    pub fn to_pkcs8_pem(&self) -> Result<String, KeyError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyError::Library)?;
        Ok(pem("PRIVATE KEY", der.as_ref()))
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.pair.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }

    fn from_pair(pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let raw = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Library)?;
        Ok(Self { public: PublicKey::from_bytes(raw)?, pair })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public.key_id())
    }
}

/// An Ed25519 public key that is not one of the curve's weak points.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; PUBLIC_KEY_BYTES]);

impl PublicKey {
    /// From its 32 bytes. Refuses the points of small order, for which a signature can be made without any key.
    pub fn from_bytes(raw: [u8; PUBLIC_KEY_BYTES]) -> Result<Self, KeyError> {
        if is_of_small_order(&raw) { Err(KeyError::Weak) } else { Ok(Self(raw)) }
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.0
    }

    /// Reads an SPKI PEM (`-----BEGIN PUBLIC KEY-----`), as `openssl pkey -pubout` writes it.
    pub fn from_spki_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyError::NotPem("public key"))?;
        let raw = der.strip_prefix(&SPKI_PREFIX).ok_or(KeyError::NotEd25519("public key"))?;
        Self::from_bytes(raw.try_into().map_err(|_| KeyError::NotEd25519("public key"))?)
    }

    /// The key as SPKI PEM.
    pub fn to_spki_pem(&self) -> String {
        pem("PUBLIC KEY", &[&SPKI_PREFIX[..], &self.0].concat())
    }

    /// Its RFC 7638 thumbprint, by which the server finds it: SHA-256 over its canonical JWK, in base64url.
    pub fn key_id(&self) -> KeyId {
        URL_SAFE_NO_PAD.encode(self.thumbprint()).parse().expect("a SHA-256 is 43 characters of base64url")
    }

    /// What two people compare: the first 128 bits of the thumbprint, as eight groups of four hex digits.
    pub fn fingerprint(&self) -> String {
        let groups: Vec<String> = self.thumbprint()[..16].chunks(2).map(hex::encode).collect();
        groups.join(" ")
    }

    /// Whether `signature` is this key's signature of `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }

    fn thumbprint(&self) -> [u8; 32] {
        // RFC 7638, section 3: required members only, in order, no white space. For OKP keys: crv, kty, x (RFC 8037).
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(self.0));
        sha256(jwk.as_bytes())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    // Lines of 64 characters (RFC 7468, section 2). An Ed25519 key is one line.
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Whether the encoded point is one of the eight of small order, whatever its sign bit, canonical or not.
fn is_of_small_order(raw: &[u8; PUBLIC_KEY_BYTES]) -> bool {
    const ORDER_8: [&str; 2] = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let mut unsigned = *raw;
    unsigned[31] &= 0x7f;
    // y = 0 and y = 1, then y = p-1, p, p+1 (p = 2^255 - 19): the last two are other encodings of 0 and 1.
    let low = unsigned[0] <= 1 && unsigned[1..].iter().all(|b| *b == 0);
    let high =
        (0xec..=0xee).contains(&unsigned[0]) && unsigned[1..31].iter().all(|b| *b == 0xff) && unsigned[31] == 0x7f;
    low || high || ORDER_8.contains(&hex::encode(unsigned).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8037, appendix A.1 and A.2.
    fn rfc_8037_key() -> PrivateKey {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        PrivateKey::from_pair(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()).unwrap()
    }

    #[test]
    fn rfc_8037_appendix_a_2_public_key() {
        let public = rfc_8037_key().public;
        assert_eq!(URL_SAFE_NO_PAD.encode(public.as_bytes()), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    }

    #[test]
    fn rfc_8037_appendix_a_3_thumbprint() {
        assert_eq!(rfc_8037_key().public_key().key_id().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn rfc_8037_appendix_a_4_signature() {
        let signing_input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let key = rfc_8037_key();
        let signature = key.sign(signing_input);
        assert_eq!(
            URL_SAFE_NO_PAD.encode(signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        assert!(key.public_key().verifies(signing_input, &signature));
    }

    #[test]
    fn rfc_8410_section_10_private_key_and_public_key() {
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
        let key = PrivateKey::from_pkcs8_pem(pem.as_bytes()).unwrap();
        assert_eq!(
            key.public_key().to_spki_pem(),
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"
        );
        assert_eq!(key.to_pkcs8_pem().unwrap(), pem);
    }

    #[test]
    fn pem_forms_round_trip() {
        let key = PrivateKey::generate().unwrap();
        let again = PrivateKey::from_pkcs8_pem(key.to_pkcs8_pem().unwrap().as_bytes()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let public = PublicKey::from_spki_pem(key.public_key().to_spki_pem().as_bytes()).unwrap();
        assert_eq!(&public, key.public_key());
        assert_eq!(public.fingerprint().len(), 39);
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        let ec = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYWnm/eplO9BFtXszMRQNL5UtL8HJdTH2jK7vwsgRgUw=\n-----END PUBLIC KEY-----\n";
        assert_eq!(PublicKey::from_spki_pem(ec.as_bytes()), Err(KeyError::NotEd25519("public key")));
        assert_eq!(PublicKey::from_spki_pem(b"hello"), Err(KeyError::NotPem("public key")));
        let private = PrivateKey::generate().unwrap().to_pkcs8_pem().unwrap();
        assert!(PublicKey::from_spki_pem(private.as_bytes()).is_err());
        assert!(PrivateKey::from_pkcs8_pem(ec.as_bytes()).is_err());
    }

    #[test]
    fn points_of_small_order_are_refused() {
        let mut identity = [0; 32];
        assert_eq!(PublicKey::from_bytes(identity), Err(KeyError::Weak));
        identity[0] = 1;
        assert_eq!(PublicKey::from_bytes(identity), Err(KeyError::Weak));
        identity[31] = 0x80;
        assert_eq!(PublicKey::from_bytes(identity), Err(KeyError::Weak));
        let mut p_plus_1 = [0xff; 32];
        p_plus_1[0] = 0xee;
        assert_eq!(PublicKey::from_bytes(p_plus_1), Err(KeyError::Weak));
        let mut order_8 = [0; 32];
        hex::decode_to_slice("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85", &mut order_8).unwrap();
        assert_eq!(PublicKey::from_bytes(order_8), Err(KeyError::Weak));
    }

    #[test]
    fn a_private_key_does_not_print() {
        let key = rfc_8037_key();
        let printed = format!("{key:?} {:#?}", Some(&key));
        assert!(!printed.contains("nWGxne"));
        assert!(!printed.contains("9d61b19d"));
        assert!(printed.contains("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
    }
}
