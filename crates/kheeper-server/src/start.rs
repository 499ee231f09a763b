//! From arguments to a serving process, and back: check everything, open, bind, announce, serve, drain, close.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use kheeper_identity::origin::Origin;
use kheeper_model::SystemClock;
use kheeper_store::{OpenError, Store, StoreError, StoreOptions};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::{App, AppParts};
use crate::cli::{LogFormat, ServeArgs};
use crate::config::{Config, Tls};
use crate::operator::{Performer, become_owner};
use crate::request::handle::Handler;
use crate::{listen, operator, tls};

/// Starting again will fail in the same way until somebody changes something.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct ConfigError(anyhow::Error);

/// Serves until SIGTERM or SIGINT, then lets requests in flight finish.
pub(crate) fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    start_log(args.log_format);
    let mut config = Config::from_args(args).map_err(ConfigError)?;
    config.bounds.fit_descriptors();
    become_owner(&config.data_dir).map_err(ConfigError)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("kheeper-server").build()?;
    runtime.block_on(run(config))?;
    Ok(ExitCode::SUCCESS)
}

fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    if config.scrub_bytes_per_sec.is_none() {
        tracing::warn!("--scrub-rate 0: damage at rest is found only when it is read, or by kheeper-server scrub");
    }
    let mut options = StoreOptions::new(config.data_dir.clone());
    options.defaults.quota_bytes = config.quota_default_bytes;
    options.scrub_bytes_per_sec = config.scrub_bytes_per_sec;
    options.bodies_at_once_max = config.bounds.places.requests as u64;
    let store = match Store::open(options).await {
        Ok(store) => store,
        Err(error @ (OpenError::Locked(_) | OpenError::NewerFormat { .. } | OpenError::NotOurs(_))) => {
            let context = format!("failed to open {}", config.data_dir.display());
            return Err(ConfigError(anyhow::Error::new(error).context(context)).into());
        }
        Err(error) => return Err(error).with_context(|| format!("failed to open {}", config.data_dir.display())),
    };
    if let Some(since) = store.quarantined_since().await? {
        tracing::warn!("nobody is let in: {}", StoreError::Quarantined(since));
    }
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("failed to listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let (acceptor, ca_pin) = match tls::acceptor(&config).map_err(ConfigError)? {
        Some((acceptor, pin)) => (Some(acceptor), pin),
        None => (None, None),
    };
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    let origins = origins(&config, scheme, address)?;

    let clock = Arc::new(SystemClock);
    let (drain, draining) = watch::channel(false);
    let app = App::new(AppParts {
        store: store.clone(),
        origins,
        ca_pin,
        prices: config.prices,
        clock: clock.clone(),
        behind: match config.tls {
            Tls::BehindProxy(networks) => networks,
            _ => Vec::new(),
        },
        bounds: config.bounds,
    })
    .await?;
    operator::listen(&config.data_dir, Arc::new(Performer::new(store.clone(), clock, app.origins.clone())))?;

    // The one line that scripts and people wait for.
    eprintln!("kheeper-server listening on {scheme}://{address}");
    let ready = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    if let Err(error) = ready {
        tracing::warn!(%error, "failed to tell systemd that the server is ready");
    }
    tokio::spawn(drain_on_signal(drain));
    listen::serve(listener, acceptor, Handler::new(&app), app.connections.clone(), draining, config.drain_timeout)
        .await;
    drop(app);
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// The origins that tokens may name: those that were given, or the loopback address that is listened on, by any of the
/// names it goes by.
fn origins(config: &Config, scheme: &str, address: SocketAddr) -> anyhow::Result<Vec<Origin>> {
    let mut origins = config.origins.clone();
    if address.ip().is_loopback() {
        for host in [address.ip().to_string(), "localhost".to_owned()] {
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            let origin: Origin = format!("{scheme}://{host}:{}", address.port()).parse()?;
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
    }
    Ok(origins)
}

async fn drain_on_signal(drain: watch::Sender<bool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("failed to listen for signals; the server can only be killed");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new requests, those in flight may finish");
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Stopping]) {
        tracing::debug!(%error, "failed to tell systemd that the server is stopping");
    }
    drain.send_replace(true);
}
