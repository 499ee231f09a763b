//! What the store does by itself: flush, fold, sweep.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::store::{Shared, Store};
use crate::sweep::Orphans;

/// Seconds between flushes of traffic.
const FLUSH_SECS: u64 = 10;
/// Flushes between two folds of usage, which also say that the clock goes on: a minute.
const FLUSHES_PER_FOLD: u64 = 6;
/// Between two sweeps.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// Sweeps between two that look for orphans: a day.
const SWEEPS_PER_SEARCH: u64 = 24;

/// Runs until the store is gone. Holds no handle of it between its turns.
pub(crate) async fn run(shared: Weak<Shared>) {
    let mut ticks = interval(Duration::from_secs(FLUSH_SECS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut swept, mut sweeps) = (Instant::now(), 0_u64);
    for tick in 0_u64.. {
        ticks.tick().await;
        let Some(shared) = Weak::upgrade(&shared) else { return };
        let store = Store { shared: Arc::clone(&shared) };
        if let Err(error) = store.flush_traffic().await {
            tracing::warn!(%error, "failed to flush traffic");
        }
        if tick % FLUSHES_PER_FOLD == 0 {
            fold(&store).await;
        }
        if swept.elapsed() >= SWEEP_EVERY {
            swept = Instant::now();
            let orphans =
                if sweeps.is_multiple_of(SWEEPS_PER_SEARCH) { Orphans::Search { accepted: 0 } } else { Orphans::Leave };
            sweeps += 1;
            match store.sweep_for(orphans).await {
                Ok(report) => tracing::info!(?report, "swept"),
                Err(error) => tracing::warn!(%error, "failed to sweep"),
            }
        }
    }
}

async fn fold(store: &Store) {
    if let Err(error) = store.heartbeat().await.and(store.fold_usage().await) {
        tracing::warn!(%error, "failed to fold usage");
    }
}
