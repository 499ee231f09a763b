//! What the audit log shall say of requests that change nothing: refusals, and reads by a grant.
//!
//! They are gathered, and written as one record for as many as were alike. Each chain gets ten records at once and then
//! one in six seconds of each kind of event ([`Budget`]); what finds no room is counted, and the count is written. So
//! nobody fills a log by being refused, and nobody crowds out of it what others are to be remembered for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kheeper_model::OrgName;
use kheeper_model::audit::{AuditAct, AuditOutcome};
use kheeper_store::{AuditBy, AuditNote, Store, StoreError};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often what was gathered is written.
const PERIOD: Duration = Duration::from_secs(1);
/// Records that a chain gets at once.
const BURST: u32 = 10;
/// After that, one in so much time.
const REFILL: Duration = Duration::from_secs(6);
/// Kinds of request that a chain gathers; more are counted as dropped.
const KINDS_MAX: usize = 64;
/// Chains that are gathered for at once, for each kind of event. Strangers name orgs that they make up.
const CHAINS_MAX: usize = 256;

/// Whose events share the room of a chain: what one of them does crowds out only its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Budget {
    /// Refusals of the org's own hosts and people.
    Own,
    /// Refusals of those who have no part in the org.
    Strangers,
    /// Joins that were refused: of whoever has a join token.
    Joins,
    /// Reads by grants.
    Grants,
    /// Writes that hid another version.
    Overwrites,
}

/// One chain's share for one kind of event.
type Place = (Option<OrgName>, Budget);

/// Requests that are alike: one record says how many there were.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    /// What was done or tried.
    pub(crate) act: AuditAct,
    /// Who.
    pub(crate) by: AuditBy,
    /// What it was done or tried on, without what differs from one request to the next.
    pub(crate) on: String,
    /// Which operation; of a join, why it was refused.
    pub(crate) operation: String,
    /// Whether it was refused.
    pub(crate) denied: bool,
}

/// What waits to be written, and how much found no place at all.
#[derive(Debug, Default)]
struct Gathered {
    chains: HashMap<Place, Chain>,
    lost: u64,
}

/// Gathers events, and writes them. Dropping it stops the writing.
pub(crate) struct AuditTrail {
    gathered: Arc<Mutex<Gathered>>,
    task: JoinHandle<()>,
}

impl AuditTrail {
    /// Begins to write what will be gathered.
    pub(crate) fn start(store: Store) -> Self {
        let gathered = Arc::<Mutex<Gathered>>::default();
        let task = tokio::spawn(write_for_ever(store, Arc::clone(&gathered)));
        Self { gathered, task }
    }

    /// Notes an event in the chain of an org, or in the server's own. `sample` is shown for one of those that are alike.
    pub(crate) fn note(&self, org: Option<&OrgName>, budget: Budget, event: Event, sample: &str) {
        lock(&self.gathered).note((org.cloned(), budget), event, sample);
    }
}

impl Gathered {
    fn note(&mut self, place: Place, event: Event, sample: &str) {
        let alike = |other: &&Place| other.1 == place.1;
        if !self.chains.contains_key(&place) && self.chains.keys().filter(alike).count() >= CHAINS_MAX {
            self.lost += 1;
            return;
        }
        self.chains.entry(place).or_insert_with(Chain::new).gather(event, sample);
    }

    /// What may be written now.
    fn take(&mut self, now: Instant) -> Vec<(Option<OrgName>, Vec<AuditNote>)> {
        let ready = self.chains.iter_mut().map(|((org, _), chain)| (org.clone(), chain.take(now)));
        let ready = ready.filter(|(_, notes)| !notes.is_empty()).collect();
        self.chains.retain(|_, chain| !chain.is_idle());
        ready
    }
}

impl Drop for AuditTrail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What waits to be written to one chain.
#[derive(Debug)]
struct Chain {
    waiting: BTreeMap<Event, Seen>,
    dropped: u64,
    room: u32,
    refilled: Instant,
}

#[derive(Debug)]
struct Seen {
    count: u64,
    sample: String,
}

impl Chain {
    fn new() -> Self {
        Self { waiting: BTreeMap::new(), dropped: 0, room: BURST, refilled: Instant::now() }
    }

    fn gather(&mut self, event: Event, sample: &str) {
        if let Some(seen) = self.waiting.get_mut(&event) {
            seen.count += 1;
        } else if self.waiting.len() < KINDS_MAX {
            self.waiting.insert(event, Seen { count: 1, sample: sample.to_owned() });
        } else {
            self.dropped += 1;
        }
    }

    /// As many records as there is room for.
    fn take(&mut self, now: Instant) -> Vec<AuditNote> {
        let refills = now.duration_since(self.refilled).as_secs() / REFILL.as_secs();
        if refills > 0 {
            self.room = BURST.min(self.room.saturating_add(u32::try_from(refills).unwrap_or(BURST)));
            self.refilled = now;
        }
        let mut notes = Vec::new();
        while self.room > 0
            && let Some((event, seen)) = self.waiting.pop_first()
        {
            self.room -= 1;
            notes.push(event.into_note(&seen, std::mem::take(&mut self.dropped)));
        }
        notes
    }

    /// Nothing waits, and nothing of its past counts any more.
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.dropped == 0 && self.room == BURST
    }
}

impl Event {
    fn into_note(self, seen: &Seen, dropped: u64) -> AuditNote {
        let outcome = if self.denied { AuditOutcome::Denied } else { AuditOutcome::Done };
        let note = AuditNote { outcome, ..AuditNote::done(self.act, self.by, self.on) };
        let what = if self.act == AuditAct::HostJoin { "why" } else { "operation" };
        let note = note.with(what, self.operation).with("count", seen.count).with("for-instance", &seen.sample);
        if dropped > 0 { note.with("others-not-written", dropped) } else { note }
    }
}

async fn write_for_ever(store: Store, gathered: Arc<Mutex<Gathered>>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (ready, lost) = {
            let mut gathered = lock(&gathered);
            (gathered.take(Instant::now()), std::mem::take(&mut gathered.lost))
        };
        if lost > 0 {
            tracing::warn!(lost, "refusals in too many orgs at once: some are not in the audit log");
        }
        for (org, notes) in ready {
            match store.note(org.as_ref(), notes).await {
                // What was asked for was no org at all: there is nobody to tell.
                Ok(()) | Err(StoreError::NoSuchOrg(_)) => {}
                Err(error) => tracing::warn!(%error, "failed to write to the audit log what was refused or lent"),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(on: &str) -> Event {
        Event {
            act: AuditAct::RequestDenied,
            by: AuditBy::Nobody(None),
            on: on.to_owned(),
            operation: "GetObject".to_owned(),
            denied: true,
        }
    }

    #[test]
    fn events_that_are_alike_are_one_record_and_a_flood_is_counted() {
        let mut chain = Chain::new();
        for _ in 0..1000 {
            chain.gather(event("myorg/web-01"), "/myorg/web-01/a");
        }
        for number in 0..200 {
            chain.gather(event(&format!("myorg/h-{number:03}")), "/x");
        }
        let begun = chain.refilled;
        let first = chain.take(begun);
        assert_eq!(first.len(), BURST as usize);
        assert_eq!(first[0].details["others-not-written"], (200 - (KINDS_MAX - 1)).to_string());
        assert!(chain.take(begun).is_empty(), "no more than there is room for");
        assert_eq!(chain.take(begun + 2 * REFILL).len(), 2);
        let rest: Vec<AuditNote> = (3..100).flat_map(|count| chain.take(begun + count * REFILL)).collect();
        let alike = first.iter().chain(&rest).find(|note| note.on.as_deref() == Some("myorg/web-01"));
        assert_eq!(alike.map(|note| note.details["count"].as_str()), Some("1000"));
    }

    #[test]
    fn strangers_crowd_nothing_out_of_an_orgs_chain_but_one_another() {
        let org: Option<OrgName> = Some("myorg".parse().expect("a name"));
        let mut gathered = Gathered::default();
        for number in 0..200 {
            gathered.note((org.clone(), Budget::Strangers), event(&format!("myorg/h-{number:03}")), "/x");
            let made_up = Some(format!("made-up-{number:03}").parse().expect("a name"));
            gathered.note((made_up.clone(), Budget::Strangers), event("x"), "/x");
            gathered.note((made_up.clone(), Budget::Strangers), event("y"), "/x");
        }
        for number in 200..1000 {
            let made_up = Some(format!("made-up-{number:03}").parse().expect("a name"));
            gathered.note((made_up, Budget::Strangers), event("x"), "/x");
        }
        let of_the_org = [Budget::Own, Budget::Joins, Budget::Grants, Budget::Overwrites];
        for budget in of_the_org {
            gathered.note((org.clone(), budget), event("myorg/zzz"), "/myorg/zzz/a");
        }
        assert_eq!(gathered.lost, 1000 - (CHAINS_MAX as u64 - 1), "of made-up orgs there are no more than that");
        let written = gathered.take(Instant::now());
        let written = written.iter().filter(|(of, _)| *of == org).flat_map(|(_, notes)| notes);
        let seen = written.filter(|note| note.on.as_deref() == Some("myorg/zzz")).count();
        assert_eq!(seen, of_the_org.len(), "each has a room of its own");
    }
}
