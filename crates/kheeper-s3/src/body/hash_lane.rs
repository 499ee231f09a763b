//! Hashing beside the I/O: a [`PayloadVerifier`] that works on the blocking pool.
//!
//! MD5 and SHA-256 take longer than the disk and the socket do. The lane gathers pieces of a body and hands them over in
//! hops of at least [`HOP_BYTES_MIN`]; while one hop is hashed, the next gathers. Memory is bounded by two hops. A body
//! of up to [`INLINE_BYTES_MAX`] never leaves the caller's thread, since a hop would cost more than its hashes.

use bytes::Bytes;
use http::HeaderMap;
use tokio::task::JoinHandle;

use super::verify::{PayloadVerifier, Verified};
use crate::{S3Error, S3ErrorCode};

/// Bytes that are worth a hop to another thread.
pub const HOP_BYTES_MIN: usize = 256 * 1024;
/// Bytes that may gather while a hop is under way, before [`HashLane::push`] waits for it.
pub const HOP_BYTES_MAX: usize = 512 * 1024;
/// Bytes that are hashed where they are.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;

/// Verifies a payload off the async threads. Needs a tokio runtime.
#[derive(Debug)]
pub struct HashLane {
    /// Here between hops, there during one: exactly one of the two is some.
    verifier: Option<PayloadVerifier>,
    hop: Option<JoinHandle<PayloadVerifier>>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
}

impl HashLane {
    /// A lane for one payload.
    pub fn new(verifier: PayloadVerifier) -> Self {
        Self { verifier: Some(verifier), hop: None, gathered: Vec::new(), gathered_bytes: 0 }
    }

    /// Takes the next piece, which is shared and not copied. Waits only when hashing is a whole hop behind.
    ///
    /// `InternalError` when hashing panicked, after which the lane is of no use.
    pub async fn push(&mut self, piece: Bytes) -> Result<(), S3Error> {
        if piece.is_empty() {
            return Ok(());
        }
        self.gathered_bytes += piece.len();
        self.gathered.push(piece);
        let hashing = self.hop.as_ref().is_some_and(|hop| !hop.is_finished());
        if self.gathered_bytes >= if hashing { HOP_BYTES_MAX } else { HOP_BYTES_MIN } {
            let verifier = self.idle().await?;
            self.hop = Some(self.start_hop(verifier));
        }
        Ok(())
    }

    /// Judges the payload; see [`PayloadVerifier::finish`].
    pub async fn finish(mut self, trailers: &HeaderMap) -> Result<Verified, S3Error> {
        let mut verifier = self.idle().await?;
        if self.gathered_bytes > INLINE_BYTES_MAX {
            self.hop = Some(self.start_hop(verifier));
            verifier = self.idle().await?;
        } else {
            hash(&mut verifier, &self.gathered);
        }
        verifier.finish(trailers)
    }

    /// The verifier, once no hop is under way. May be cancelled: the hop is then waited for by the next call.
    async fn idle(&mut self) -> Result<PayloadVerifier, S3Error> {
        if let Some(hop) = &mut self.hop {
            let hashed = hop.await;
            self.hop = None;
            self.verifier = hashed.ok();
        }
        self.verifier.take().ok_or_else(|| S3Error::new(S3ErrorCode::InternalError))
    }

    fn start_hop(&mut self, mut verifier: PayloadVerifier) -> JoinHandle<PayloadVerifier> {
        let pieces = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        tokio::task::spawn_blocking(move || {
            hash(&mut verifier, &pieces);
            verifier
        })
    }
}

fn hash(verifier: &mut PayloadVerifier, pieces: &[Bytes]) {
    for piece in pieces {
        verifier.update(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::declared::Declared;
    use crate::body::verify::Compute;

    fn verifier() -> PayloadVerifier {
        let declared = Declared::from_headers(&HeaderMap::new()).expect("valid");
        PayloadVerifier::new(&declared, Compute { md5: true })
    }

    #[tokio::test]
    async fn a_lane_finds_what_a_verifier_finds_for_any_piece_size() {
        let body: Bytes = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let mut plain = verifier();
        plain.update(&body);
        let expected = plain.finish(&HeaderMap::new()).expect("nothing declared");
        for piece_bytes in [1000, 16 * 1024, 100_000, 262_144, 1_000_000, 3_000_000] {
            let mut lane = HashLane::new(verifier());
            let mut rest = body.clone();
            while !rest.is_empty() {
                let piece = rest.split_to(piece_bytes.min(rest.len()));
                lane.push(piece).await.expect("hashing does not panic");
            }
            assert_eq!(lane.finish(&HeaderMap::new()).await.as_ref(), Ok(&expected), "{piece_bytes}");
        }
    }

    #[tokio::test]
    async fn an_empty_body_is_a_body() {
        let verified = HashLane::new(verifier()).finish(&HeaderMap::new()).await.expect("nothing declared");
        assert_eq!(verified.length, 0);
        assert_eq!(verified.md5.map(|md5| md5.to_hex()).as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
    }

    #[tokio::test]
    async fn a_small_body_is_hashed_where_it_is() {
        let mut lane = HashLane::new(verifier());
        lane.push(Bytes::from(vec![1; INLINE_BYTES_MAX])).await.expect("no hop");
        assert!(lane.hop.is_none() && lane.verifier.is_some());
        assert_eq!(lane.finish(&HeaderMap::new()).await.map(|verified| verified.length), Ok(INLINE_BYTES_MAX as u64));
    }
}
