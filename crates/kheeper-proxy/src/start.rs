//! From configuration to serving, and back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kheeper_identity::Identity;
use kheeper_model::SystemClock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Access, IdentitySource, ProxyConfig};
use crate::error::StartError;
use crate::key_change;
use crate::listen::{self, Listener};
use crate::local_tls::LocalTls;
use crate::privileges;
use crate::proxy::Proxy;

/// Serves until SIGTERM, SIGINT, or the end of [`ProxyConfig::lifetime`]; then lets requests in flight finish for at
/// most [`ProxyConfig::drain_timeout`]. Must be what [`crate::runtime`] blocks on: the calling thread, too, gives up its
/// capabilities for good once the sockets are bound.
///
/// `announce` runs once the sockets are bound: a connection made from then on will be served. An error means that nothing
/// was served: the configuration is refused, or an address cannot be bound.
pub async fn serve(config: ProxyConfig, announce: impl FnOnce(&BoundProxy)) -> Result<(), StartError> {
    let (stop, stopped) = Stop::new();
    let lifetime = config.lifetime;
    let signals = Signals::install()?;
    let bound = bind(config)?;
    let given_up = privileges::give_up();
    given_up.map_err(|source| StartError::System { what: "give up the privileges of this process", source })?;
    announce(&bound);
    notify(&[sd_notify::NotifyState::Ready]);
    let serving = tokio::spawn(bound.run(stopped));
    signals.wait(lifetime).await;
    notify(&[sd_notify::NotifyState::Stopping]);
    stop.now();
    serving.await.map_err(|error| StartError::System { what: "finish serving", source: std::io::Error::other(error) })
}

/// Checks the configuration and binds. Connections wait in the kernel's queue until [`BoundProxy::run`]. Must run
/// inside a tokio runtime.
pub fn bind(config: ProxyConfig) -> Result<BoundProxy, StartError> {
    config.check()?;
    let tls = config.tls_dir.as_ref().map(|dir| LocalTls::open(dir, Arc::new(SystemClock))).transpose()?;
    let acceptor = tls.as_ref().map(LocalTls::acceptor).transpose()?;
    let proxy = Arc::new(Proxy::new(&config, acceptor, Arc::new(SystemClock))?);
    let listeners = Listener::open(config.listen.as_ref(), &config.guard)?;
    let keys = config.source.clone().map(|source| (config.identity.clone(), source));
    let bound = BoundProxy { listeners, proxy, tls, keys, drain_timeout: config.drain_timeout };
    log_start(&bound, &config);
    Ok(bound)
}

/// A proxy whose sockets are bound.
pub struct BoundProxy {
    listeners: Vec<Listener>,
    proxy: Arc<Proxy>,
    tls: Option<LocalTls>,
    /// Whose key may be changed, and where it is read.
    keys: Option<(Identity, IdentitySource)>,
    drain_timeout: Duration,
}

impl BoundProxy {
    /// The address of its first TCP socket, with the port that the system chose where it was asked to.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.listeners.iter().find_map(Listener::tcp_address)
    }

    /// Where it listens, as clients are told: `http://127.0.0.1:5000` or `unix:/run/kheeper/proxy.sock`.
    pub fn endpoints(&self) -> Vec<String> {
        self.listeners
            .iter()
            .map(|listener| match listener.tcp_address() {
                Some(address) => format!("http://{address}"),
                None => listener.describe(),
            })
            .collect()
    }

    /// The file with the authority that clients have to trust, where TLS is spoken. Every endpoint then takes `https`
    /// as well as `http`.
    pub fn authority_file(&self) -> Option<PathBuf> {
        self.tls.as_ref().map(LocalTls::authority_file)
    }

    /// Serves until told to stop, and then until requests in flight are done or the drain time is over.
    pub async fn run(self, stopped: Stopped) {
        let renewal = self.tls.map(|tls| tokio::spawn(tls.keep_renewed()));
        let keys = self
            .keys
            .map(|(identity, source)| tokio::spawn(key_change::watch(Arc::clone(&self.proxy), identity, source)));
        listen::serve(self.listeners, self.proxy, stopped.0, self.drain_timeout).await;
        for task in renewal.into_iter().chain(keys) {
            task.abort();
        }
    }
}

/// Tells a proxy to stop. Dropped, it tells it too.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

/// Learns that a [`Stop`] was given.
#[derive(Debug, Clone)]
pub struct Stopped(watch::Receiver<bool>);

impl Stop {
    /// A pair of ends.
    pub fn new() -> (Self, Stopped) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stopped(receiver))
    }

    /// Says stop.
    pub fn now(&self) {
        self.0.send_replace(true);
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Before anything is bound, so that no signal finds the default handler and cuts a request off.
    fn install() -> Result<Self, StartError> {
        let install = |kind| signal(kind).map_err(|source| StartError::System { what: "listen for signals", source });
        Ok(Self { terminate: install(SignalKind::terminate())?, interrupt: install(SignalKind::interrupt())? })
    }

    async fn wait(mut self, lifetime: Option<Duration>) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: finishing what is in flight"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: finishing what is in flight"),
            () = sleep_or_for_ever(lifetime) => tracing::info!("the time given with --for is over"),
        }
    }
}

async fn sleep_or_for_ever(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Who this is, and every way in which it is weaker than it could be.
fn log_start(bound: &BoundProxy, config: &ProxyConfig) {
    let mode = if matches!(config.access, Access::Read(_)) { ", read-only" } else { "" };
    tracing::info!("forwarding as {} to {}{mode}", config.identity.subject, config.identity.origin);
    if let Some(at) = config.at {
        tracing::info!("what is read is what there was at {at}");
    }
    if config.guard.allow_users.is_empty() {
        tracing::warn!("every local user can use this identity: --allow-user NAME admits only those named");
    }
    if config.guard.allow_unsigned {
        tracing::warn!(
            "unsigned requests are served (--allow-unsigned): a web page or a tricked program can use the identity"
        );
    }
    if config.guard.allow_remote {
        tracing::warn!("other machines may reach this proxy (--allow-remote) and use the identity");
    }
    if let Some(why) = bound.proxy.writes_refused() {
        tracing::warn!("writes are refused: {why}");
    }
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "failed to notify the service manager");
    }
}
