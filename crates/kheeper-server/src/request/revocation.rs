//! Revocation within five seconds: one number in the index says whether anything was revoked.
//!
//! Every change that takes something away (a key, a host, a user) raises the store's `auth_epoch` in its own
//! transaction. It is read here every two seconds; when it has moved, remembered tokens are forgotten and answers in
//! flight check their caller again. When it could not be read for four seconds, nobody is let in.

use std::sync::Arc;
use std::time::Duration;

use kheeper_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the epoch is read.
const PERIOD: Duration = Duration::from_secs(2);
/// How long an epoch that was read may be relied on.
const FRESH_FOR: Duration = Duration::from_secs(4);

/// What is known about revocations. Dropping it stops the watch.
pub(crate) struct Revocation {
    state: watch::Receiver<Epoch>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
struct Epoch {
    number: u64,
    read_at: Instant,
}

/// The epoch has not been read for too long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stale;

impl Revocation {
    /// Reads the epoch once, and then goes on reading it in the background.
    pub(crate) async fn start(store: Store) -> Result<Self, StoreError> {
        let first = Epoch { number: store.auth_epoch().await?, read_at: Instant::now() };
        let (sender, state) = watch::channel(first);
        Ok(Self { state, task: tokio::spawn(read_for_ever(store, Arc::new(sender))) })
    }

    /// The present epoch, if it is fresh.
    pub(crate) fn fresh(&self) -> Result<u64, Stale> {
        let epoch = *self.state.borrow();
        if epoch.read_at.elapsed() > FRESH_FOR { Err(Stale) } else { Ok(epoch.number) }
    }

    /// Notices changes from now on.
    pub(crate) fn watch(&self) -> EpochWatch {
        EpochWatch { number: self.state.borrow().number, state: self.state.clone() }
    }
}

impl Drop for Revocation {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_for_ever(store: Store, epoch: Arc<watch::Sender<Epoch>>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // The time before the read: what was revoked while it ran may not be in it.
        let read_at = Instant::now();
        match store.auth_epoch().await {
            Ok(number) => {
                epoch.send_replace(Epoch { number, read_at });
            }
            Err(error) => tracing::error!(%error, "failed to read revocations; nobody is let in until it works again"),
        }
    }
}

/// Says whether anything was revoked since it was made, or since it was last asked.
pub(crate) struct EpochWatch {
    number: u64,
    state: watch::Receiver<Epoch>,
}

impl EpochWatch {
    /// Whether the epoch has moved. True once for each move that was seen.
    pub(crate) fn moved(&mut self) -> bool {
        let now = self.state.borrow().number;
        std::mem::replace(&mut self.number, now) != now
    }
}
