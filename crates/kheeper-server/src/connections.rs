//! Connections: so many for each caller, and so many of strangers, who have not shown yet that they may be here.
//!
//! A stranger is never waited for. When one too many comes, the one that has been silent for longest goes: of the address
//! that has most of them, so that a crowd from one place pushes out itself.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kheeper_store::CallerId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// From accept to a complete request head, the TLS handshake included.
const FIRST_HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// A caller with so many connections is one of the busy ones.
const BUSY_CONNECTIONS: usize = 64;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionBounds {
    /// Of strangers.
    pub(crate) strangers: usize,
    /// Of callers. The last quarter is for those that are not busy.
    pub(crate) callers: usize,
    /// Of one caller.
    pub(crate) per_caller: usize,
}

impl ConnectionBounds {
    /// A quarter of all for strangers.
    pub(crate) fn new(all: usize, per_caller: usize) -> Self {
        let strangers = (all / 4).max(1);
        Self { strangers, callers: all.saturating_sub(strangers).max(1), per_caller }
    }

    /// All of them.
    pub(crate) fn all(self) -> usize {
        self.strangers + self.callers
    }
}

/// Who is connected.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Inner>);

struct Inner {
    bounds: ConnectionBounds,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts up, so that a smaller number is an older connection.
    last: u64,
    strangers: usize,
    by_address: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
    callers: usize,
    by_caller: HashMap<CallerId, usize>,
}

/// One connection, for as long as it is open.
pub(crate) struct Connection {
    connections: Connections,
    number: u64,
    address: IpAddr,
    accepted: Instant,
    /// Whether a request's head has been complete.
    has_asked: AtomicBool,
    /// None is a stranger.
    caller: Mutex<Option<CallerId>>,
    cut: CancellationToken,
}

impl Connections {
    pub(crate) fn new(bounds: ConnectionBounds) -> Self {
        Self(Arc::new(Inner { bounds, state: Mutex::default() }))
    }

    pub(crate) fn bounds(&self) -> ConnectionBounds {
        self.0.bounds
    }

    /// Takes in a stranger, in the place of another one if need be.
    pub(crate) fn open(&self, peer: SocketAddr) -> Arc<Connection> {
        let (address, cut) = (peer.ip().to_canonical(), CancellationToken::new());
        let mut state = self.lock();
        if state.strangers >= self.0.bounds.strangers {
            state.cut_oldest();
        }
        state.last += 1;
        let number = state.last;
        state.strangers += 1;
        state.by_address.entry(address).or_default().insert(number, cut.clone());
        drop(state);
        Arc::new(Connection {
            connections: self.clone(),
            number,
            address,
            accepted: Instant::now(),
            has_asked: AtomicBool::new(false),
            caller: Mutex::new(None),
            cut,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// A request's head is complete.
    pub(crate) fn asked(&self) {
        self.has_asked.store(true, Ordering::Relaxed);
    }

    /// The connection is this caller's from now on. False if they have as many as they may.
    pub(crate) fn belongs_to(&self, caller: &CallerId) -> bool {
        let mut current = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref() == Some(caller) {
            return true;
        }
        let bounds = self.connections.0.bounds;
        let mut state = self.connections.lock();
        let has = state.by_caller.get(caller).copied().unwrap_or(0);
        let open = if has < BUSY_CONNECTIONS { bounds.callers } else { bounds.callers - bounds.callers / 4 };
        if has >= bounds.per_caller || state.callers >= open {
            return false;
        }
        state.leave(self.number, self.address, current.as_ref());
        state.callers += 1;
        *state.by_caller.entry(caller.clone()).or_default() += 1;
        *current = Some(caller.clone());
        true
    }

    /// Returns when the connection must end: it asked for nothing in time, or made room for another stranger.
    pub(crate) async fn must_end(&self) {
        tokio::select! {
            () = self.cut.cancelled() => metrics::counter!("kheeper_refused_total", "reason" => "strangers").increment(1),
            () = self.silent_for_too_long() => {}
        }
    }

    async fn silent_for_too_long(&self) {
        tokio::time::sleep_until(self.accepted + FIRST_HEAD_DEADLINE).await;
        if self.has_asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        metrics::counter!("kheeper_refused_total", "reason" => "silence").increment(1);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let caller = self.caller.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.connections.lock().leave(self.number, self.address, caller.as_ref());
    }
}

impl State {
    /// Forgets a connection; one that was cut is forgotten already.
    fn leave(&mut self, number: u64, address: IpAddr, caller: Option<&CallerId>) {
        if let Some(caller) = caller {
            self.callers -= 1;
            if let Some(count) = self.by_caller.get_mut(caller) {
                *count -= 1;
                if *count == 0 {
                    self.by_caller.remove(caller);
                }
            }
        } else if let Some(strangers) = self.by_address.get_mut(&address)
            && strangers.remove(&number).is_some()
        {
            self.strangers -= 1;
            if strangers.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }

    fn cut_oldest(&mut self) {
        let crowd = self.by_address.iter().max_by_key(|(_, strangers)| strangers.len()).map(|(address, _)| *address);
        let Some(address) = crowd else { return };
        let Some((number, cut)) = self
            .by_address
            .get(&address)
            .and_then(|strangers| strangers.first_key_value())
            .map(|(n, c)| (*n, c.clone()))
        else {
            return;
        };
        cut.cancel();
        self.leave(number, address, None);
    }
}

#[cfg(test)]
mod tests {
    use kheeper_model::HostId;

    use super::*;

    fn connections(all: usize, per_caller: usize) -> Connections {
        Connections::new(ConnectionBounds::new(all, per_caller))
    }

    fn peer(number: u8) -> SocketAddr {
        ([192, 0, 2, number], 1000).into()
    }

    fn caller(number: u8) -> CallerId {
        CallerId::Host(format!("hst_{number:032x}").parse::<HostId>().unwrap())
    }

    #[test]
    fn a_crowd_of_strangers_pushes_out_itself_and_nobody_else() {
        let connections = connections(16, 16);
        let known = connections.open(peer(1));
        assert!(known.belongs_to(&caller(1)));
        let quiet = connections.open(peer(2));
        let crowd: Vec<_> = (0..100).map(|_| connections.open(peer(1))).collect();
        let cut = crowd.iter().filter(|connection| connection.cut.is_cancelled()).count();
        assert_eq!(cut, 97, "four may stay, and one of them is from elsewhere");
        assert!(!quiet.cut.is_cancelled() && !known.cut.is_cancelled());
        assert!(crowd[99].belongs_to(&caller(2)), "the youngest may still say who it is");
        drop((known, quiet, crowd));
        let state = connections.lock();
        assert!(state.by_address.is_empty() && state.by_caller.is_empty() && state.strangers + state.callers == 0);
    }

    #[test]
    fn a_caller_has_so_many_connections_and_gets_another_when_one_ends() {
        let connections = connections(16, 2);
        let first = connections.open(peer(1));
        let second = connections.open(peer(1));
        let third = connections.open(peer(1));
        assert!(first.belongs_to(&caller(1)) && first.belongs_to(&caller(1)));
        assert!(second.belongs_to(&caller(1)));
        assert!(!third.belongs_to(&caller(1)));
        assert!(third.belongs_to(&caller(2)), "others are not concerned");
        drop(first);
        assert!(third.belongs_to(&caller(1)), "a connection may change hands");
        assert_eq!(connections.lock().by_caller.get(&caller(2)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_for_nothing_ends_after_thirty_seconds() {
        let connections = connections(16, 2);
        let (silent, asking) = (connections.open(peer(1)), connections.open(peer(1)));
        asking.asked();
        let began = Instant::now();
        silent.must_end().await;
        assert_eq!(began.elapsed(), FIRST_HEAD_DEADLINE);
        let later = tokio::time::timeout(Duration::from_secs(3600), asking.must_end()).await;
        assert!(later.is_err(), "one that asked is not concerned");
    }
}
