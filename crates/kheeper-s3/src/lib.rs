//! S3 on the wire: what a request asks for, how its body is framed and verified, and how the answer is written.
//!
//! Pure: nothing here opens a file or a socket, and nothing here decides who may do what. The proxy and the server use
//! the same code, so that they cannot disagree on what a byte means.
//!
//! Read [`operation`] first: [`Operation::parse`] turns a method, a path, a query and headers into one typed value, and
//! refuses what it cannot honour by the one policy list in [`header`]. [`body`] decodes and verifies payloads, [`xml`]
//! reads and writes documents, [`error`] holds every error code that a client can see.

pub mod as_of;
pub mod body;
pub mod condition;
pub mod cursor;
pub mod error;
pub mod header;
pub mod operation;
pub mod path;
pub mod query;
pub mod range;
pub mod signature;
pub mod tags;
pub mod xml;

pub use error::{S3Error, S3ErrorCode};
pub use operation::{Operation, OperationClass, OperationKind};
