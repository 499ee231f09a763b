//! Sockets: bound here or passed by systemd, accepted from, and drained.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kheeper_model::limits::{HEADER_COUNT_READ_MAX, HEADER_SECTION_BYTES_READ_MAX};
use kheeper_net::{Linger, LingeringClose};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::check_local_caller::{Caller, Owner};
use crate::config::{DEFAULT_LISTEN, ListenAddress, LocalGuard, check_bind};
use crate::error::{StartError, chain};
use crate::forward::AnswerBody;
use crate::limits::{ACCEPT_PAUSE, CLIENT_BUFFER_BYTES_MAX, CONNECTIONS_MAX, HANDSHAKE_TIME_MAX};
use crate::limits::{HEAD_TIME_MAX, HEAD_TIME_MAX_REFUSED};
use crate::local_tls::begins_tls;
use crate::proxy::Proxy;
use crate::socket_owner;

/// A socket that accepts.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: Option<SocketFile> },
}

/// A unix socket's file that we made, and remove in the end.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

enum Connection {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    /// Binds `listen`, or takes the sockets that systemd passed, or binds [`DEFAULT_LISTEN`].
    pub(crate) fn open(listen: Option<&ListenAddress>, guard: &LocalGuard) -> Result<Vec<Self>, StartError> {
        let passed = match listen {
            Some(_) => Vec::new(),
            None => passed_sockets(guard)?,
        };
        if !passed.is_empty() {
            return Ok(passed);
        }
        let default = ListenAddress::Tcp(DEFAULT_LISTEN);
        let address = listen.unwrap_or(&default);
        let listener = match address {
            ListenAddress::Tcp(address) => bind_tcp(*address),
            ListenAddress::Unix(path) => bind_unix(path),
        };
        Ok(vec![listener.map_err(|source| StartError::Listen { address: address.to_string(), source })?])
    }

    /// Where it listens, as a person writes it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string()),
            Self::Unix { listener, .. } => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                format!("unix:{}", path.unwrap_or(Path::new("?")).display())
            }
        }
    }

    /// Its address, for TCP.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix { .. } => None,
        }
    }

    async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Connection::Tcp(stream, peer))
            }
            Self::Unix { listener, .. } => Ok(Connection::Unix(listener.accept().await?.0)),
        }
    }
}

/// Without SO_REUSEPORT, so that nobody else can share the port while we hold it.
fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(Listener::Tcp(socket.listen(1024)?))
}

/// Open to every local user: `--allow-user` decides by the peer's credentials, and the directory's mode can be narrower.
fn bind_unix(path: &Path) -> io::Result<Listener> {
    // A socket that nobody listens on is left over from a killed proxy; one that answers is somebody's.
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(error) => return Err(error),
        }
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(Listener::Unix { listener, _file: Some(SocketFile(path.to_owned())) })
}

fn passed_sockets(guard: &LocalGuard) -> Result<Vec<Listener>, StartError> {
    let mut passed = listenfd::ListenFd::from_env();
    let count = passed.len();
    (0..count).map(|index| take_passed(&mut passed, index, guard)).collect()
}

fn take_passed(passed: &mut listenfd::ListenFd, index: usize, guard: &LocalGuard) -> Result<Listener, StartError> {
    if let Ok(Some(listener)) = passed.take_unix_listener(index) {
        listener.set_nonblocking(true).map_err(StartError::Activation)?;
        let listener = UnixListener::from_std(listener).map_err(StartError::Activation)?;
        return Ok(Listener::Unix { listener, _file: None });
    }
    let listener = passed.take_tcp_listener(index).map_err(StartError::Activation)?;
    let listener = listener.ok_or_else(|| StartError::Activation(io::ErrorKind::InvalidInput.into()))?;
    listener.set_nonblocking(true).map_err(StartError::Activation)?;
    check_bind(listener.local_addr().map_err(StartError::Activation)?, guard)?;
    Ok(Listener::Tcp(TcpListener::from_std(listener).map_err(StartError::Activation)?))
}

/// Serves connections of all listeners until `drain` says stop; returns when the last one has ended or `drain_timeout`
/// has passed. The listeners are closed first, so that a new connection fails at once and does not wait for nothing.
pub(crate) async fn serve(
    listeners: Vec<Listener>,
    proxy: Arc<Proxy>,
    mut drain: watch::Receiver<bool>,
    drain_timeout: Duration,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    let acceptors = TaskTracker::new();
    for listener in listeners {
        acceptors.spawn(accept_loop(
            listener,
            Arc::clone(&proxy),
            drain.clone(),
            Arc::clone(&slots),
            connections.clone(),
        ));
    }
    acceptors.close();
    stopped(&mut drain).await;
    acceptors.wait().await;
    connections.close();
    if tokio::time::timeout(drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "requests were still in flight when the drain time was over");
    }
}

/// Waits until told to stop, or until nobody is left to tell.
async fn stopped(drain: &mut watch::Receiver<bool>) {
    let _ = drain.wait_for(|stop| *stop).await;
}

async fn accept_loop(
    listener: Listener,
    proxy: Arc<Proxy>,
    mut drain: watch::Receiver<bool>,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
) {
    loop {
        let slot = Arc::clone(&slots).acquire_owned();
        let accepted = tokio::select! {
            () = stopped(&mut drain) => return,
            accepted = async { (slot.await, listener.accept().await) } => accepted,
        };
        let (slot, connection) = match accepted {
            (Ok(slot), Ok(connection)) => (slot, connection),
            (_, Err(error)) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
            (Err(_), _) => return,
        };
        let (proxy, drain) = (Arc::clone(&proxy), drain.clone());
        connections.spawn(async move {
            let _present = proxy.metrics.connections.enter();
            serve_connection(connection, proxy, drain).await;
            drop(slot);
        });
    }
}

async fn serve_connection(connection: Connection, proxy: Arc<Proxy>, mut drain: watch::Receiver<bool>) {
    let caller = match &connection {
        Connection::Tcp(stream, peer) => {
            let Ok(local) = stream.local_addr() else { return };
            Caller { port: Some(local.port()), owner: judge_tcp_owner(&proxy, *peer, local).await }
        }
        Connection::Unix(stream) => {
            let uid = stream.peer_cred().ok().map(|peer| peer.uid());
            Caller { port: None, owner: proxy.guard.judge_owner(uid) }
        }
    };
    let Some(acceptor) = proxy.tls.clone() else {
        return connection.serve(None, caller, proxy, drain).await;
    };
    let first = tokio::select! {
        () = stopped(&mut drain) => return,
        first = tokio::time::timeout(head_time_max(caller.owner), connection.begins_tls()) => first,
    };
    match first {
        Ok(Ok(true)) => connection.serve(Some(acceptor), caller, proxy, drain).await,
        Ok(Ok(false)) => connection.serve(None, caller, proxy, drain).await,
        Ok(Err(error)) => tracing::debug!(%error, "a client's connection ended before it said anything"),
        Err(_) => tracing::debug!("a client said nothing"),
    }
}

impl Connection {
    /// Waits for the first byte, which stays unread, and says whether it begins TLS.
    async fn begins_tls(&self) -> io::Result<bool> {
        loop {
            let looked = match self {
                Self::Tcp(stream, _) => {
                    stream.readable().await?;
                    stream.try_io(Interest::READABLE, || begins_tls(stream.as_fd()))
                }
                Self::Unix(stream) => {
                    stream.readable().await?;
                    stream.try_io(Interest::READABLE, || begins_tls(stream.as_fd()))
                }
            };
            match looked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                looked => return looked,
            }
        }
    }

    async fn serve(self, tls: Option<TlsAcceptor>, caller: Caller, proxy: Arc<Proxy>, drain: watch::Receiver<bool>) {
        match (self, tls) {
            (Self::Tcp(stream, _), None) => serve_http(stream, caller, proxy, drain).await,
            (Self::Unix(stream), None) => serve_http(stream, caller, proxy, drain).await,
            (Self::Tcp(stream, _), Some(tls)) => serve_tls(stream, tls, caller, proxy, drain).await,
            (Self::Unix(stream), Some(tls)) => serve_tls(stream, tls, caller, proxy, drain).await,
        }
    }
}

async fn serve_tls<I>(io: I, tls: TlsAcceptor, caller: Caller, proxy: Arc<Proxy>, mut drain: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = tokio::select! {
        () = stopped(&mut drain) => return,
        shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(io)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => serve_http(stream, caller, proxy, drain).await,
        // The one thing that a person who sets a client up will look for in the log.
        Ok(Err(error)) => {
            tracing::warn!(%error, "a client's TLS handshake failed: does it trust this proxy's authority?")
        }
        Err(_) => tracing::debug!("a client's TLS handshake took too long"),
    }
}

fn head_time_max(owner: Owner) -> Duration {
    if owner == Owner::Admitted { HEAD_TIME_MAX } else { HEAD_TIME_MAX_REFUSED }
}

async fn judge_tcp_owner(proxy: &Proxy, peer: SocketAddr, local: SocketAddr) -> Owner {
    if !proxy.guard.asks_for_owner() {
        return Owner::Admitted;
    }
    let asked = tokio::task::spawn_blocking(move || socket_owner::owner_of_peer(peer, local)).await;
    let uid = match asked {
        Ok(Ok(uid)) => uid,
        Ok(Err(error)) => {
            tracing::warn!(%error, "failed to learn whose connection it is");
            None
        }
        Err(_) => None,
    };
    proxy.guard.judge_owner(uid)
}

async fn serve_http<I>(io: I, caller: Caller, proxy: Arc<Proxy>, mut drain: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let admitted = caller.owner == Owner::Admitted;
    let linger = Linger::default();
    let io = LingeringClose::new(io, linger.clone());
    let answer = service_fn(move |request: Request<Incoming>| {
        let (proxy, linger) = (Arc::clone(&proxy), linger.clone());
        async move {
            let answer = proxy.answer(request, caller).await;
            // `Connection: close` says that something of the request was not read.
            linger.set(answer.headers().contains_key(CONNECTION));
            Ok::<Response<AnswerBody>, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time_max(caller.owner))
        .keep_alive(admitted)
        .max_headers(HEADER_COUNT_READ_MAX)
        .max_header_size(HEADER_SECTION_BYTES_READ_MAX)
        .max_buf_size(CLIENT_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(io), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut drain) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = chain(&error), "a client's connection ended");
    }
}
