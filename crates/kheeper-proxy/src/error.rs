//! What can go wrong: at start, and with one request.

use std::io;

use kheeper_identity::TrustError;
use kheeper_s3::{S3Error, S3ErrorCode};

/// Why the proxy did not start, or stopped serving.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What it was told contradicts itself, or is weaker than was asked for. Trying again does not help.
    #[error("{0}")]
    Config(String),
    /// An address could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The sockets that systemd passed are not what they should be.
    #[error("cannot use the sockets that the service manager passed")]
    Activation(#[source] io::Error),
    /// The certificates to believe could not be loaded.
    #[error("cannot load the certificates that vouch for the server")]
    Trust(#[from] TrustError),
    /// The certificate for local clients could not be opened or made.
    #[error("cannot serve TLS")]
    LocalTls(#[from] kheeper_net::tls::TlsError),
    /// The kernel refused something that never fails on a working machine.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Why the proxy itself answers a request with an error: what the client reads, and what the log says.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// For the client.
    pub(crate) error: S3Error,
    /// For the log, where it says more than the client's message.
    pub(crate) detail: Option<String>,
}

impl Refusal {
    /// A request that the proxy will not forward.
    pub(crate) fn denied(message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        S3Error::new(S3ErrorCode::AccessDenied).with_message(message).into()
    }

    /// A server that cannot be reached, or does not answer.
    pub(crate) fn unavailable(message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        S3Error::new(S3ErrorCode::ServiceUnavailable).with_message(message).into()
    }

    /// The same refusal with more for the log.
    pub(crate) fn because(mut self, detail: impl ToString) -> Self {
        self.detail = Some(detail.to_string());
        self
    }
}

impl From<S3Error> for Refusal {
    fn from(error: S3Error) -> Self {
        Self { error, detail: None }
    }
}

/// An error and what caused it, on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // hyper and rustls repeat their cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
