//! Scrub: everything at rest is read again, round after round, so that damage is found while there is another copy.
//!
//! It removes nothing and mends nothing. What it finds it names, in its report, in the log and to the metrics.

use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::blob::BlobName;
use crate::error::StoreError;
use crate::index::{Change, ContentRow, LeaseName, SweepChange};
use crate::scrub_state::{ScrubPosition, ScrubReport, ScrubState};
use crate::store::{Shared, Store};
use crate::verify::{Damage, Pace};

/// Rows of one page.
const ROWS_PER_PAGE: usize = 100;
/// How long the background reads before it notes where it is.
const STEP: Duration = Duration::from_secs(10);
/// From the start of the server, or a failure, to the next step.
const PAUSE: Duration = Duration::from_secs(30);
/// Seconds from the beginning of one round to that of the next, if it takes no longer.
const ROUND_SECS: u64 = 7 * 24 * 3600;

/// Scrub, as metrics and operators see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ScrubStatus {
    /// The round under way in the background.
    pub round: Option<ScrubReport>,
    /// The last round that was complete.
    pub last: Option<ScrubReport>,
    /// Bytes that are stored, as last folded: what a round has to read.
    pub stored_bytes: u64,
    /// Bytes that this process has verified.
    pub verified_bytes_total: u64,
}

impl ScrubStatus {
    /// Damaged objects, as far as is known: those of the round under way, or of the last one if they were more.
    pub fn damaged_objects(&self) -> u64 {
        let count = |round: &Option<ScrubReport>| round.as_ref().map_or(0, |round| round.damaged_count);
        count(&self.round).max(count(&self.last))
    }
}

/// What is read next.
enum Item {
    Content(ContentRow),
    Part(BlobName, u64),
}

impl Store {
    /// Reads everything that is stored, now and as fast as the disk is. The background waits meanwhile.
    pub async fn scrub(&self) -> Result<ScrubReport, StoreError> {
        let _turn = self.shared.scrubbing.lock().await;
        let mut report = ScrubReport { began_at: Some(self.now()), ..ScrubReport::default() };
        let mut position = ScrubPosition::Start;
        let mut pace = Pace::new(None);
        while self.scrub_on(&mut report, &mut position, &mut pace, Instant::now() + STEP).await? {
            tracing::info!(verified_bytes = report.verified_bytes, damaged = report.damaged_count, "scrubbing");
        }
        self.complete(&mut report);
        self.keep_scrub(ScrubState { round: None, last: Some(report.clone()) }).await?;
        Ok(report)
    }

    /// One step of the background's round: reads for about as long as that, and notes where it goes on. Whether there is
    /// more to do now.
    pub async fn scrub_step(&self, bytes_per_sec: NonZeroU64, time: Duration) -> Result<bool, StoreError> {
        self.scrub_for(&mut Pace::new(Some(bytes_per_sec)), time).await
    }

    async fn scrub_for(&self, pace: &mut Pace, time: Duration) -> Result<bool, StoreError> {
        let _turn = self.shared.scrubbing.lock().await;
        if self.take_lease(LeaseName::Scrub).await?.is_none() {
            return Ok(false);
        }
        let state = self.shared.index.scrub_state().await?;
        let (mut report, mut position) = match state.round {
            Some(round) => round,
            None => {
                let last_began = state.last.as_ref().and_then(|last| last.began_at);
                if last_began.is_some_and(|began| self.now() < began.plus_secs(ROUND_SECS)) {
                    return Ok(false);
                }
                let stored_bytes = self.shared.index.sweep_state().await?.stored_bytes;
                tracing::info!(stored_bytes, "scrub: a round through everything that is stored begins");
                (ScrubReport { began_at: Some(self.now()), ..ScrubReport::default() }, ScrubPosition::Start)
            }
        };
        let more = self.scrub_on(&mut report, &mut position, pace, Instant::now() + time).await?;
        let state = if more {
            ScrubState { round: Some((report, position)), last: state.last }
        } else {
            self.complete(&mut report);
            ScrubState { round: None, last: Some(report) }
        };
        self.keep_scrub(state).await?;
        Ok(more)
    }

    /// How far scrub has come.
    pub async fn scrub_status(&self) -> Result<ScrubStatus, StoreError> {
        let ScrubState { round, last } = self.shared.index.scrub_state().await?;
        Ok(ScrubStatus {
            round: round.map(|(report, _)| report),
            last,
            stored_bytes: self.shared.index.sweep_state().await?.stored_bytes,
            verified_bytes_total: self.shared.scrubbed_bytes.load(Ordering::Relaxed),
        })
    }

    /// Reads on from `position` until the round or the time is over; whether there is more.
    async fn scrub_on(
        &self,
        report: &mut ScrubReport,
        position: &mut ScrubPosition,
        pace: &mut Pace,
        until: Instant,
    ) -> Result<bool, StoreError> {
        let mut damage = Vec::new();
        let more = 'step: loop {
            let items = self.scrub_page(position).await?;
            if items.is_empty() {
                match position {
                    ScrubPosition::Start | ScrubPosition::Content(_) => *position = ScrubPosition::Parts,
                    ScrubPosition::Parts | ScrubPosition::Part(_) => break false,
                }
            }
            for item in items {
                let (bytes, found) = self.scrub_item(&item, pace).await?;
                self.shared.scrubbed_bytes.fetch_add(bytes, Ordering::Relaxed);
                report.contents += 1;
                report.verified_bytes += bytes;
                damage.extend(found);
                *position = match item {
                    Item::Content(content) => ScrubPosition::Content(content.id.to_string()),
                    Item::Part(name, _) => ScrubPosition::Part(name.to_string()),
                };
                if Instant::now() >= until {
                    break 'step true;
                }
            }
        };
        for damaged in self.name_damage(&damage).await? {
            let (host, key, version, blob) = (&damaged.namespace, &damaged.key, damaged.version(), &damaged.blob);
            tracing::error!(%host, %key, version, blob, what = damaged.what, "damaged at rest; nothing is removed");
            report.note(damaged);
        }
        Ok(more)
    }

    /// What comes after `position`, within its stage.
    async fn scrub_page(&self, position: &ScrubPosition) -> Result<Vec<Item>, StoreError> {
        let index = &self.shared.index;
        let odd = || StoreError::internal("the position of scrub cannot be read");
        match position {
            ScrubPosition::Start | ScrubPosition::Content(_) => {
                let mut after = match position {
                    ScrubPosition::Content(id) => Some(id.parse().map_err(|_| odd())?),
                    _ => None,
                };
                loop {
                    let page = index.contents(after, None, ROWS_PER_PAGE).await?;
                    // What is condemned may be gone, or half gone.
                    let live: Vec<Item> =
                        page.contents.into_iter().filter(|c| c.condemned_at.is_none()).map(Item::Content).collect();
                    if !live.is_empty() || page.next.is_none() {
                        return Ok(live);
                    }
                    after = page.next;
                }
            }
            ScrubPosition::Parts | ScrubPosition::Part(_) => {
                let after = match position {
                    ScrubPosition::Part(name) => Some(name.parse().map_err(|_| odd())?),
                    _ => None,
                };
                let page = index.part_blobs(after, None, ROWS_PER_PAGE).await?;
                Ok(page.blobs.into_iter().filter_map(|(name, bytes)| Some(Item::Part(name, bytes?))).collect())
            }
        }
    }

    async fn scrub_item(&self, item: &Item, pace: &mut Pace) -> Result<(u64, Vec<Damage>), StoreError> {
        match item {
            Item::Content(content) => self.verify_content(content, pace).await,
            Item::Part(name, bytes) => Ok(match self.verify_blob(*name, *bytes, pace).await? {
                Ok(verified) => (verified, Vec::new()),
                Err(problem) => (0, vec![Damage::of_blob(*name, problem)]),
            }),
        }
    }

    fn complete(&self, report: &mut ScrubReport) {
        report.completed_at = Some(self.now());
        let secs = report.began_at.map_or(0, |began| (self.now().as_millis() - began.as_millis()) / 1000);
        let ScrubReport { contents, verified_bytes, damaged_count, .. } = *report;
        if damaged_count == 0 {
            tracing::info!(contents, verified_bytes, secs, "scrub: everything that is stored is what was written");
        } else {
            tracing::error!(
                contents,
                verified_bytes,
                secs,
                damaged_count,
                "scrub: there is damage; nothing is removed"
            );
        }
    }

    async fn keep_scrub(&self, state: ScrubState) -> Result<(), StoreError> {
        match self.take_lease(LeaseName::Scrub).await? {
            Some(lease) => self.commit(Change::Sweep(SweepChange::KeepScrub(lease, Box::new(state)))).await.map(drop),
            None => Err(StoreError::unavailable("another process is scrubbing")),
        }
    }
}

/// Scrubs in the background until the store is gone. Holds no handle of it between its steps.
pub(crate) async fn run(shared: Weak<Shared>, bytes_per_sec: NonZeroU64) {
    let mut pace = Pace::new(Some(bytes_per_sec));
    let mut failing = false;
    let mut more = false;
    loop {
        if !more {
            sleep(PAUSE).await;
        }
        let Some(shared) = Weak::upgrade(&shared) else { return };
        let step = Store { shared: Arc::clone(&shared) }.scrub_for(&mut pace, STEP).await;
        more = *step.as_ref().unwrap_or(&false);
        if let Err(error) = &step
            && !failing
        {
            tracing::warn!(%error, "failed to scrub; it is tried again");
        }
        failing = step.is_err();
    }
}
