//! Which certificates a client believes when it connects to the origin.
//!
//! Three answers, and exactly one holds: the file named with `--ca-file`, the pin that came with the join token, or the
//! system's own certificates.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::{Deserialize, Serialize};

use crate::key::sha256;
use crate::{ParseError, TrustError};

const PIN_PREFIX: &str = "sha256:";

/// The SHA-256 of a server's own certificate authority (its certificate in DER): `sha256:` and 64 hex digits.
///
/// The server sends that authority's certificate last in its chain, so that a pin is all a client needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin([u8; 32]);

impl Pin {
    /// The pin of a certificate in DER.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(sha256(der))
    }
}

impl FromStr for Pin {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut pin = [0; 32];
        let digits = text.strip_prefix(PIN_PREFIX).unwrap_or_default();
        match hex::decode_to_slice(digits, &mut pin) {
            Ok(()) => Ok(Self(pin)),
            Err(_) => Err(ParseError::new("not a pin: expected sha256: and 64 hex digits")),
        }
    }
}

impl TryFrom<String> for Pin {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> String {
        pin.to_string()
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PIN_PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

/// What makes a server's certificate believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTrust {
    /// The system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    System,
    /// The certificates of a PEM file, and no others.
    CaFile(PathBuf),
    /// The one authority with this pin, and no other.
    Pinned(Pin),
}

impl ServerTrust {
    /// What a person said now (`--ca-file`) goes before what the identity remembers (the pin), then the system's.
    pub fn choose(ca_file: Option<PathBuf>, pin: Option<Pin>) -> Self {
        match (ca_file, pin) {
            (Some(file), _) => Self::CaFile(file),
            (None, Some(pin)) => Self::Pinned(pin),
            (None, None) => Self::System,
        }
    }

    /// A TLS client configuration that believes exactly this, with no client certificate and no protocol offered.
    /// Reads files: call it once, at start.
    pub fn client_config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Library)?;
        let builder = match self {
            Self::System => builder.with_root_certificates(system_roots()?),
            Self::CaFile(path) => builder.with_root_certificates(roots_of_file(path)?),
            Self::Pinned(pin) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(PinnedAuthority { pin: *pin, provider }))
            }
        };
        Ok(builder.with_no_client_auth())
    }
}

fn system_roots() -> Result<RootCertStore, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(TrustError::NoSystemRoots(why));
    }
    Ok(roots)
}

fn roots_of_file(path: &PathBuf) -> Result<RootCertStore, TrustError> {
    let fail = |why: String| TrustError::CaFile { path: path.clone(), why };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fail(error.to_string()))?;
        roots.add(certificate).map_err(|error| fail(error.to_string()))?;
    }
    if roots.is_empty() { Err(fail("it holds no certificate".to_owned())) } else { Ok(roots) }
}

/// Believes a chain that ends in the one pinned authority, then checks it as any chain: names, dates, signatures.
#[derive(Debug)]
struct PinnedAuthority {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug, thiserror::Error)]
#[error("the server's certificate chain does not hold the pinned authority {0}")]
struct PinMissing(Pin);

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = intermediates.iter().find(|der| Pin::of_certificate(der) == self.pin) else {
            let missing = OtherError(Arc::new(PinMissing(self.pin)));
            return Err(rustls::Error::InvalidCertificate(CertificateError::Other(missing)));
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    struct Chain {
        authority: CertificateDer<'static>,
        leaf: CertificateDer<'static>,
    }

    fn chain() -> Chain {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let leaf = CertificateParams::new(vec!["backup.example.com".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        Chain { authority: authority.der().clone(), leaf: leaf.der().clone() }
    }

    fn check(
        pin: Pin,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &str,
    ) -> Result<(), rustls::Error> {
        let verifier = PinnedAuthority { pin, provider: Arc::new(aws_lc_rs::default_provider()) };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(leaf, sent, &name, &[], UnixTime::now()).map(|_| ())
    }

    #[test]
    fn a_chain_to_the_pinned_authority_is_believed_for_its_own_names_only() {
        let Chain { authority, leaf } = chain();
        let pin = Pin::of_certificate(&authority);
        let sent = [authority];
        assert_eq!(check(pin, &leaf, &sent, "backup.example.com"), Ok(()));
        assert!(check(pin, &leaf, &sent, "other.example.com").is_err());
    }

    #[test]
    fn a_chain_without_the_pinned_authority_is_refused() {
        let (ours, theirs) = (chain(), chain());
        let pin = Pin::of_certificate(&ours.authority);
        assert!(check(pin, &theirs.leaf, &[theirs.authority], "backup.example.com").is_err());
        assert!(check(pin, &ours.leaf, &[], "backup.example.com").is_err());
        // Sending the pinned authority along does not help a leaf that it did not sign.
        assert!(check(pin, &theirs.leaf, &[ours.authority], "backup.example.com").is_err());
    }

    #[test]
    fn a_pin_round_trips_and_a_short_one_is_refused() {
        let pin = Pin::of_certificate(b"x");
        assert_eq!(pin.to_string().parse(), Ok(pin));
        assert!("sha256:00".parse::<Pin>().is_err());
        assert!(pin.to_string()[7..].parse::<Pin>().is_err());
    }

    #[test]
    fn a_flag_goes_before_the_pin_and_the_pin_before_the_system() {
        let pin = Pin::of_certificate(b"x");
        assert_eq!(ServerTrust::choose(Some("ca.pem".into()), Some(pin)), ServerTrust::CaFile("ca.pem".into()));
        assert_eq!(ServerTrust::choose(None, Some(pin)), ServerTrust::Pinned(pin));
        assert_eq!(ServerTrust::choose(None, None), ServerTrust::System);
    }

    #[test]
    fn a_ca_file_without_certificates_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = ServerTrust::CaFile(file.path().to_owned()).client_config().unwrap_err();
        assert!(error.to_string().contains("no certificate"), "{error}");
        assert!(ServerTrust::CaFile("/nonexistent/ca.pem".into()).client_config().is_err());
    }
}
