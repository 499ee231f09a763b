//! Refusals of callers who have not shown who they are wait for their turn: so many at once, then so many a second.
//!
//! Whoever tries bad tokens as fast as they are refused then takes a small part of a processor, and those with good ones
//! hardly notice. A good token never waits here: only the answer No does, after it was found out. A wait holds nothing but
//! its own connection, of which strangers have so many and no more.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Refusals that are answered without waiting, after a while without any.
const AT_ONCE: u32 = 500;
/// Between two of the others.
const INTERVAL: Duration = Duration::from_millis(5);
/// No refusal waits for longer.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Whose turn it is.
pub(crate) struct RefusalTurns {
    /// When all turns that were given out are over, at one in [`INTERVAL`].
    given_until: Mutex<Instant>,
}

impl RefusalTurns {
    /// Nobody waits.
    pub(crate) fn new() -> Self {
        Self { given_until: Mutex::new(Instant::now()) }
    }

    /// Waits until one more may be refused.
    pub(crate) async fn next(&self) {
        let turn = self.take(Instant::now());
        if let Some(turn) = turn {
            sleep_until(turn).await;
        }
    }

    fn take(&self, now: Instant) -> Option<Instant> {
        let mut given_until = self.given_until.lock().unwrap_or_else(PoisonError::into_inner);
        // The longest that can be given out: a crowd that does not wait for its answers builds up no debt for later.
        let until = (*given_until).max(now).min(now + INTERVAL * AT_ONCE + WAIT_MAX) + INTERVAL;
        *given_until = until;
        let turn = until - INTERVAL * AT_ONCE;
        (turn > now).then(|| turn.min(now + WAIT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_are_refused_at_once_and_a_crowd_one_after_the_other() {
        let turns = RefusalTurns::new();
        let begun = Instant::now();
        for _ in 0..AT_ONCE {
            turns.next().await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..1000 {
            turns.next().await;
        }
        assert_eq!(begun.elapsed(), INTERVAL * 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_while_a_few_are_refused_at_once_again() {
        let turns = RefusalTurns::new();
        for _ in 0..AT_ONCE + 100 {
            turns.next().await;
        }
        tokio::time::advance(INTERVAL * AT_ONCE).await;
        let begun = Instant::now();
        for _ in 0..AT_ONCE {
            turns.next().await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_longer_than_the_longest_wait_and_a_crowd_that_has_gone_is_forgotten() {
        let turns = RefusalTurns::new();
        let begun = Instant::now();
        for _ in 0..100_000 {
            let turn = turns.take(begun);
            assert!(turn.is_none_or(|turn| turn <= begun + WAIT_MAX));
        }
        tokio::time::advance(WAIT_MAX + INTERVAL * AT_ONCE + INTERVAL).await;
        assert_eq!(turns.take(Instant::now()), None);
    }
}
