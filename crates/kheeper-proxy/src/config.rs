//! What the proxy is told at start. All of it is checked before anything is bound.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use kheeper_identity::{Identity, MachineId, PrivateKey, Scope, ServerTrust};
use kheeper_model::{KeyId, Timestamp};

use crate::error::StartError;

/// Where the proxy listens when nobody says otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

/// How long requests in flight may take once the proxy is told to stop.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Everything the proxy needs to know. There is no default for who it is; the weaker modes are spelled out.
#[derive(Debug)]
pub struct ProxyConfig {
    /// Who the proxy is, and to which server it forwards.
    pub identity: Identity,
    /// The key of that identity.
    pub key: Arc<PrivateKey>,
    /// Which certificates of the server it believes.
    pub trust: ServerTrust,
    /// This machine, when it has an id: a cloned one must not write.
    pub machine_id: Option<MachineId>,
    /// Where to listen; `None` takes the sockets that systemd passes, or else [`DEFAULT_LISTEN`].
    pub listen: Option<ListenAddress>,
    /// Also speak TLS on the same sockets, with the certificate and authority in this directory; made where missing.
    pub tls_dir: Option<PathBuf>,
    /// What a program on this machine has to show.
    pub guard: LocalGuard,
    /// What the requests of this proxy may do.
    pub access: Access,
    /// Read what there was then instead of what is current. Only with [`Access::Read`], as a person.
    pub at: Option<Timestamp>,
    /// Where the identity came from, to be read again: a key that was rotated is taken up without a restart.
    pub source: Option<IdentitySource>,
    /// Serve for this long, then stop as on SIGTERM; `None` serves until told.
    pub lifetime: Option<Duration>,
    /// How long requests in flight may take once the proxy is told to stop.
    pub drain_timeout: Duration,
    /// Forward to a plain `http://` origin that is not on loopback: token and data can be read and changed on the way.
    pub allow_plain_http: bool,
}

/// Reads the identity and its key again.
#[derive(Clone)]
pub struct IdentitySource(Arc<ReadIdentity>);

type ReadIdentity = dyn Fn(&KeyId) -> Result<Option<(Identity, PrivateKey)>, String> + Send + Sync;

impl IdentitySource {
    /// `read` gets the id of the key in use, and returns the identity and its key if they are others by now.
    pub fn new(
        read: impl Fn(&KeyId) -> Result<Option<(Identity, PrivateKey)>, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn read(&self, in_use: &KeyId) -> Result<Option<(Identity, PrivateKey)>, String> {
        (self.0)(in_use)
    }
}

impl std::fmt::Debug for IdentitySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentitySource")
    }
}

/// A place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// `127.0.0.1:5000`, `[::1]:5000`. Port 0 lets the system choose.
    Tcp(SocketAddr),
    /// `unix:/run/kheeper/proxy.sock`.
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err("unix: needs a path".to_owned()) } else { Ok(Self::Unix(path.into())) };
        }
        let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let address = address.as_deref().unwrap_or(text);
        address.parse().map(Self::Tcp).map_err(|_| format!("{text:?} is neither ADDRESS:PORT nor unix:PATH"))
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Who may use the proxy.
#[derive(Debug, Clone, Default)]
pub struct LocalGuard {
    /// User names or numeric ids whose sockets are admitted; empty admits every local user.
    pub allow_users: Vec<String>,
    /// Names besides `localhost`, `127.0.0.1` and `[::1]` that a request's `Host` may say.
    pub allow_hosts: Vec<String>,
    /// Serve requests that have no `Authorization: AWS4-…`: any web page or tricked program on this machine can
    /// then use the identity.
    pub allow_unsigned: bool,
    /// Bind an address that is not loopback: whoever reaches it can then use the identity.
    pub allow_remote: bool,
}

/// What the requests of a proxy may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// All that the identity may do: for a host, read and write its own namespace.
    Full,
    /// Read only; tokens carry the scope, so that the server says so too.
    Read(Scope),
}

impl ProxyConfig {
    /// Refuses what contradicts itself or is weaker than was asked for.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let refuse = |why: String| Err(StartError::Config(why));
        let origin = &self.identity.origin;
        if !origin.is_https() && !origin.is_loopback() && !self.allow_plain_http {
            return refuse(format!(
                "the origin {origin} has no TLS and is not on this machine: the token could be read on the way \
                 (--allow-plain-http allows it)"
            ));
        }
        if self.at.is_some() && !matches!(self.access, Access::Read(_)) {
            return refuse("the past can only be read: a time needs a person's read-only proxy".to_owned());
        }
        if let Some(ListenAddress::Tcp(address)) = &self.listen {
            check_bind(*address, &self.guard)?;
        }
        if self.key.public_key().key_id() != self.identity.key_id {
            return refuse("the private key is not the one that the identity names".to_owned());
        }
        Ok(())
    }
}

/// Refuses an address that others than this machine can reach, unless the guard says that is meant.
pub(crate) fn check_bind(address: SocketAddr, guard: &LocalGuard) -> Result<(), StartError> {
    if address.ip().to_canonical().is_loopback() || guard.allow_remote {
        return Ok(());
    }
    Err(StartError::Config(format!(
        "{address} is not on loopback: whoever reaches it could use this identity (--allow-remote allows it)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_read_as_written() {
        assert_eq!("127.0.0.1:5000".parse(), Ok(ListenAddress::Tcp(DEFAULT_LISTEN)));
        assert_eq!("localhost:5000".parse(), Ok(ListenAddress::Tcp(DEFAULT_LISTEN)));
        assert_eq!("unix:/run/x".parse(), Ok(ListenAddress::Unix("/run/x".into())));
        for bad in ["", "5000", "unix:", "example.com:80", "127.0.0.1"] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_that_others_reach_must_be_asked_for() {
        let guard = LocalGuard::default();
        for loopback in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(check_bind(loopback.parse().expect("valid"), &guard).is_ok(), "{loopback}");
        }
        for other in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert!(check_bind(other.parse().expect("valid"), &guard).is_err(), "{other}");
            let told = LocalGuard { allow_remote: true, ..LocalGuard::default() };
            assert!(check_bind(other.parse().expect("valid"), &told).is_ok(), "{other}");
        }
    }
}
