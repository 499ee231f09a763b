//! Continuation tokens: base64url of the bytes that a listing goes on from.
//!
//! A token is no permission: what it names is authorized again, like a prefix that the caller typed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kheeper_model::limits::KEY_BYTES_MAX;

use crate::{S3Error, S3ErrorCode};

/// Bytes a cursor may have: a key, and room for what a store appends to it.
const CURSOR_BYTES_MAX: usize = KEY_BYTES_MAX + 64;

/// Writes a cursor as a token.
pub fn encode(cursor: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(cursor)
}

/// Reads what [`encode`] writes; `InvalidArgument` for anything else.
pub fn decode(token: &str) -> Result<Vec<u8>, S3Error> {
    let cursor = URL_SAFE_NO_PAD.decode(token).ok().filter(|cursor| (1..=CURSOR_BYTES_MAX).contains(&cursor.len()));
    cursor.ok_or_else(|| {
        S3Error::new(S3ErrorCode::InvalidArgument)
            .with_message("The continuation token provided is incorrect")
            .with_field("ArgumentName", "continuation-token")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_need_no_escaping_in_a_query() {
        for cursor in [&b"web-01/a"[..], &[0xff; 70], &[b'~'; CURSOR_BYTES_MAX]] {
            let token = encode(cursor);
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            assert_eq!(decode(&token).as_deref(), Ok(cursor));
        }
    }

    #[test]
    fn a_token_that_was_tampered_with_is_refused() {
        for token in ["", "%", "not base64!", "d2ViLTAx=", &encode(&[b'a'; CURSOR_BYTES_MAX + 1])] {
            assert_eq!(decode(token).expect_err(token).code, S3ErrorCode::InvalidArgument);
        }
    }
}
