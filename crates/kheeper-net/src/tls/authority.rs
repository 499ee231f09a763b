//! An authority of one program's own: a key that never leaves its directory, and the certificate that clients trust.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CidrSubnet, DnType, GeneralSubtree, IsCa, Issuer, KeyPair};
use rcgen::{KeyUsagePurpose, NameConstraints};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::TlsError;
use super::files::{self, PRIVATE, PUBLIC};
use super::java_trust_store;

/// What an authority is called, and what it may vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthoritySpec {
    /// For any name: the server's, which is reached by whatever name its operator gave it.
    AnyName {
        /// What people read in a certificate viewer.
        common_name: &'static str,
    },
    /// For `localhost`, 127.0.0.0/8 and `::1` only, which the certificate itself says (a critical name constraint): a
    /// client that trusts it trusts it for nothing else, even if its key were stolen.
    LoopbackOnly {
        /// What people read in a certificate viewer.
        common_name: &'static str,
    },
}

/// An authority, opened for signing; its directory is locked meanwhile.
///
/// It has no end (its certificate is good until the year 4096): its fingerprint is pinned by identities and its file is
/// named in clients' settings, and what is renewed is what it issues.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
    _lock: File,
}

impl Authority {
    /// The file, within an authority's directory, that clients are given.
    pub const CERTIFICATE_FILE: &str = "ca.pem";
    /// The same for Java, beside it, where the clients are the machine's own.
    pub const JAVA_FILE: &str = "ca.jks";
    const KEY_FILE: &str = "ca-key.pem";

    /// Opens the authority in `dir`, which must exist, or makes one there. Refuses a key that others can read.
    pub fn open(dir: &Path, spec: AuthoritySpec) -> Result<Self, TlsError> {
        let lock = files::lock(dir)?;
        let (cert_file, key_file) = (dir.join(Self::CERTIFICATE_FILE), dir.join(Self::KEY_FILE));
        let params = spec.params();
        if !cert_file.exists() {
            let key = KeyPair::generate()?;
            let cert = params.self_signed(&key)?;
            // The key first: a certificate without its key would look complete and could sign nothing.
            files::write_synced(&key_file, key.serialize_pem().as_bytes(), PRIVATE)?;
            files::write_synced(&cert_file, cert.pem().as_bytes(), PUBLIC)?;
        }
        let malformed = |path: PathBuf, why: String| TlsError::Malformed { path, why };
        let key = KeyPair::from_pem(&files::read_private(&key_file)?)
            .map_err(|error| malformed(key_file.clone(), error.to_string()))?;
        let pem =
            std::fs::read_to_string(&cert_file).map_err(|source| TlsError::Read { path: cert_file.clone(), source })?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| malformed(cert_file.clone(), error.to_string()))?;
        if matches!(spec, AuthoritySpec::LoopbackOnly { .. }) {
            let (java_file, store) = (dir.join(Self::JAVA_FILE), java_trust_store::key_store(&der));
            if std::fs::read(&java_file).ok().is_none_or(|found| found != store) {
                files::write_synced(&java_file, &store, PUBLIC)?;
            }
        }
        Ok(Self { issuer: Issuer::new(params, key), pem, der, _lock: lock })
    }

    /// Its certificate, for a pin or a trust store.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its certificate as clients read it.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a certificate for `key`.
    pub(super) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Result<rcgen::Certificate, TlsError> {
        Ok(params.signed_by(key, &self.issuer)?)
    }
}

impl AuthoritySpec {
    fn params(self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let common_name = match self {
            Self::AnyName { common_name } => common_name,
            Self::LoopbackOnly { common_name } => {
                let subnet = |ip, bits| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, bits));
                params.name_constraints = Some(NameConstraints {
                    permitted_subtrees: vec![
                        GeneralSubtree::DnsName("localhost".to_owned()),
                        subnet(IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
                        subnet(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
                    ],
                    excluded_subtrees: Vec::new(),
                });
                common_name
            }
        };
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params
    }
}
