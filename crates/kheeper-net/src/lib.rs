//! Sockets that behave, for the proxy and the server alike: a refusal reaches its peer, and a peer that stops reading is
//! given up; and the certificates that they show. Nothing here knows HTTP, nor what is sent.

mod lingering_close;
pub mod tls;
mod write_deadline;

pub use lingering_close::{Linger, LingeringClose};
pub use write_deadline::WriteDeadline;
