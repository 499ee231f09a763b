//! A server that does to its connections what a broken network or a killed server does.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::running::soon;

/// Accepts when it is told to.
pub(crate) struct Scripted {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Scripted {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        Self { listener, address }
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Connection {
        let (stream, _) = soon("a connection", self.listener.accept()).await.expect("accepted");
        Connection { stream, unread: Vec::new() }
    }
}

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Reads up to and with `end`, and gives it as text.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        loop {
            let found = self.unread.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let rest = self.unread.split_off(at + end.len());
                return String::from_utf8_lossy(&std::mem::replace(&mut self.unread, rest)).into_owned();
            }
            let mut buffer = [0; 16 * 1024];
            let read = soon("more of a request", self.stream.read(&mut buffer)).await.expect("readable");
            assert!(read > 0, "the connection ended before {end:?}: {:?}", String::from_utf8_lossy(&self.unread));
            self.unread.extend_from_slice(&buffer[..read]);
        }
    }

    /// Reads a request's head.
    pub(crate) async fn read_head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("written");
    }

    /// Waits until the other side has closed or reset, and gives what came before.
    pub(crate) async fn read_to_end(mut self) -> Vec<u8> {
        // A reset is an end too.
        let _ = soon("the end of a connection", self.stream.read_to_end(&mut self.unread)).await;
        self.unread
    }
}

/// The value of a header in a raw head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .unwrap_or_default()
}
