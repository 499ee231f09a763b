//! S3 on localhost in, the host's own token on, the server out.
//!
//! S3 clients talk to this proxy with any credentials; it drops them, checks that the caller is a local program that
//! may use the identity, unframes and verifies what it uploads, and forwards over HTTP/1.1 with a token that it signs
//! itself. It stores nothing, follows no redirect, and never acknowledges before the server has.
//!
//! A PUT, by file names: `listen` → `check_local_caller` → `forward` (→ `forward/upload`) → `attach_token` →
//! `upstream`. Every bound is in `limits`, with the bound on memory that they add up to. Read `kheeper-s3` for what a
//! request means and `kheeper-identity` for what a token says.

mod attach_token;
mod check_local_caller;
mod clock_drift;
mod config;
mod error;
mod forward;
mod grant_notice;
mod key_change;
mod limits;
mod listen;
mod local_tls;
mod metrics;
mod own_endpoints;
mod privileges;
mod proxy;
mod socket_owner;
mod start;
mod upstream;

pub use config::{
    Access, DEFAULT_LISTEN, DRAIN_TIMEOUT_DEFAULT, IdentitySource, ListenAddress, LocalGuard, ProxyConfig,
};
pub use error::StartError;
pub use privileges::runtime;
pub use start::{BoundProxy, Stop, bind, serve};
