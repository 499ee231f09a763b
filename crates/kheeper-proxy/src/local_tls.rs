//! TLS for clients that speak nothing else: on the very sockets that serve plain HTTP.
//!
//! A TLS connection begins with the byte 0x16 and no HTTP method does, so one port serves both, also where systemd holds
//! it. TLS protects nothing here that loopback does not; it is there because some clients have no other way, and others
//! (the AWS SDKs) choose how they send a body by it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kheeper_model::Clock;
use kheeper_net::tls::{AuthoritySpec, OwnCertificate, OwnCertificateSpec};
use rustix::net::RecvFlags;
use tokio_rustls::TlsAcceptor;

use crate::error::StartError;

/// The first byte of a TLS connection: a handshake record.
const HANDSHAKE_RECORD: u8 = 0x16;

/// The proxy's own certificate, for the names of loopback.
pub(crate) struct LocalTls {
    own: OwnCertificate,
    clock: Arc<dyn Clock>,
}

impl LocalTls {
    /// Opens the certificate in `dir`, or makes directory, authority and certificate.
    pub(crate) fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        OwnCertificate::make_dir(dir, 0o755)?;
        let spec = OwnCertificateSpec {
            authority: AuthoritySpec::LoopbackOnly { common_name: "kheeper object-proxy CA" },
            common_name: "localhost",
            names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into(),
        };
        let own = OwnCertificate::open(dir, spec, clock.now())?;
        Ok(Self { own, clock })
    }

    /// What ends TLS.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, StartError> {
        Ok(TlsAcceptor::from(self.own.certificate().server_config()?))
    }

    /// The file that clients are told to trust.
    pub(crate) fn authority_file(&self) -> PathBuf {
        self.own.authority_file()
    }

    /// Renews the certificate in time. Never returns.
    pub(crate) async fn keep_renewed(self) {
        self.own.keep_renewed(self.clock).await;
    }
}

/// Whether the bytes that wait on a socket begin TLS; an error of kind `WouldBlock` when none wait. They stay there.
/// A socket that was closed begins nothing.
pub(crate) fn begins_tls(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut first = [0_u8; 1];
    let (_, bytes) = rustix::net::recv(socket.as_fd(), &mut first, RecvFlags::PEEK)?;
    Ok(bytes == 1 && first[0] == HANDSHAKE_RECORD)
}
