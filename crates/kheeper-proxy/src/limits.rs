//! The proxy's own bounds: deadlines, and what bounds its memory. What it shares with the server is in
//! [`kheeper_model::limits`].
//!
//! # The bound on memory
//!
//! A body passes through hyper's buffers on both of its sockets ([`CLIENT_BUFFER_BYTES_MAX`],
//! [`UPSTREAM_BUFFER_BYTES_MAX`]); an upload also holds two hash batches of half a MiB and the piece in hand. That is at
//! most about 1.5 MiB for an upload and 0.5 MiB for a download, whatever the object's size. [`UPLOADS_MAX`] and
//! [`DOWNLOADS_MAX`] bound how many move at once, so that a proxy with every slot taken by a stalled peer holds about
//! 320 MiB, and one with 16 streams about 60 MiB with what the allocator keeps. What waits for a slot holds its
//! request's head only ([`kheeper_model::limits::HEADER_SECTION_BYTES_READ_MAX`]).

use std::time::Duration;

/// Client connections open at once; the next one waits in the kernel's queue.
pub(crate) const CONNECTIONS_MAX: usize = 1024;
/// Requests with a body that are served at once; the next one waits.
pub(crate) const UPLOADS_MAX: usize = 128;
/// Requests without a body that are served at once; the next one waits.
pub(crate) const DOWNLOADS_MAX: usize = 256;
/// How long a request waits for a slot before it is told to slow down.
pub(crate) const SLOT_WAIT_MAX: Duration = Duration::from_secs(40);
/// Bytes that hyper gathers in one direction of a client's connection.
pub(crate) const CLIENT_BUFFER_BYTES_MAX: usize = 128 * 1024;
/// Bytes that hyper gathers in one direction of a connection to the server. The larger, the fewer calls of the kernel a
/// download takes; twice as much was no faster and cost 15 MiB with 16 streams.
pub(crate) const UPSTREAM_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Connections to the server that are kept for the next request.
pub(crate) const IDLE_UPSTREAM_MAX: usize = 64;
/// How long one is kept: less than the server's own 30 s, so that it is the proxy that lets go.
pub(crate) const IDLE_UPSTREAM_TIME: Duration = Duration::from_secs(20);
/// Bytes of an upstream error answer that are read to learn its code.
pub(crate) const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;
/// How often an interrupted GET is resumed, each time after new bytes.
pub(crate) const RESUMES_MAX: u32 = 5;

/// Name resolution, connect and TLS handshake together: an unreachable server is an answer within 2 s.
pub(crate) const CONNECT_TIME_MAX: Duration = Duration::from_millis(1500);
/// How long the next address of a name waits for the previous one (RFC 8305 says 250 ms).
pub(crate) const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);
/// How long the server may be silent while it is the one that is waited for.
pub(crate) const UPSTREAM_SILENCE_MAX: Duration = Duration::from_secs(50);
/// How long a client may be silent in the middle of its body.
pub(crate) const CLIENT_STALL_MAX: Duration = Duration::from_secs(60);
/// From accept, or from the last answer, to a complete request head. Longer than a resting client's pool needs on
/// loopback, and short enough that silent sockets cannot fill [`CONNECTIONS_MAX`] for good.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(60);
/// The same for a socket whose owner is not admitted: it gets its refusal and nothing else.
pub(crate) const HEAD_TIME_MAX_REFUSED: Duration = Duration::from_secs(5);
/// From the first byte of a client's TLS to the end of its handshake.
pub(crate) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// After an accept failed for want of descriptors: a loop that spins would starve those who could free some.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long the answer of `/-/readyz` is reused: local programs cannot make the proxy call the server more often.
pub(crate) const READINESS_TIME: Duration = Duration::from_secs(1);

/// How often the identity's files are looked at for a key that was rotated.
pub(crate) const IDENTITY_PERIOD: Duration = Duration::from_secs(2);

/// Seconds that a token is valid for.
pub(crate) const TOKEN_TTL_SECS: u64 = 600;
/// A token that has fewer seconds left is not used again.
pub(crate) const TOKEN_SECS_LEFT_MIN: u64 = 120;
