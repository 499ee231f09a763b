//! One new connection to the origin, within one deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use kheeper_identity::{Origin, ServerTrust};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::body::RequestBody;
use crate::error::{StartError, chain};
use crate::limits::{CONNECT_TIME_MAX, NEXT_ADDRESS_DELAY, UPSTREAM_BUFFER_BYTES_MAX};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The name does not resolve.
    #[error("its name does not resolve")]
    Resolve(#[source] io::Error),
    /// No address answered, and this is what the last one said.
    #[error("no connection to {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The certificate is not believed, or TLS failed otherwise.
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    /// All of it took too long.
    #[error("no connection within {} ms", CONNECT_TIME_MAX.as_millis())]
    Timeout,
    /// HTTP could not start.
    #[error("HTTP could not start")]
    Http(#[source] hyper::Error),
}

/// Makes connections to one origin.
pub(crate) struct Connector {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// Loads the certificates to believe, where the origin has TLS.
    pub(crate) fn new(origin: &Origin, trust: &ServerTrust) -> Result<Self, StartError> {
        let host = origin.connect_host().to_owned();
        let tls = if origin.is_https() {
            let mut config = trust.client_config()?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let name = ServerName::try_from(host.clone())
                .map_err(|_| StartError::Config(format!("no certificate can name the origin's host {host}")))?;
            Some((TlsConnector::from(Arc::new(config)), name))
        } else {
            None
        };
        Ok(Self { host, port: origin.port(), tls })
    }

    /// Resolves, connects, shakes hands. Nothing but TLS crosses the wire before the certificate is believed.
    pub(crate) async fn connect(&self) -> Result<SendRequest<RequestBody>, ConnectError> {
        tokio::time::timeout(CONNECT_TIME_MAX, self.connect_now()).await.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn connect_now(&self) -> Result<SendRequest<RequestBody>, ConnectError> {
        let stream = self.open().await?;
        match &self.tls {
            None => start_http(stream).await,
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await.map_err(ConnectError::Tls)?;
                start_http(stream).await
            }
        }
    }

    /// Tries the addresses of the name one after the other, each a little after the one before, and takes the first
    /// that answers: one address that swallows packets must not use up the deadline of all.
    async fn open(&self) -> Result<TcpStream, ConnectError> {
        let resolved = tokio::net::lookup_host((self.host.as_str(), self.port)).await.map_err(ConnectError::Resolve)?;
        let mut addresses = resolved.collect::<Vec<_>>().into_iter();
        let mut pending = FuturesUnordered::new();
        let mut last = ConnectError::Resolve(io::ErrorKind::NotFound.into());
        loop {
            if let Some(address) = addresses.next() {
                pending.push(async move { (address, TcpStream::connect(address).await) });
            } else if pending.is_empty() {
                return Err(last);
            }
            let delay = if addresses.len() == 0 { Duration::MAX } else { NEXT_ADDRESS_DELAY };
            match tokio::time::timeout(delay, pending.next()).await {
                Ok(Some((_, Ok(stream)))) => {
                    tune(&stream);
                    return Ok(stream);
                }
                Ok(Some((address, Err(source)))) => last = ConnectError::Connect { address, source },
                Ok(None) | Err(_) => {}
            }
        }
    }
}

/// Small answers must not wait for delayed acknowledgements, and a server that vanished must be noticed.
fn tune(stream: &TcpStream) {
    use rustix::net::sockopt;
    let tuned = stream.set_nodelay(true).and_then(|()| {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, Duration::from_secs(15))?;
        sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5))?;
        sockopt::set_tcp_keepcnt(stream, 3)?;
        Ok(())
    });
    if let Err(error) = tuned {
        tracing::debug!(%error, "failed to tune a socket");
    }
}

async fn start_http<I>(io: I) -> Result<SendRequest<RequestBody>, ConnectError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(UPSTREAM_BUFFER_BYTES_MAX)
        .max_headers(kheeper_model::limits::HEADER_COUNT_MAX)
        .handshake(TokioIo::new(io))
        .await
        .map_err(ConnectError::Http)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = chain(&error), "a connection to the server ended");
        }
    });
    Ok(sender)
}
