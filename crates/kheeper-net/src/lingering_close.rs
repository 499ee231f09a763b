//! A socket that, when it is closed, first reads what the peer is still sending.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use kheeper_model::limits::{DISCARD_BYTES_MAX, DISCARD_SECS_MAX};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Closing a socket with unread bytes makes the kernel send a reset, and a reset destroys the answer that the peer has
/// not read yet: a refused upload would look like a broken network and be tried ten times. So the write side is shut
/// first, and up to [`DISCARD_BYTES_MAX`] bytes or [`DISCARD_SECS_MAX`] seconds are thrown away.
#[derive(Debug)]
pub struct LingeringClose<S> {
    stream: S,
    linger: Linger,
    closing: Option<Closing>,
}

/// Whether the peer may still be sending when its connection is closed. At first it may: a head that cannot be parsed is
/// refused before anybody knows what follows it.
#[derive(Debug, Clone)]
pub struct Linger(Arc<AtomicBool>);

impl Default for Linger {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Linger {
    /// Says whether something of the last request was left unread.
    pub fn set(&self, unread: bool) {
        self.0.store(unread, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Closing {
    deadline: Pin<Box<Sleep>>,
    left: u64,
}

impl<S> LingeringClose<S> {
    /// Wraps `stream`; `linger` says, when it is closed, whether there is anything to wait for.
    pub fn new(stream: S, linger: Linger) -> Self {
        Self { stream, linger, closing: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringClose<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringClose<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.linger.0.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            let deadline = Box::pin(tokio::time::sleep(Duration::from_secs(DISCARD_SECS_MAX)));
            this.closing = Some(Closing { deadline, left: DISCARD_BYTES_MAX });
        }
        let Some(closing) = this.closing.as_mut() else { return Poll::Ready(Ok(())) };
        let mut scratch = [0_u8; 16 * 1024];
        while closing.left > 0 && closing.deadline.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf)) {
                // The peer's end, or an error: either way nothing more is to come.
                Ok(()) if buf.filled().is_empty() => break,
                Err(_) => break,
                Ok(()) => closing.left = closing.left.saturating_sub(buf.filled().len() as u64),
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn an_answer_survives_a_body_that_nobody_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut stream = LingeringClose::new(stream, Linger::default());
            stream.write_all(b"refused").await.expect("written");
            stream.shutdown().await.expect("shut");
        });
        let mut client = TcpStream::connect(address).await.expect("connected");
        // More than the kernel's buffers hold, so that bytes are certainly unread when the server closes.
        client.write_all(&vec![7; DISCARD_BYTES_MAX as usize - 1]).await.expect("the peer goes on reading");
        client.shutdown().await.expect("shut");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("no reset");
        assert_eq!(answer, "refused");
        server.await.expect("no panic");
    }
}
