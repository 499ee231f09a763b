//! The body that a client sends, and the payload inside it.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use kheeper_s3::body::aws_chunked::Decoder;
use kheeper_s3::body::declared::{Declared, Framing};
use kheeper_s3::body::hash_lane::HashLane;
use kheeper_s3::body::kheeper_trailer::ProxyTrailers;
use kheeper_s3::body::verify::{Compute, PayloadVerifier};
use kheeper_s3::{S3Error, S3ErrorCode};

use crate::error::{Refusal, chain};
use crate::limits::CLIENT_STALL_MAX;
use crate::metrics::Metrics;

/// A client's body, which knows whether it was read to its end. The first read is what sends the client its 100.
pub(crate) struct ClientBody {
    incoming: Incoming,
    ended: bool,
}

impl ClientBody {
    pub(crate) fn new(incoming: Incoming) -> Self {
        let ended = incoming.is_end_stream();
        Self { incoming, ended }
    }

    /// Whether nothing of it is left unread.
    pub(crate) fn is_finished(&self) -> bool {
        self.ended
    }

    /// The next bytes or trailers; `None` at its end.
    async fn next(&mut self) -> Result<Option<http_body::Frame<Bytes>>, Refusal> {
        match tokio::time::timeout(CLIENT_STALL_MAX, self.incoming.frame()).await {
            Ok(Some(Ok(frame))) => Ok(Some(frame)),
            Ok(Some(Err(error))) => {
                Err(Refusal::from(S3Error::new(S3ErrorCode::IncompleteBody)).because(chain(&error)))
            }
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Err(_) => Err(S3Error::new(S3ErrorCode::RequestTimeout).into()),
        }
    }
}

/// The payload of a client's body: without S3's own framing, and verified as it is read.
pub(crate) struct Payload<'a> {
    body: &'a mut ClientBody,
    decoder: Option<Decoder>,
    /// What of the last piece was not decoded yet.
    undecoded: Bytes,
    trailers: HeaderMap,
    lane: HashLane,
    metrics: &'a Metrics,
}

impl<'a> Payload<'a> {
    pub(crate) fn new(body: &'a mut ClientBody, declared: &Declared, metrics: &'a Metrics) -> Self {
        let decoder = match declared.framing {
            Framing::Plain => None,
            // A framed body whose length nobody declared has been refused with its headers.
            Framing::AwsChunked => Some(Decoder::new(declared.length.unwrap_or(0))),
        };
        let lane = HashLane::new(PayloadVerifier::new(declared, Compute { md5: true }));
        Self { body, decoder, undecoded: Bytes::new(), trailers: HeaderMap::new(), lane, metrics }
    }

    /// The next piece of the payload, already on its way through the hashes; `None` at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            if let Some(decoder) = &mut self.decoder
                && let Some(piece) = decoder.decode(&mut self.undecoded)?
            {
                return self.taken(piece).await.map(Some);
            }
            let Some(frame) = self.body.next().await? else { return Ok(None) };
            match (frame.into_data(), &self.decoder) {
                (Ok(data), None) => return self.taken(data).await.map(Some),
                (Ok(data), Some(_)) => self.undecoded = data,
                (Err(frame), _) => self.trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
    }

    async fn taken(&mut self, piece: Bytes) -> Result<Bytes, Refusal> {
        self.metrics.received_bytes.add(piece.len() as u64);
        self.lane.push(piece.clone()).await?;
        Ok(piece)
    }

    /// Holds everything that was declared against what was read. Only what this returns permits the server to commit.
    pub(crate) async fn verify(self) -> Result<ProxyTrailers, Refusal> {
        let trailers = match self.decoder {
            None => self.trailers,
            Some(decoder) => decoder.finish()?,
        };
        let verified = self.lane.finish(&trailers).await?;
        ProxyTrailers::of(&verified).ok_or_else(|| S3Error::new(S3ErrorCode::InternalError).into())
    }
}

/// Reads a body of at most `bytes_max` whole and verifies it; `EntityTooLarge` for a larger one.
pub(crate) async fn read_whole(
    body: &mut ClientBody,
    declared: &Declared,
    bytes_max: usize,
    metrics: &Metrics,
) -> Result<(Bytes, ProxyTrailers), Refusal> {
    let too_large = || {
        let message = format!("This body may have {bytes_max} bytes.");
        Refusal::from(S3Error::new(S3ErrorCode::EntityTooLarge).with_message(message))
    };
    if declared.length.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large());
    }
    let mut payload = Payload::new(body, declared, metrics);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(piece) = payload.next().await? {
        if first.len() + rest.len() + piece.len() > bytes_max {
            return Err(too_large());
        }
        // Most small bodies arrive in one piece, which is then never copied.
        if first.is_empty() {
            first = piece;
        } else {
            rest.extend_from_slice(&piece);
        }
    }
    let trailers = payload.verify().await?;
    if rest.is_empty() {
        return Ok((first, trailers));
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok((whole.freeze(), trailers))
}
