//! Accepts connections and hands each one to hyper, with a limit on everything a silent peer could hold.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kheeper_model::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;

use crate::request::respond::ResponseBody;
use crate::write_deadline::WriteDeadline;

/// Connections open at once; the next one waits in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// From accept (or the end of the last request) to a complete request head.
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
    mut drain: watch::Receiver<bool>,
    drain_timeout: Duration,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = tokio_util::task::TaskTracker::new();
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
        connections.spawn(async move {
            connection(stream, peer, tls, service, drain).await;
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "requests were still in flight when the drain time was over");
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
    drain: watch::Receiver<bool>,
) {
    let stream = WriteDeadline::new(LingeringClose::new(stream), WRITE_STALL_DEADLINE);
    match tls {
        None => http(stream, peer, service, drain).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, peer, service, drain).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        },
    }
}

async fn http<S: Service, I>(io: I, peer: SocketAddr, service: Arc<S>, mut drain: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, std::convert::Infallible>(service.answer(request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_headers(limits::HEADER_COUNT_MAX)
        .max_header_size(limits::HEADER_SECTION_BYTES_MAX)
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

/// A socket that, when it is closed, first reads what the peer is still sending.
///
/// Closing a socket with unread bytes makes the kernel send a reset, and a reset destroys the answer that the peer has
/// not read yet: a refused upload would look like a broken network and be tried ten times. So the write side is shut
/// first, and up to [`limits::DISCARD_BYTES_MAX`] bytes or [`limits::DISCARD_SECS_MAX`] seconds are thrown away.
struct LingeringClose {
    stream: TcpStream,
    closing: Option<Closing>,
}

struct Closing {
    deadline: Pin<Box<Sleep>>,
    left: u64,
}

impl LingeringClose {
    fn new(stream: TcpStream) -> Self {
        Self { stream, closing: None }
    }
}

impl AsyncRead for LingeringClose {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for LingeringClose {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            let deadline = Instant::now() + Duration::from_secs(limits::DISCARD_SECS_MAX);
            this.closing = Some(Closing {
                deadline: Box::pin(tokio::time::sleep_until(deadline)),
                left: limits::DISCARD_BYTES_MAX,
            });
        }
        let Some(closing) = this.closing.as_mut() else { return Poll::Ready(Ok(())) };
        let mut scratch = [0_u8; 16 * 1024];
        loop {
            if closing.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf)) {
                // The peer's end, or an error: either way nothing more is to come.
                Ok(()) if buf.filled().is_empty() => return Poll::Ready(Ok(())),
                Err(_) => return Poll::Ready(Ok(())),
                Ok(()) => closing.left = closing.left.saturating_sub(buf.filled().len() as u64),
            }
            if closing.left == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
