//! Accepts connections and hands each one to hyper, with a limit on everything a silent peer could hold.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kheeper_model::limits;
use kheeper_net::{Linger, LingeringClose, WriteDeadline};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::connections::{Connection, Connections};
use crate::request::respond::ResponseBody;

/// From the end of the last request to a complete head of the next. The first one has [`Connection::must_end`].
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// How long a peer may read nothing of its answer.
const WRITE_STALL_DEADLINE: Duration = Duration::from_secs(75);
/// From accept to the end of the TLS handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// After an accept failed for want of descriptors: a loop that spins would starve those who could free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one request from `peer`. Never fails: an error is an answer too.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<ResponseBody>> + Send;
}

/// Serves connections until `drain` says stop; returns when the last one has ended or `drain_timeout` has passed.
pub(crate) async fn serve<S: Service>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Arc<S>,
    connections: Connections,
    mut drain: watch::Receiver<bool>,
    drain_timeout: Duration,
) {
    // Strangers make room for one another; what this waits for is the descriptors of those that are being closed.
    let slots = Arc::new(Semaphore::new(connections.bounds().all()));
    let tasks = tokio_util::task::TaskTracker::new();
    loop {
        let (slot, accepted) = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = stop(&mut drain) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small and must not wait for the peer's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY");
        }
        let (service, tls, drain) = (Arc::clone(&service), tls.clone(), drain.clone());
        let open = connections.open(peer);
        tasks.spawn(async move {
            tokio::select! {
                () = connection(stream, peer, tls, service, &open, drain) => {}
                () = open.must_end() => tracing::debug!(%peer, "a connection was cut: nobody knows whose it is"),
            }
            drop(slot);
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(drain_timeout, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "requests were still in flight when the drain time was over");
    }
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (OwnedSemaphorePermit, std::io::Result<(TcpStream, SocketAddr)>) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    (slot, listener.accept().await)
}

/// Returns when it is time to stop, or when nobody is left to say so.
async fn stop(drain: &mut watch::Receiver<bool>) {
    if drain.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("nobody is left to drain the server");
    }
}

async fn connection<S: Service>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    service: Arc<S>,
    open: &Arc<Connection>,
    drain: watch::Receiver<bool>,
) {
    let linger = Linger::default();
    let stream = WriteDeadline::new(LingeringClose::new(stream, linger.clone()), WRITE_STALL_DEADLINE);
    match tls {
        None => http(stream, linger, peer, service, open, drain).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, linger, peer, service, open, drain).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        },
    }
}

/// Serves one connection, TLS already taken off, until it ends.
pub(crate) async fn http<S: Service, I>(
    io: I,
    linger: Linger,
    peer: SocketAddr,
    service: Arc<S>,
    open: &Arc<Connection>,
    mut drain: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let open = Arc::clone(open);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let (service, linger) = (Arc::clone(&service), linger.clone());
        open.asked();
        request.extensions_mut().insert(Arc::clone(&open));
        async move {
            let answer = service.answer(request, peer).await;
            // `Connection: close` says that something of the request was not read.
            linger.set(answer.headers().contains_key(CONNECTION));
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_headers(limits::HEADER_COUNT_READ_MAX)
        .max_header_size(limits::HEADER_SECTION_BYTES_READ_MAX)
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(io), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop(&mut drain) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// Bytes that hyper gathers of one connection before it waits for the reader: one disk hop's worth halved, and more
/// than the longest head that is allowed.
const READ_BUFFER_BYTES_MAX: usize = 512 * 1024;
