//! aws-chunked: the framing that S3 clients put inside a body, whenever `x-amz-content-sha256` begins with `STREAMING-`.
//!
//! ```text
//! <hex size>[;chunk-signature=<hex>]\r\n <bytes> \r\n   … repeated …
//! 0[;chunk-signature=<hex>]\r\n
//! [x-amz-checksum-crc32:<base64>\r\n]   [x-amz-trailer-signature:<hex>\r\n]
//! \r\n
//! ```
//!
//! Signatures are parsed and skipped: who the caller is was settled elsewhere. Everything else is strict, since a
//! mistake here stores framing inside a backup: each size is checked against the declared length before a byte is
//! given out, the final chunk of size zero must arrive, and nothing may follow the trailers.
//! (Amazon S3 API Reference, "Signature Calculations … Multiple Chunks".)

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use kheeper_model::limits::OBJECT_BYTES_MAX;

use crate::{S3Error, S3ErrorCode};

/// Bytes of one chunk's header line.
const CHUNK_HEADER_BYTES_MAX: usize = 512;
/// Bytes of one trailer line.
const TRAILER_LINE_BYTES_MAX: usize = 1024;
/// Lines after the last chunk, blank ones included.
const TRAILER_LINES_MAX: usize = 16;

/// The trailer that signs the trailers. Skipped like every signature.
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Takes the pieces of a body as they arrive, and gives the payload in them, as slices of the same memory.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// A line that began in an earlier piece.
    line: Vec<u8>,
    decoded_bytes: u64,
    declared_bytes: u64,
    trailer_lines: usize,
    trailers: HeaderMap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the header line of a chunk.
    Header,
    /// In a chunk, with so many bytes to come; never 0.
    Data { remaining: u64 },
    /// After a chunk's bytes, before `\r`.
    DataCr,
    /// After a chunk's bytes, before `\n`.
    DataLf,
    /// After the last chunk's header.
    Trailers {
        /// Whether the last line was blank, so that the body may end here.
        ended: bool,
    },
}

impl Decoder {
    /// A decoder of a body whose payload has `declared_bytes` (`x-amz-decoded-content-length`).
    pub fn new(declared_bytes: u64) -> Self {
        Self {
            state: State::Header,
            line: Vec::new(),
            decoded_bytes: 0,
            declared_bytes,
            trailer_lines: 0,
            trailers: HeaderMap::new(),
        }
    }

    /// Takes bytes off the front of `input` and gives the next piece of the payload, never empty; `None` once `input`
    /// is used up. Call it until then, with each piece of the body.
    ///
    /// `InvalidRequest` for framing that is not well-formed, `IncompleteBody` where the chunks do not add up to the
    /// declared length, `MalformedTrailerError` for trailers. After an error the decoder is of no use.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, S3Error> {
        while !input.is_empty() {
            match self.state {
                State::Header => {
                    if let Some(line) = self.take_line(input, CHUNK_HEADER_BYTES_MAX)? {
                        self.state = self.begin_chunk(&line)?;
                    }
                }
                State::Data { remaining } => return Ok(Some(self.take_data(input, remaining))),
                State::DataCr => self.state = expect(input, b'\r', State::DataLf)?,
                State::DataLf => self.state = expect(input, b'\n', State::Header)?,
                State::Trailers { .. } => {
                    if let Some(line) = self.take_line(input, TRAILER_LINE_BYTES_MAX)? {
                        self.take_trailer(&line)?;
                    } else {
                        self.state = State::Trailers { ended: false };
                    }
                }
            }
        }
        Ok(None)
    }

    /// The trailers, once the body has ended; `IncompleteBody` where it should have gone on.
    pub fn finish(self) -> Result<HeaderMap, S3Error> {
        if self.state != (State::Trailers { ended: true }) {
            return Err(S3Error::new(S3ErrorCode::IncompleteBody)
                .with_message("The body ended in the middle of its aws-chunked framing."));
        }
        assert_eq!(self.decoded_bytes, self.declared_bytes, "the final chunk is accepted at the declared length only");
        Ok(self.trailers)
    }

    /// Bytes of payload given so far.
    pub fn decoded_bytes(&self) -> u64 {
        self.decoded_bytes
    }

    /// A whole line without its `\n`, or `None` while it goes on beyond `input`.
    fn take_line(&mut self, input: &mut Bytes, bytes_max: usize) -> Result<Option<Vec<u8>>, S3Error> {
        // One byte more than a line may have is enough to know that it is too long.
        let room = (bytes_max + 1).saturating_sub(self.line.len()).min(input.len());
        let Some(end) = input[..room].iter().position(|&byte| byte == b'\n') else {
            if self.line.len() + room > bytes_max {
                return Err(malformed("a line of it is too long"));
            }
            self.line.extend_from_slice(&input.split_to(room));
            return Ok(None);
        };
        self.line.extend_from_slice(&input.split_to(end));
        let _newline = input.split_to(1);
        Ok(Some(std::mem::take(&mut self.line)))
    }

    fn begin_chunk(&self, line: &[u8]) -> Result<State, S3Error> {
        let line = line.strip_suffix(b"\r").ok_or_else(|| malformed("a chunk header does not end in CRLF"))?;
        let size = chunk_size(line)?;
        let left = self.declared_bytes - self.decoded_bytes;
        if size > left || (size == 0 && left > 0) {
            let arrived = self.decoded_bytes.saturating_add(size);
            return Err(S3Error::new(S3ErrorCode::IncompleteBody).with_message(format!(
                "x-amz-decoded-content-length says {} bytes, and the chunks hold {arrived}.",
                self.declared_bytes
            )));
        }
        Ok(if size == 0 { State::Trailers { ended: false } } else { State::Data { remaining: size } })
    }

    fn take_data(&mut self, input: &mut Bytes, remaining: u64) -> Bytes {
        let here = usize::try_from(remaining).unwrap_or(usize::MAX).min(input.len());
        let piece = input.split_to(here);
        self.decoded_bytes += piece.len() as u64;
        self.state = match remaining - piece.len() as u64 {
            0 => State::DataCr,
            remaining => State::Data { remaining },
        };
        piece
    }

    /// minio-go ends its checksum with `\n` and puts a blank line between it and the signature; so a blank line may be
    /// followed by more, and a bare `\n` ends a line.
    fn take_trailer(&mut self, line: &[u8]) -> Result<(), S3Error> {
        self.trailer_lines += 1;
        if self.trailer_lines > TRAILER_LINES_MAX {
            return Err(malformed_trailer("There are too many trailers."));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.state = State::Trailers { ended: line.is_empty() };
        if line.is_empty() {
            return Ok(());
        }
        let (name, value) = split_trailer(line)?;
        if name.as_str() != TRAILER_SIGNATURE && self.trailers.insert(name, value).is_some() {
            return Err(malformed_trailer("A trailer was sent twice."));
        }
        Ok(())
    }
}

fn expect(input: &mut Bytes, byte: u8, next: State) -> Result<State, S3Error> {
    if input.split_to(1)[0] != byte {
        return Err(malformed("a chunk is not followed by CRLF"));
    }
    Ok(next)
}

/// Parses `<hex size>[;chunk-signature=<signature>]`. SigV4A pads its signatures with `*`.
fn chunk_size(line: &[u8]) -> Result<u64, S3Error> {
    let end = line.iter().position(|&byte| byte == b';').unwrap_or(line.len());
    let (digits, extension) = line.split_at(end);
    if let Some(extension) = extension.strip_prefix(b";") {
        let signature = extension
            .strip_prefix(b"chunk-signature=")
            .ok_or_else(|| malformed("a chunk header has an unknown extension"))?;
        if signature.is_empty() || !signature.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'*') {
            return Err(malformed("a chunk signature is not hexadecimal"));
        }
    }
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(malformed("a chunk size is not a hexadecimal number"));
    }
    let size = digits.iter().fold(0u64, |size, &digit| {
        (size << 4) | u64::from(char::from(digit).to_digit(16).expect("checked to be a hexadecimal digit"))
    });
    if size > OBJECT_BYTES_MAX {
        return Err(malformed("a chunk is larger than an object may be"));
    }
    Ok(size)
}

fn split_trailer(line: &[u8]) -> Result<(HeaderName, HeaderValue), S3Error> {
    let colon = line.iter().position(|&byte| byte == b':');
    let colon = colon.ok_or_else(|| malformed_trailer("A trailer has no colon, or something follows the trailers."))?;
    let name = HeaderName::from_bytes(line[..colon].trim_ascii())
        .map_err(|_| malformed_trailer("A trailer's name is not valid."))?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii())
        .map_err(|_| malformed_trailer("A trailer's value is not valid."))?;
    Ok((name, value))
}

fn malformed(what: &'static str) -> S3Error {
    S3Error::invalid_request(format!("The aws-chunked body is not well-formed: {what}."))
}

fn malformed_trailer(message: &'static str) -> S3Error {
    S3Error::new(S3ErrorCode::MalformedTrailerError).with_message(message)
}

#[cfg(test)]
mod tests;
