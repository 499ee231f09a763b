//! What can go wrong, told apart by what the caller can do about it.

use std::io;
use std::path::PathBuf;

use crate::ContextName;

/// A text from outside that is not what it should be. The message finishes the sentence "failed to read it:".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub(crate) String);

impl ParseError {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not PEM of the expected kind.
    #[error("not a PEM {0}")]
    NotPem(&'static str),
    /// It is a key of another algorithm, or damaged.
    #[error("not an Ed25519 {0}")]
    NotEd25519(&'static str),
    /// A public key for which anyone can forge signatures.
    #[error("the public key is one of the few weak points of the curve, for which anyone can sign")]
    Weak,
    /// The crypto library failed.
    #[error("the crypto library could not make a key")]
    Library,
}

/// Why a token was refused.
///
/// The [`Display`](std::fmt::Display) text is for the caller: every refusal before a signature verifies reads the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not a token that may be accepted here. The reason is for the log, not for the caller.
    #[error("the token is not valid here")]
    Denied(&'static str),
    /// It is validly signed, and its `exp` has passed by more than the clock tolerance.
    #[error("the token expired {ago_secs} s ago")]
    Expired {
        /// Seconds since `exp`.
        ago_secs: u64,
    },
    /// It is validly signed, and its `iat` is ahead by more than the clock tolerance.
    #[error("the token was issued {ahead_secs} s in the future: the caller's clock is ahead")]
    IssuedInFuture {
        /// Seconds until `iat`.
        ahead_secs: u64,
    },
}

/// Why a context could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// Neither `KHEEPER_CONFIG`, `XDG_CONFIG_HOME` nor `HOME` is set.
    #[error("no directory for contexts: set KHEEPER_CONFIG")]
    NoConfigDir,
    /// There is no identity in the context.
    #[error(
        "no identity in {}: enrol this machine with `kheeper hosts join -`, which reads its join token, or log in with `kheeper auth login`",
        dir.display()
    )]
    NoIdentity {
        /// The context's directory.
        dir: PathBuf,
    },
    /// There is an identity already.
    #[error("{} holds an identity already: {holds}; `--replace` replaces it", dir.display())]
    Exists {
        /// The context's directory.
        dir: PathBuf,
        /// Who it is.
        holds: String,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or directory could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file was written by a newer kheeper.
    #[error("{} has version {found}, and this kheeper reads up to {supported}: update kheeper", path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// The version it states.
        found: u64,
        /// The newest version this program reads.
        supported: u64,
    },
    /// The private key can be read by others than its owner.
    #[error("{} has mode {mode:04o}: others can read it; run `chmod 0600` on it, and rejoin if it may have been read", path.display())]
    KeyExposed {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key's file and the identity are of two enrolments.
    #[error("the key in {} is not the one that the identity names: join again", dir.display())]
    KeyMismatch {
        /// The context's directory.
        dir: PathBuf,
    },
    /// No such context.
    #[error("no context {name} in {}", dir.display())]
    NoSuchContext {
        /// The name asked for.
        name: ContextName,
        /// The directory of contexts.
        dir: PathBuf,
    },
}

/// Why the certificates to believe could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file with certificates could not be read.
    #[error("cannot read certificates from {}: {why}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system has no certificates.
    #[error("the system has no trusted certificates{0}: install ca-certificates, or name a file with --ca-file")]
    NoSystemRoots(String),
    /// The TLS library refused the configuration.
    #[error("the TLS library refused its configuration")]
    Library(#[source] rustls::Error),
}
