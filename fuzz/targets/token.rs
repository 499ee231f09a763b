//! Tokens: nothing verifies that was not signed whole, and what verifies says what its signer wrote.
//!
//! Input: any text, which is tried as each kind of token; and where it has two lines, the first is a header and the rest
//! are claims that we sign ourselves, since no fuzzer finds a signature. `$KID` stands for the key's id.
#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kheeper_fuzz::bounded;
use kheeper_identity::token::{TokenHead, verify_access, verify_registration};
use kheeper_identity::{JoinToken, Origin, PrivateKey};
use kheeper_model::Timestamp;
use kheeper_model::limits::{CLOCK_SKEW_SECS_MAX, TOKEN_TTL_SECS_MAX};
use libfuzzer_sys::fuzz_target;

/// The example of RFC 8410, section 10.3: known to everybody, and so of no other use.
const EXAMPLE_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";

const NOW_SECS: i64 = 1_800_000_000;

static KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::from_pkcs8_pem(EXAMPLE_KEY.as_bytes()).expect("an example that is right"));
static ORIGINS: LazyLock<Vec<Origin>> = LazyLock::new(|| {
    ["https://backup.example.com", "http://127.0.0.1:7000"].map(|origin| origin.parse().expect("an origin")).into()
});

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (key, now) = (KEY.public_key(), Timestamp::from_secs(NOW_SECS));
    bounded(input, 32, || {
        assert!(verify_access(text, key, &ORIGINS, now).is_err(), "a forgery: {text}");
        assert!(verify_registration(text, &ORIGINS, now).is_err(), "a forgery: {text}");
        let _ = TokenHead::peek(text);
    });
    if let Ok(token) = text.parse::<JoinToken>() {
        assert_eq!(token.reveal().parse::<JoinToken>().as_ref(), Ok(&token));
    }

    let Some((header, claims)) = text.split_once('\n') else { return };
    let token = sign(&header.replace("$KID", key.key_id().as_str()), claims);
    let Ok(verified) = verify_access(&token, key, &ORIGINS, now) else { return };
    assert_eq!(verified.key_id, key.key_id());
    assert!(ORIGINS.contains(&verified.audience));
    let (issued, expires) = (verified.issued_at.as_secs(), verified.expires_at.as_secs());
    let (skew, life) = (CLOCK_SKEW_SECS_MAX.cast_signed(), TOKEN_TTL_SECS_MAX.cast_signed());
    assert!((1..=life).contains(&(expires - issued)), "{issued} to {expires}");
    assert!(issued <= NOW_SECS + skew && NOW_SECS <= expires + skew, "{issued} to {expires}");
    let head = TokenHead::peek(&token).expect("its head is what led to the key");
    assert_eq!((head.key_id, head.subject), (verified.key_id, verified.subject));
    // Every byte counts: another one in any place is no token, or not this one's signature.
    for at in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[at] ^= 1;
        let altered = String::from_utf8(altered).expect("ASCII stays ASCII");
        assert!(verify_access(&altered, key, &ORIGINS, now).is_err(), "byte {at}");
    }
});

fn sign(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = KEY.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
