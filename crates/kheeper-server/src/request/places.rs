//! Places for requests: so many in all, so many for each caller, and whoever waits for one is served in turns.
//!
//! A caller that floods the server fills its own places, waits for a while in its own line, and is then told to slow
//! down. The others go past that line.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kheeper_store::CallerId;
use tokio::sync::oneshot;

/// A caller with so many requests under way is one of the busy ones.
const BUSY_REQUESTS: usize = 32;

/// How many places there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlaceBounds {
    /// Requests under way in all. The last quarter is for callers that are not busy.
    pub(crate) requests: usize,
    /// Requests of one caller under way.
    pub(crate) requests_per_caller: usize,
    /// Listings of one caller under way: each may keep a reader of the index busy.
    pub(crate) lists_per_caller: usize,
    /// Bytes that the bodies of one caller under way declare; a single body is always let in.
    pub(crate) body_bytes_per_caller: u64,
    /// Requests of one caller that may wait.
    pub(crate) waiting_per_caller: usize,
    /// For how long.
    pub(crate) wait: Duration,
}

/// What a request takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Whether it looks through the index.
    pub(crate) is_list: bool,
    /// Bytes that its body declares.
    pub(crate) body_bytes: u64,
}

/// What there was no place in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// The server has as many requests as it takes.
    Server,
    /// The caller has.
    Requests,
    /// The caller has as many listings.
    Lists,
    /// The caller's bodies are as large together.
    BodyBytes,
}

impl Excess {
    /// As metrics and the log name it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Server => "server-requests",
            Self::Requests => "requests",
            Self::Lists => "lists",
            Self::BodyBytes => "body-bytes",
        }
    }
}

/// All places.
#[derive(Clone)]
pub(crate) struct Places(Arc<Inner>);

struct Inner {
    bounds: PlaceBounds,
    state: Mutex<State>,
}

/// One line of those who wait: a caller's listings do not hold up its other requests.
type Line = (CallerId, bool);

#[derive(Default)]
struct State {
    requests: usize,
    held: HashMap<CallerId, Held>,
    lines: HashMap<Line, VecDeque<Waiter>>,
    /// Whose turn is next. Holds each line, once.
    turns: VecDeque<Line>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    requests: usize,
    lists: usize,
    body_bytes: u64,
}

struct Waiter {
    demand: Demand,
    place: oneshot::Sender<Place>,
}

/// A place; free again when it is dropped.
pub(crate) struct Place {
    places: Places,
    caller: CallerId,
    demand: Demand,
    waited: bool,
}

impl Place {
    /// Whether it was not free at once: what was known of the caller is then of an earlier moment.
    pub(crate) fn was_waited_for(&self) -> bool {
        self.waited
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let given = {
            let mut state = self.places.lock();
            state.give_back(&self.caller, self.demand);
            state.serve(&self.places)
        };
        // Outside the lock: places that nobody waits for any more free themselves in the same way.
        drop(given);
    }
}

impl Places {
    pub(crate) fn new(bounds: PlaceBounds) -> Self {
        Self(Arc::new(Inner { bounds, state: Mutex::default() }))
    }

    /// A place for a request of `caller`, after a wait if need be.
    pub(crate) async fn take(&self, caller: &CallerId, demand: Demand) -> Result<Place, Excess> {
        let turn = {
            let mut state = self.lock();
            let line = (caller.clone(), demand.is_list);
            let fits = state.fits(&self.0.bounds, caller, demand);
            if fits.is_ok() && !state.lines.contains_key(&line) {
                state.hold(caller, demand);
                return Ok(Place { places: self.clone(), caller: caller.clone(), demand, waited: false });
            }
            state.wait_in(line, demand, &self.0.bounds)?
        };
        match tokio::time::timeout(self.0.bounds.wait, turn).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => {
                Err(self.lock().fits(&self.0.bounds, caller, demand).err().unwrap_or(Excess::Server))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fits(&self, bounds: &PlaceBounds, caller: &CallerId, demand: Demand) -> Result<(), Excess> {
        let held = self.held.get(caller).copied().unwrap_or_default();
        if held.requests >= bounds.requests_per_caller {
            return Err(Excess::Requests);
        }
        if demand.is_list && held.lists >= bounds.lists_per_caller {
            return Err(Excess::Lists);
        }
        if held.body_bytes > 0 && held.body_bytes.saturating_add(demand.body_bytes) > bounds.body_bytes_per_caller {
            return Err(Excess::BodyBytes);
        }
        let open = if held.requests < BUSY_REQUESTS { bounds.requests } else { bounds.requests - bounds.requests / 4 };
        if self.requests < open { Ok(()) } else { Err(Excess::Server) }
    }

    fn hold(&mut self, caller: &CallerId, demand: Demand) {
        self.requests += 1;
        let held = self.held.entry(caller.clone()).or_default();
        held.requests += 1;
        held.lists += usize::from(demand.is_list);
        held.body_bytes = held.body_bytes.saturating_add(demand.body_bytes);
    }

    fn give_back(&mut self, caller: &CallerId, demand: Demand) {
        self.requests -= 1;
        let Some(held) = self.held.get_mut(caller) else { return };
        held.requests -= 1;
        held.lists -= usize::from(demand.is_list);
        held.body_bytes = held.body_bytes.saturating_sub(demand.body_bytes);
        if held.requests == 0 {
            self.held.remove(caller);
        }
    }

    fn wait_in(
        &mut self,
        line: Line,
        demand: Demand,
        bounds: &PlaceBounds,
    ) -> Result<oneshot::Receiver<Place>, Excess> {
        if !self.lines.contains_key(&line) {
            self.turns.push_back(line.clone());
        }
        let waiting = self.lines.entry(line).or_default();
        if waiting.len() >= bounds.waiting_per_caller {
            // Some may have gone away.
            waiting.retain(|waiter| !waiter.place.is_closed());
        }
        if waiting.len() >= bounds.waiting_per_caller {
            return Err(if demand.is_list { Excess::Lists } else { Excess::Requests });
        }
        let (place, turn) = oneshot::channel();
        waiting.push_back(Waiter { demand, place });
        Ok(turn)
    }

    /// Gives what is free to those who wait, one of each line and then the next. Returns the places whose taker went away
    /// at that very moment.
    fn serve(&mut self, places: &Places) -> Vec<Place> {
        let bounds = &places.0.bounds;
        let mut unclaimed = Vec::new();
        let mut blocked = VecDeque::new();
        while self.requests < bounds.requests {
            let Some(line) = self.turns.pop_front() else { break };
            let Some(waiting) = self.lines.get_mut(&line) else { continue };
            while waiting.front().is_some_and(|waiter| waiter.place.is_closed()) {
                waiting.pop_front();
            }
            let Some(demand) = waiting.front().map(|waiter| waiter.demand) else {
                self.lines.remove(&line);
                continue;
            };
            let caller = &line.0;
            if self.fits(bounds, caller, demand).is_err() {
                blocked.push_back(line);
                continue;
            }
            self.hold(caller, demand);
            let place = Place { places: places.clone(), caller: caller.clone(), demand, waited: true };
            if let Some(waiter) = self.lines.get_mut(&line).and_then(VecDeque::pop_front)
                && let Err(place) = waiter.place.send(place)
            {
                unclaimed.push(place);
            }
            if self.lines.get(&line).is_some_and(VecDeque::is_empty) {
                self.lines.remove(&line);
            } else {
                self.turns.push_back(line);
            }
        }
        blocked.append(&mut self.turns);
        self.turns = blocked;
        unclaimed
    }
}

#[cfg(test)]
mod tests {
    use kheeper_model::HostId;

    use super::*;

    const PUT: Demand = Demand { is_list: false, body_bytes: 10 };
    const LIST: Demand = Demand { is_list: true, body_bytes: 0 };

    fn places(requests: usize, requests_per_caller: usize) -> Places {
        Places::new(PlaceBounds {
            requests,
            requests_per_caller,
            lists_per_caller: 1,
            body_bytes_per_caller: 100,
            waiting_per_caller: 2,
            wait: Duration::from_secs(10),
        })
    }

    fn caller(number: u8) -> CallerId {
        CallerId::Host(format!("hst_{number:032x}").parse::<HostId>().unwrap())
    }

    /// One that waits, polled once so that it stands in its line.
    async fn waiting(
        places: &Places,
        caller: CallerId,
        demand: Demand,
    ) -> tokio::task::JoinHandle<Result<Place, Excess>> {
        let places = places.clone();
        let task = tokio::spawn(async move { places.take(&caller, demand).await });
        tokio::task::yield_now().await;
        task
    }

    #[tokio::test(start_paused = true)]
    async fn the_excess_of_a_caller_waits_and_is_refused_while_others_go_past() {
        let places = places(100, 2);
        let (flood, quiet) = (caller(1), caller(2));
        let held = (places.take(&flood, PUT).await.unwrap(), places.take(&flood, PUT).await.unwrap());
        let third = waiting(&places, flood.clone(), PUT).await;
        let fourth = waiting(&places, flood.clone(), PUT).await;
        assert_eq!(places.take(&flood, PUT).await.err(), Some(Excess::Requests), "its line is full: at once");
        assert!(!places.take(&quiet, PUT).await.unwrap().was_waited_for());
        drop(held.0);
        let third = third.await.unwrap().unwrap();
        assert!(third.was_waited_for());
        assert_eq!(fourth.await.unwrap().err(), Some(Excess::Requests), "after its wait");
        drop((held.1, third));
        assert!(places.lock().held.is_empty() && places.lock().requests == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_server_is_served_in_turns() {
        let places = places(1, 10);
        let held = places.take(&caller(1), PUT).await.unwrap();
        let first = waiting(&places, caller(1), PUT).await;
        let second = waiting(&places, caller(1), PUT).await;
        let other = waiting(&places, caller(2), PUT).await;
        drop(held);
        let first = first.await.unwrap().unwrap();
        drop(first);
        let other = other.await.unwrap().unwrap();
        assert!(!second.is_finished(), "the second of the first caller comes after the first of the second");
        drop(other);
        assert!(second.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn busy_callers_leave_the_last_quarter_to_the_others() {
        let places = places(64, 64);
        let mut held = Vec::new();
        for _ in 0..48 {
            held.push(places.take(&caller(1), Demand { body_bytes: 0, ..PUT }).await.unwrap());
        }
        assert_eq!(places.take(&caller(1), PUT).await.err(), Some(Excess::Server));
        for _ in 0..16 {
            held.push(places.take(&caller(2), Demand { body_bytes: 0, ..PUT }).await.unwrap());
        }
        assert_eq!(places.take(&caller(3), PUT).await.err(), Some(Excess::Server), "that is all");
    }

    #[tokio::test(start_paused = true)]
    async fn listings_and_bytes_have_bounds_of_their_own() {
        let places = places(100, 100);
        let list = places.take(&caller(1), LIST).await.unwrap();
        assert_eq!(places.take(&caller(1), LIST).await.err(), Some(Excess::Lists));
        let large = places.take(&caller(1), Demand { is_list: false, body_bytes: 1000 }).await.unwrap();
        assert_eq!(places.take(&caller(1), PUT).await.err(), Some(Excess::BodyBytes), "one body is always let in");
        assert!(places.take(&caller(2), PUT).await.is_ok());
        drop((list, large));
        assert!(places.take(&caller(1), LIST).await.is_ok());
        assert!(places.take(&caller(1), PUT).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_nothing_behind() {
        let places = places(1, 1);
        let held = places.take(&caller(1), PUT).await.unwrap();
        for _ in 0..5 {
            let gone = waiting(&places, caller(1), PUT).await;
            gone.abort();
            assert!(gone.await.is_err(), "it was cancelled in its line");
        }
        let next = waiting(&places, caller(1), PUT).await;
        drop(held);
        drop(next.await.unwrap().unwrap());
        let state = places.lock();
        assert!(state.lines.is_empty() && state.turns.is_empty() && state.held.is_empty());
    }
}
