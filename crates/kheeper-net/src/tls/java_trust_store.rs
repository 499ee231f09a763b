//! The file that Java reads an authority from: a key store of its own kind (JKS), which Java opens without being told the
//! kind or a password, so that naming the file is enough.
//!
//! ```text
//! magic, version, one entry: a trusted certificate, its alias, its date, "X.509", DER; then a hash of all that
//! ```

use rustls_pki_types::CertificateDer;
use sha1::{Digest as _, Sha1};

const MAGIC: u32 = 0xFEED_FEED;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;
/// What every Java key store without a secret in it is protected by; only who gives a password has it checked.
const PASSWORD: &str = "changeit";
/// Java's own, part of the hash.
const SALT: &[u8] = b"Mighty Aphrodite";

/// A key store that holds `authority` and nothing else. The same bytes for the same certificate.
pub(super) fn key_store(authority: &CertificateDer<'_>) -> Vec<u8> {
    let mut store = Vec::new();
    for number in [MAGIC, VERSION, 1, TRUSTED_CERTIFICATE] {
        store.extend(number.to_be_bytes());
    }
    text(&mut store, "kheeper");
    // When it was put there, of which nothing depends.
    store.extend(0_u64.to_be_bytes());
    text(&mut store, "X.509");
    let length = u32::try_from(authority.len()).expect("a certificate of our own is small");
    store.extend(length.to_be_bytes());
    store.extend_from_slice(authority);
    let mut hash = Sha1::new();
    hash.update(PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>());
    hash.update(SALT);
    hash.update(&store);
    store.extend_from_slice(&hash.finalize());
    store
}

fn text(store: &mut Vec<u8>, text: &'static str) {
    let length = u16::try_from(text.len()).expect("one of two short words");
    store.extend(length.to_be_bytes());
    store.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout and the hash of what Java 17's `keytool -importcert -storetype JKS` makes of a certificate.
    #[test]
    fn the_bytes_are_those_of_javas_own_keytool() {
        let mut expected = b"\xFE\xED\xFE\xED\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\x07kheeper".to_vec();
        expected.extend(b"\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x0Bcertificate");
        expected.extend(b"\xA1\x0F\x5A\x9B\x61\xF5\x5B\xFC\xF2\xBC\x88\x78\x94\x30\0\xDB\x5B\x8E\xAF\x6A");
        assert_eq!(key_store(&CertificateDer::from(b"certificate".as_slice())), expected);
    }
}
