//! The server's certificate: from files that are read again when they change, or from a CA of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use kheeper_identity::Pin;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// How often certificate files are looked at for a change.
const RELOAD_PERIOD: Duration = Duration::from_secs(10);

/// A certificate chain and its key, and where they were read from.
#[derive(Debug)]
pub(crate) struct Certificate {
    current: ArcSwap<CertifiedKey>,
    cert_file: PathBuf,
    key_file: PathBuf,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Certificate {
    /// Reads a PEM chain and its PEM key; fails when they are not there or do not belong together.
    pub(crate) fn load(cert_file: &Path, key_file: &Path) -> anyhow::Result<Arc<Self>> {
        let current = read(cert_file, key_file)?;
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(current),
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
        }))
    }

    /// TLS 1.2 and 1.3 with this certificate, HTTP/1.1 only.
    pub(crate) fn server_config(self: &Arc<Self>) -> anyhow::Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Looks at the files every few seconds and takes them over when they changed and are sound; keeps the old
    /// certificate, and says so, when they are not. Never returns.
    pub(crate) async fn reload_on_change(self: Arc<Self>) {
        let mut seen = modified(&self.cert_file, &self.key_file);
        let mut ticks = tokio::time::interval(RELOAD_PERIOD);
        loop {
            ticks.tick().await;
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || {
                let now = modified(&this.cert_file, &this.key_file);
                (now != seen).then(|| (now, read(&this.cert_file, &this.key_file)))
            })
            .await;
            match looked {
                Ok(Some((now, Ok(key)))) => {
                    seen = now;
                    self.current.store(Arc::new(key));
                    tracing::info!(file = %self.cert_file.display(), "the TLS certificate was replaced");
                }
                Ok(Some((now, Err(error)))) => {
                    seen = now;
                    tracing::error!("the changed TLS certificate is not usable, the old one stays: {error:#}");
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

fn read(cert_file: &Path, key_file: &Path) -> anyhow::Result<CertifiedKey> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect)
        .with_context(|| format!("failed to read the certificate {}", cert_file.display()))?;
    if chain.is_empty() {
        bail!("{} holds no certificate", cert_file.display());
    }
    let key = PrivateKeyDer::from_pem_file(key_file)
        .with_context(|| format!("failed to read the private key {}", key_file.display()))?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).with_context(|| {
        format!("the certificate {} and the key {} do not belong together", cert_file.display(), key_file.display())
    })
}

/// A certificate signed by a CA that lives in the data directory, and the CA's pin.
pub(crate) struct SelfSigned {
    /// The server's certificate, the CA's behind it.
    pub(crate) certificate: Arc<Certificate>,
    /// The CA's pin, which travels in join tokens.
    pub(crate) ca_pin: Pin,
}

/// Opens `DATA/tls`, making a CA there when there is none, and a certificate for `names` signed by it.
///
/// The CA lives ten years and stays, because its pin is in every identity. The server's own certificate is made anew at
/// each start, so that it always names the present origins.
pub(crate) fn self_signed(data_dir: &Path, names: &[String]) -> anyhow::Result<SelfSigned> {
    let dir = data_dir.join("tls");
    create_private_dir(&dir)?;
    let (ca_cert_file, ca_key_file) = (dir.join("ca.pem"), dir.join("ca-key.pem"));
    let (cert_file, key_file) = (dir.join("server.pem"), dir.join("server-key.pem"));

    let mut params = rcgen::CertificateParams::new(Vec::new())?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(rcgen::DnType::CommonName, "kheeper-server CA");
    if !ca_cert_file.exists() {
        let key = rcgen::KeyPair::generate()?;
        let cert = params.self_signed(&key)?;
        // The key first: a certificate without its key would look complete and could sign nothing.
        write_synced(&ca_key_file, key.serialize_pem().as_bytes(), 0o600)?;
        write_synced(&ca_cert_file, cert.pem().as_bytes(), 0o644)?;
    }
    let ca_pem =
        std::fs::read_to_string(&ca_cert_file).with_context(|| format!("failed to read {}", ca_cert_file.display()))?;
    let ca_key_pem =
        std::fs::read_to_string(&ca_key_file).with_context(|| format!("failed to read {}", ca_key_file.display()))?;
    let ca_key = rcgen::KeyPair::from_pem(&ca_key_pem)?;
    let ca_der = CertificateDer::from_pem_slice(ca_pem.as_bytes()).context("the CA's certificate is damaged")?;
    let issuer = rcgen::Issuer::new(params, ca_key);

    let key = rcgen::KeyPair::generate()?;
    let mut leaf = rcgen::CertificateParams::new(names.to_vec())?;
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "kheeper-server");
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let cert = leaf.signed_by(&key, &issuer)?;
    write_synced(&key_file, key.serialize_pem().as_bytes(), 0o600)?;
    write_synced(&cert_file, format!("{}{ca_pem}", cert.pem()).as_bytes(), 0o644)?;

    let certificate = Certificate::load(&cert_file, &key_file)?;
    Ok(SelfSigned { certificate, ca_pin: Pin::of_certificate(&ca_der) })
}

fn create_private_dir(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("failed to create {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file under another name, syncs it, and renames it into place.
fn write_synced(file: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let fresh = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        std::fs::rename(&fresh, file)
    };
    write().with_context(|| format!("failed to write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ca_and_its_pin_survive_a_restart() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let first = self_signed(data.path(), &names).expect("made");
        let second = self_signed(data.path(), &names).expect("opened");
        assert_eq!(first.ca_pin, second.ca_pin);
        assert!(second.certificate.server_config().is_ok());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (one, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let names = ["localhost".to_owned()];
        self_signed(one.path(), &names).expect("made");
        self_signed(other.path(), &names).expect("made");
        let cert = one.path().join("tls/server.pem");
        let key = other.path().join("tls/server-key.pem");
        let error = Certificate::load(&cert, &key).expect_err("they do not belong together");
        assert!(format!("{error:#}").contains("do not belong together"), "{error:#}");
    }
}
