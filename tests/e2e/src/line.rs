//! A line between two programs that a test can silence, cut, refuse and mend.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// What becomes of bytes on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are carried.
    Open,
    /// They are kept back: nothing breaks, and nothing arrives. What was kept arrives when the line is open again.
    Silent,
    /// Whoever connects is reset at once.
    Refusing,
}

/// A relay from a port of its own to wherever it is told to lead.
#[derive(Debug, Clone)]
pub struct Line {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    to: Mutex<Option<SocketAddr>>,
    mode: Mutex<Mode>,
    changed: Condvar,
    connections: Mutex<Vec<Arc<Connection>>>,
    /// Bytes until everything is cut; huge where nothing will be.
    bytes_left: AtomicI64,
    /// What was carried towards the server since somebody wants to know.
    recorded: Mutex<Option<Vec<u8>>>,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    is_cut: AtomicBool,
}

const UNLIMITED: i64 = i64::MAX / 2;

impl Line {
    /// An open line that does not lead anywhere yet.
    pub fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let state = State {
            to: Mutex::new(None),
            mode: Mutex::new(Mode::Open),
            changed: Condvar::new(),
            connections: Mutex::default(),
            bytes_left: AtomicI64::new(UNLIMITED),
            recorded: Mutex::default(),
        };
        let line = Self { address: listener.local_addr().expect("bound"), state: Arc::new(state) };
        let state = Arc::clone(&line.state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                state.take(client);
            }
        });
        line
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The origin that a client on this end sees.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where connections lead from now on.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.state.to.lock().expect("no holder panics") = Some(server);
    }

    /// What happens to bytes from now on.
    pub fn set(&self, mode: Mode) {
        *self.state.mode.lock().expect("no holder panics") = mode;
        self.state.changed.notify_all();
    }

    /// Resets every connection there is.
    pub fn cut(&self) {
        self.state.cut();
    }

    /// From now on keeps what goes towards the server, until [`Self::recorded`].
    pub fn record(&self) {
        *self.state.recorded.lock().expect("no holder panics") = Some(Vec::new());
    }

    /// What went towards the server since [`Self::record`].
    pub fn recorded(&self) -> Vec<u8> {
        self.state.recorded.lock().expect("no holder panics").take().unwrap_or_default()
    }

    /// Resets every connection there is once so many more bytes were carried.
    pub fn cut_after(&self, bytes: u32) {
        self.state.bytes_left.store(i64::from(bytes), Ordering::SeqCst);
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn take(self: &Arc<Self>, client: TcpStream) {
        let to = *self.to.lock().expect("no holder panics");
        let refusing = *self.mode.lock().expect("no holder panics") == Mode::Refusing;
        let server = to.filter(|_| !refusing).and_then(|to| TcpStream::connect(to).ok());
        let Some(server) = server else { return reset(&client) };
        let connection = Arc::new(Connection { client, server, is_cut: AtomicBool::new(false) });
        let mut connections = self.connections.lock().expect("no holder panics");
        // Those that only this list still knows have ended.
        connections.retain(|connection| Arc::strong_count(connection) > 1);
        connections.push(Arc::clone(&connection));
        drop(connections);
        for upwards in [true, false] {
            let (state, connection) = (Arc::clone(self), Arc::clone(&connection));
            thread::spawn(move || state.carry(&connection, upwards));
        }
    }

    fn carry(&self, connection: &Connection, upwards: bool) {
        let (mut from, mut to) = match upwards {
            true => (&connection.client, &connection.server),
            false => (&connection.server, &connection.client),
        };
        let mut piece = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            if upwards && let Some(recorded) = &mut *self.recorded.lock().expect("no holder panics") {
                recorded.extend_from_slice(&piece[..count]);
            }
            self.wait_while_silent();
            if connection.is_cut.load(Ordering::SeqCst) || to.write_all(&piece[..count]).is_err() {
                break;
            }
            let left = self.bytes_left.fetch_sub(count as i64, Ordering::SeqCst) - count as i64;
            if left <= 0 {
                self.bytes_left.store(UNLIMITED, Ordering::SeqCst);
                self.cut();
            }
        }
        if !connection.is_cut.load(Ordering::SeqCst) {
            self.wait_while_silent();
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    fn wait_while_silent(&self) {
        let mode = self.mode.lock().expect("no holder panics");
        let _open = self.changed.wait_while(mode, |mode| *mode == Mode::Silent).expect("no holder panics");
    }

    fn cut(&self) {
        for connection in self.connections.lock().expect("no holder panics").drain(..) {
            connection.is_cut.store(true, Ordering::SeqCst);
            reset(&connection.client);
            reset(&connection.server);
        }
    }
}

/// What is closed without lingering is reset; the end of reading wakes up whoever reads, and tells the peer nothing.
fn reset(stream: &TcpStream) {
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Read);
}
