//! The body of a request to the server.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// A body that the proxy decided not to finish: hyper then resets the connection instead of ending the message.
#[derive(Debug, thiserror::Error)]
#[error("the upload was given up")]
pub(crate) struct GivenUp;

/// The body of a request to the server.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// All of it, with its length.
    Whole(Option<Bytes>),
    /// All of it, chunked, with the trailers that permit to commit.
    Verified {
        /// What is left to send of the payload.
        data: Option<Bytes>,
        /// The trailers.
        trailers: Option<HeaderMap>,
    },
    /// Whatever arrives, chunked; complete only if the trailers arrived.
    Streamed(mpsc::Receiver<Piece>),
    /// Complete, and nothing more may follow.
    Finished,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// Feeds a [`RequestBody::Streamed`]. Dropped without [`BodySender::finish`], it breaks the request off, so that the
/// server cannot take what it has for the whole.
#[derive(Debug)]
pub(crate) struct BodySender(mpsc::Sender<Piece>);

/// The connection took no more.
#[derive(Debug)]
pub(crate) struct Closed;

impl RequestBody {
    /// A body that is fed piece by piece, one ahead.
    pub(crate) fn streamed() -> (BodySender, Self) {
        let (sender, receiver) = mpsc::channel(1);
        (BodySender(sender), Self::Streamed(receiver))
    }
}

impl BodySender {
    /// Waits until the connection wants more, and gives it `data`.
    pub(crate) async fn send(&self, data: Bytes) -> Result<(), Closed> {
        self.0.send(Piece::Data(data)).await.map_err(|_| Closed)
    }

    /// Sends the trailers and with them the last chunk: the permission to commit.
    pub(crate) async fn finish(self, trailers: HeaderMap) -> Result<(), Closed> {
        self.0.send(Piece::Trailers(trailers)).await.map_err(|_| Closed)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        let frame = match &mut *self {
            Self::Empty | Self::Finished => None,
            Self::Whole(data) => data.take().map(|data| Ok(Frame::data(data))),
            Self::Verified { data, trailers } => match data.take() {
                Some(data) => Some(Ok(Frame::data(data))),
                None => trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            },
            Self::Streamed(pieces) => match ready!(pieces.poll_recv(cx)) {
                Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
                Some(Piece::Trailers(trailers)) => {
                    *self = Self::Finished;
                    Some(Ok(Frame::trailers(trailers)))
                }
                None => Some(Err(GivenUp)),
            },
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Finished | Self::Whole(None) => true,
            Self::Whole(Some(data)) => data.is_empty(),
            Self::Verified { data, trailers } => data.is_none() && trailers.is_none(),
            Self::Streamed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Finished => SizeHint::with_exact(0),
            Self::Whole(data) => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
            // Unknown on purpose: hyper sends trailers on chunked messages only.
            Self::Verified { .. } | Self::Streamed(_) => SizeHint::default(),
        }
    }
}
