//! What the server shows to those who connect: a certificate from files, or its own with its own authority.

use std::path::Path;
use std::sync::Arc;

use kheeper_identity::Pin;
use kheeper_model::{Clock, SystemClock};
use kheeper_net::tls::{AuthoritySpec, CertificateFiles, OwnCertificate, OwnCertificateSpec};
use tokio_rustls::TlsAcceptor;

use crate::config::{Config, Tls};

/// Ends TLS here; with it the pin of the authority where it is our own. `None` where TLS ends elsewhere or nowhere.
/// Must run inside a tokio runtime: certificates are renewed and read again in the background.
pub(crate) fn acceptor(config: &Config) -> anyhow::Result<Option<(TlsAcceptor, Option<Pin>)>> {
    match &config.tls {
        Tls::None | Tls::BehindProxy(_) => Ok(None),
        Tls::Files { cert, key } => {
            let files = CertificateFiles::load(cert, key)?;
            let acceptor = TlsAcceptor::from(files.certificate().server_config()?);
            tokio::spawn(files.reload_on_change());
            Ok(Some((acceptor, None)))
        }
        Tls::SelfSigned => {
            let mut names: Vec<String> = config.origins.iter().map(|origin| origin.connect_host().to_owned()).collect();
            names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
            names.push(config.listen.ip().to_string());
            names.sort();
            names.dedup();
            let clock = Arc::new(SystemClock);
            let (own, pin) = self_signed(&config.data_dir, names, clock.as_ref())?;
            let acceptor = TlsAcceptor::from(own.certificate().server_config()?);
            tracing::info!(%pin, "serving with an own CA; its pin travels in join tokens");
            tokio::spawn(own.keep_renewed(clock));
            Ok(Some((acceptor, Some(pin))))
        }
    }
}

/// The certificate in `DATA/tls`, and the pin of the authority beside it, which is in every identity and so never changes.
fn self_signed(data_dir: &Path, names: Vec<String>, clock: &dyn Clock) -> anyhow::Result<(OwnCertificate, Pin)> {
    let dir = data_dir.join("tls");
    OwnCertificate::make_dir(&dir, 0o700)?;
    let spec = OwnCertificateSpec {
        authority: AuthoritySpec::AnyName { common_name: "kheeper-server CA" },
        common_name: "kheeper-server",
        names,
    };
    let own = OwnCertificate::open(&dir, spec, clock.now())?;
    let pin = Pin::of_certificate(own.authority());
    Ok((own, pin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ca_and_its_pin_survive_a_restart() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let (_, first) = self_signed(data.path(), names.clone(), &SystemClock).expect("made");
        let (own, second) = self_signed(data.path(), names, &SystemClock).expect("opened");
        assert_eq!(first, second);
        assert!(own.certificate().server_config().is_ok());
    }
}
