//! The harness of the end-to-end tests: it starts the real programs and real clients, and ends them again.
//!
//! [`World`] is where to begin: a server on a fresh directory, its owner, an org; from it come hosts, proxies and
//! tokens. [`Door`] speaks S3 to a server or a proxy over a bare socket, so that a test can also be wrong on purpose.
//! [`postgres`] runs a private cluster, [`archiver`] is wal-g or barman-cloud behind one trait. A [`Scene`] is what the cycle of
//! one S3 client needs, a [`matrix::Row`] what becomes of it. The tests themselves are in `tests/`, one binary per area.
//!
//! Tests wait for conditions, never for time: [`wait::until`] is the one place that pauses.

pub mod archiver;
pub mod binaries;
pub mod cli;
pub mod clock;
pub mod command;
pub mod digest;
pub mod files;
pub mod filesystem;
pub mod http;
pub mod line;
pub mod matrix;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod s3;
pub mod scene;
pub mod search;
pub mod server;
pub mod sigv4;
pub mod token;
pub mod toolbox;
pub mod unix;
pub mod wait;
pub mod world;

pub use cli::Cli;
pub use command::Done;
pub use http::{Body, Request, Response};
pub use line::Line;
pub use process::Running;
pub use proxy::Proxy;
pub use s3::Door;
pub use scene::Scene;
pub use server::Server;
pub use world::World;
