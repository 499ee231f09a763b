//! Bodies: how they are framed, what they must hash to, and the proof that they did.
//!
//! [`declared::Declared`] is what the headers promise. [`aws_chunked::Decoder`] removes S3's own framing.
//! [`verify::PayloadVerifier`] holds the promise against the bytes, and [`hash_lane::HashLane`] does so off the async
//! threads. [`kheeper_trailer`] is how the proxy tells the server what it found.

pub mod aws_chunked;
pub mod declared;
pub mod hash_lane;
pub mod kheeper_trailer;
pub mod verify;
