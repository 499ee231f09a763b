//! Bodies that cost the client next to nothing to make.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::case::MIB;

/// Bytes handed to the socket at a time.
const PIECE_BYTES: usize = MIB as usize;

/// Looks random to a compressor within its window, and is made once.
static PIECE: LazyLock<Bytes> = LazyLock::new(|| {
    // SplitMix64.
    let mut state = 0_u64;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    });
    words.take(PIECE_BYTES / 8).flat_map(u64::to_le_bytes).collect()
});

/// So many bytes, of known length.
#[derive(Debug)]
pub(crate) struct Payload {
    left: u64,
}

impl Payload {
    /// A body of `bytes` bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        Self { left: bytes }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = PIECE.slice(..self.left.min(PIECE_BYTES as u64) as usize);
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
