//! The certificate that a listener shows, which can be replaced while connections are served.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// How often certificate files are looked at for a change.
const RELOAD_PERIOD: Duration = Duration::from_secs(10);

/// A certificate chain and its key. A handshake takes the one of its moment; connections keep the one they began with.
#[derive(Debug)]
pub struct Certificate(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificate {
    pub(super) fn new(key: CertifiedKey) -> Self {
        Self(ArcSwap::from_pointee(key))
    }

    pub(super) fn replace(&self, key: Arc<CertifiedKey>) {
        self.0.store(key);
    }

    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        self.0.load_full()
    }

    /// The chain that is shown now, the program's own certificate first.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.load().cert.clone()
    }

    /// TLS 1.2 and 1.3 with this certificate, HTTP/1.1 only.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// A certificate that somebody else keeps in two files, and renews when they like.
#[derive(Debug)]
pub struct CertificateFiles {
    certificate: Arc<Certificate>,
    cert_file: PathBuf,
    key_file: PathBuf,
}

impl CertificateFiles {
    /// Reads a PEM chain and its PEM key; fails when they are not there or do not belong together.
    pub fn load(cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: Arc::new(Certificate::new(read(cert_file, key_file)?)),
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
        })
    }

    /// What a listener shows.
    pub fn certificate(&self) -> &Arc<Certificate> {
        &self.certificate
    }

    /// Looks at the files every few seconds and takes them over when they changed and are sound; keeps the old
    /// certificate, and says so, when they are not. Never returns.
    pub async fn reload_on_change(self) {
        let this = Arc::new(self);
        let mut seen = modified(&this.cert_file, &this.key_file);
        let mut ticks = tokio::time::interval(RELOAD_PERIOD);
        loop {
            ticks.tick().await;
            let files = Arc::clone(&this);
            let looked = tokio::task::spawn_blocking(move || {
                let now = modified(&files.cert_file, &files.key_file);
                (now != seen).then(|| (now, read(&files.cert_file, &files.key_file)))
            })
            .await;
            match looked {
                Ok(Some((now, Ok(key)))) => {
                    seen = now;
                    this.certificate.replace(Arc::new(key));
                    tracing::info!(file = %this.cert_file.display(), "the TLS certificate was replaced");
                }
                Ok(Some((now, Err(error)))) => {
                    seen = now;
                    tracing::error!(
                        why = %error, cause = std::error::Error::source(&error).map(ToString::to_string),
                        "the changed TLS certificate is not usable, the old one stays"
                    );
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "failed to look at the TLS certificate"),
            }
        }
    }
}

fn modified(cert_file: &Path, key_file: &Path) -> [Option<SystemTime>; 2] {
    [cert_file, key_file].map(|file| std::fs::metadata(file).and_then(|meta| meta.modified()).ok())
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Reads a chain and its key; one file may hold both.
pub(super) fn read(cert_file: &Path, key_file: &Path) -> Result<CertifiedKey, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(cert_file, error))?;
    if chain.is_empty() {
        let why = "it holds no certificate".to_owned();
        return Err(TlsError::Malformed { path: cert_file.to_owned(), why });
    }
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| unreadable(key_file, error))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|source| TlsError::Mismatch {
        cert: cert_file.to_owned(),
        key: key_file.to_owned(),
        source,
    })
}

fn unreadable(path: &Path, error: pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::Read { path, source },
        other => TlsError::Malformed { path, why: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{AuthoritySpec, OwnCertificate, OwnCertificateSpec};
    use kheeper_model::Timestamp;

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let make = || {
            let dir = tempfile::tempdir().expect("a directory");
            let spec = OwnCertificateSpec {
                authority: AuthoritySpec::AnyName { common_name: "test CA" },
                common_name: "test",
                names: vec!["localhost".to_owned()],
            };
            OwnCertificate::open(dir.path(), spec, Timestamp::from_secs(1_800_000_000)).expect("made");
            dir
        };
        let (one, other) = (make(), make());
        let error = CertificateFiles::load(&one.path().join("own.pem"), &other.path().join("own.pem"));
        let error = error.expect_err("they do not belong together");
        assert!(error.to_string().contains("do not belong together"), "{error}");
    }
}
