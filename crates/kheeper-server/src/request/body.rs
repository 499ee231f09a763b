//! A request's body: read with a deadline for each piece, verified, and counted.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use kheeper_model::{ChecksumAlgorithm, limits};
use kheeper_s3::body::aws_chunked::Decoder;
use kheeper_s3::body::declared::{Declared, Framing};
use kheeper_s3::body::hash_lane::HashLane;
use kheeper_s3::body::kheeper_trailer::{self, ProxyTrailers};
use kheeper_s3::body::verify::{Compute, PayloadVerifier};
use kheeper_s3::{OperationKind, S3Error, S3ErrorCode};
use kheeper_store::{Integrity, PutWriter};
use tokio::time::Instant;

use super::pace::Pace;
use super::traffic::Meter;
use crate::error::store_error;

/// How long a client may send nothing. The proxy gives its own clients 60 s, so that it is the one to answer them.
const STALL_DEADLINE: Duration = Duration::from_secs(75);

/// A body that is still to be read.
pub(crate) struct RequestBody {
    incoming: Incoming,
    trailers: Option<HeaderMap>,
    ended: bool,
    pace: Pace,
}

impl RequestBody {
    /// One of which at least `bytes_per_sec_min` must come, where that is not 0.
    pub(crate) fn new(incoming: Incoming, bytes_per_sec_min: u64) -> Self {
        let ended = incoming.is_end_stream();
        Self { incoming, trailers: None, ended, pace: Pace::new(bytes_per_sec_min) }
    }

    /// Whether it was read to its end. If not, the connection cannot be used again.
    pub(crate) fn is_read(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    /// The next bytes, none at the end. The first call is what answers `Expect: 100-continue`.
    async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        loop {
            let began = Instant::now();
            let frame = match tokio::time::timeout(STALL_DEADLINE, self.incoming.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Err(S3Error::new(S3ErrorCode::RequestTimeout)),
            };
            match frame {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if !self.pace.goes_on(began.elapsed(), bytes.len()) => {
                        metrics::counter!("kheeper_refused_total", "reason" => "body-rate").increment(1);
                        tracing::debug!(bytes = bytes.len(), "a body comes too slowly");
                        return Err(S3Error::new(S3ErrorCode::RequestTimeout));
                    }
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => {
                    tracing::debug!(%error, "a body ended early");
                    return Err(S3Error::new(S3ErrorCode::IncompleteBody));
                }
            }
        }
    }

    /// A whole document of bounded size, verified against what the headers declare of it.
    pub(crate) async fn document(&mut self, kind: OperationKind, headers: &HeaderMap) -> Result<Bytes, S3Error> {
        let declared = Declared::for_operation(kind, headers)?;
        let mut framing = Unframing::new(&declared)?;
        let mut lane = HashLane::new(PayloadVerifier::new(&declared, Compute { md5: false }));
        let mut document = BytesMut::new();
        while let Some(mut piece) = self.next().await? {
            while let Some(payload) = framing.next(&mut piece)? {
                if document.len() + payload.len() > limits::XML_BODY_BYTES_MAX {
                    let message = format!("This body may have {} bytes.", limits::XML_BODY_BYTES_MAX);
                    return Err(S3Error::new(S3ErrorCode::EntityTooLarge).with_message(message));
                }
                document.extend_from_slice(&payload);
            }
        }
        let document = document.freeze();
        lane.push(document.clone()).await?;
        lane.finish(&framing.finish()?).await?;
        Ok(document)
    }
}

/// The bytes of an object or a part, and what was promised of them.
pub(crate) struct Payload<'a> {
    body: &'a mut RequestBody,
    length: u64,
    sender: Sender,
}

/// Who vouches for the bytes.
enum Sender {
    /// A proxy, which hashed them as it sent them, and says in its trailers what they are.
    Proxy,
    /// Anyone else with a token: the server hashes.
    Direct(Declared),
}

impl<'a> Payload<'a> {
    /// Reads what the headers promise. Every payload says its length in advance: what admission goes by.
    pub(crate) fn new(headers: &HeaderMap, body: &'a mut RequestBody) -> Result<Self, S3Error> {
        if kheeper_trailer::is_announced(headers) {
            refuse_other_promises(headers)?;
            let length = kheeper_trailer::length(headers)?.ok_or(S3Error::new(S3ErrorCode::MissingContentLength))?;
            return Ok(Self { body, length, sender: Sender::Proxy });
        }
        let declared = Declared::from_headers(headers)?;
        let length = declared.require_length()?;
        Ok(Self { body, length, sender: Sender::Direct(declared) })
    }

    /// Bytes of the payload.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Gives the bytes to the store as they come. What they are is known at the end, before anything is committed.
    pub(crate) async fn receive(self, writer: &mut PutWriter, meter: &mut Meter) -> Result<Integrity, S3Error> {
        match self.sender {
            Sender::Proxy => from_proxy(self.body, self.length, writer, meter).await,
            Sender::Direct(declared) => from_anyone(self.body, &declared, writer, meter).await,
        }
    }
}

/// A proxy has verified what its client declared, and forwards none of it. Whoever announces a proxy's trailers and
/// declares something beside them would have it ignored.
fn refuse_other_promises(headers: &HeaderMap) -> Result<(), S3Error> {
    let declares = |name: &str| headers.contains_key(name);
    let checksum = ChecksumAlgorithm::ALL.into_iter().any(|algorithm| declares(algorithm.header()));
    if checksum || ["content-md5", "x-amz-content-sha256", "x-amz-trailer"].into_iter().any(declares) {
        return Err(S3Error::invalid_request(
            "x-kheeper- trailers stand for every other checksum, and cannot go with one",
        ));
    }
    Ok(())
}

async fn from_proxy(
    body: &mut RequestBody,
    length: u64,
    writer: &mut PutWriter,
    meter: &mut Meter,
) -> Result<Integrity, S3Error> {
    while let Some(bytes) = body.next().await? {
        meter.received(bytes.len() as u64);
        writer.write(bytes).await.map_err(|error| store_error(&error))?;
    }
    // The trailers are the permission to commit: without them the proxy did not find the body whole.
    let trailers = body.trailers.take().ok_or(S3Error::new(S3ErrorCode::IncompleteBody))?;
    let ProxyTrailers { crc64nvme, md5, checksum } = ProxyTrailers::from_trailers(&trailers)?;
    Ok(Integrity { length, crc64nvme, md5, checksum })
}

async fn from_anyone(
    body: &mut RequestBody,
    declared: &Declared,
    writer: &mut PutWriter,
    meter: &mut Meter,
) -> Result<Integrity, S3Error> {
    let mut framing = Unframing::new(declared)?;
    let mut lane = HashLane::new(PayloadVerifier::new(declared, Compute { md5: true }));
    while let Some(mut piece) = body.next().await? {
        while let Some(payload) = framing.next(&mut piece)? {
            meter.received(payload.len() as u64);
            lane.push(payload.clone()).await?;
            writer.write(payload).await.map_err(|error| store_error(&error))?;
        }
    }
    let verified = lane.finish(&framing.finish()?).await?;
    let md5 = verified.md5.ok_or(S3Error::new(S3ErrorCode::InternalError))?;
    Ok(Integrity { length: verified.length, crc64nvme: verified.crc64nvme, md5, checksum: verified.checksum })
}

/// Takes S3's own framing off a body, where it has one.
enum Unframing {
    Plain,
    AwsChunked(Decoder),
}

impl Unframing {
    fn new(declared: &Declared) -> Result<Self, S3Error> {
        Ok(match declared.framing {
            Framing::Plain => Self::Plain,
            Framing::AwsChunked => Self::AwsChunked(Decoder::new(declared.require_length()?)),
        })
    }

    /// The next bytes of the payload; none once `piece` is used up.
    fn next(&mut self, piece: &mut Bytes) -> Result<Option<Bytes>, S3Error> {
        match self {
            Self::Plain if piece.is_empty() => Ok(None),
            Self::Plain => Ok(Some(std::mem::take(piece))),
            Self::AwsChunked(decoder) => decoder.decode(piece),
        }
    }

    /// The trailers inside the framing.
    fn finish(self) -> Result<HeaderMap, S3Error> {
        match self {
            Self::Plain => Ok(HeaderMap::new()),
            Self::AwsChunked(decoder) => decoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests;
