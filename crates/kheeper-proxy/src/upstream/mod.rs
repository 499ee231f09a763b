//! The server's side: connections to the one configured origin, and requests over them.
//!
//! No redirect is ever followed and no other address is ever connected to, so that the token cannot leave for anywhere
//! else. The pool is our own because the proxy has to know whether a connection was used before: only then may a
//! failure mean no more than that the server had closed it meanwhile.

mod body;
mod connect;
mod pool;

pub(crate) use body::{BodySender, RequestBody};
pub(crate) use connect::Connector;
pub(crate) use pool::{Lease, Pool, Reuse};
