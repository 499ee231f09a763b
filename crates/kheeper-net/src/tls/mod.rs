//! Certificates that a program of ours shows: from files that somebody else keeps, or made here under an authority of
//! its own that never leaves its directory.
//!
//! The server's `--tls-self-signed` and the proxy's `--tls` are the two users. What a *client* of ours believes is
//! decided elsewhere (`kheeper-identity`, `server_trust`).

mod authority;
mod certificate;
mod files;
mod java_trust_store;
mod own_certificate;

use std::io;
use std::path::PathBuf;

pub use authority::{Authority, AuthoritySpec};
pub use certificate::{Certificate, CertificateFiles};
pub use own_certificate::{OwnCertificate, OwnCertificateSpec};

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or directory cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A private key that others can read may be in their hands already.
    #[error(
        "the private key {} can be read by others (mode {mode:04o}): remove its directory, so that a new authority is \
         made, and have clients trust that one", path.display()
    )]
    KeyExposed {
        /// The key.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file holds something else than it should.
    #[error("{} is not usable: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate and a key are not a pair.
    #[error("the certificate {} and the key {} do not belong together", cert.display(), key.display())]
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What the TLS library says.
        #[source]
        source: rustls::Error,
    },
    /// The TLS library refuses what we ask of it.
    #[error("TLS cannot be set up")]
    Library(#[from] rustls::Error),
    /// A certificate cannot be made, for instance because a name is not one.
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
}
