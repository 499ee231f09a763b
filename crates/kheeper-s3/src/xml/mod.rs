//! S3's documents: what clients send, and what they are sent.
//!
//! [`request`] reads with limits and without DTDs, [`response`] writes with an escape-only writer into one buffer.

pub mod attributes;
pub mod request;
pub mod response;
pub mod url;
pub(crate) mod write;
