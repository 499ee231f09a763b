//! A proxy that runs for one test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kheeper_identity::{Identity, IdentitySubject, PrivateKey, ServerTrust};
use kheeper_model::HostId;
use kheeper_proxy::{Access, ListenAddress, LocalGuard, ProxyConfig, Stop, bind};
use tokio::task::JoinHandle;

/// A configuration for `origin` that listens on a port of the system's choice.
pub(crate) fn config(origin: &str) -> ProxyConfig {
    let key = PrivateKey::generate().expect("made");
    let subject =
        IdentitySubject::Host { namespace: "myorg/web-01".parse().expect("valid"), host_id: HostId::random() };
    let key_id = key.public_key().key_id();
    ProxyConfig {
        identity: Identity { origin: origin.parse().expect("valid"), subject, key_id, pin: None, machine_id: None },
        key: Arc::new(key),
        trust: ServerTrust::System,
        machine_id: None,
        listen: Some(ListenAddress::Tcp("127.0.0.1:0".parse().expect("valid"))),
        tls_dir: None,
        guard: LocalGuard::default(),
        access: Access::Full,
        at: None,
        source: None,
        lifetime: None,
        drain_timeout: Duration::from_secs(20),
        allow_plain_http: false,
    }
}

/// A proxy, stopped when it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) stop: Stop,
    pub(crate) running: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `upstream`.
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        Self::with(config(&format!("http://{upstream}")))
    }

    /// A proxy with this configuration.
    pub(crate) fn with(config: ProxyConfig) -> Self {
        let (stop, stopped) = Stop::new();
        let bound = bind(config).expect("bound");
        let address = bound.tcp_address().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { address, stop, running: tokio::spawn(bound.run(stopped)) }
    }
}

/// Waits for what must come, and not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come"),
    }
}
