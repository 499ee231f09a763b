//! Sweep removes what nothing refers to, in two steps at least a day apart.
//!
//! First the index condemns: a content that no version refers to, a part that no manifest lists, a blob that no row
//! names. A commit and sweep must write the same row, so one of the two loses and yields. A day later the blobs go, and
//! then their rows. A crash anywhere leaves a step to repeat.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use kheeper_model::Timestamp;
use kheeper_model::id::day_number;
use kheeper_model::limits::CONDEMNED_SECS_MIN;

use crate::blob::{BlobName, ListedBlob};
use crate::error::StoreError;
use crate::index::{Change, ContentBody, Lease, LeaseName, Outcome, SnapshotChange, SweepChange, SweepState};
use crate::store::Store;

/// Seconds that the clock may differ from the highest time ever committed.
const CLOCK_JUMP_SECS_MAX: u64 = 3600;
/// Rows of one sweep commit, so that it never holds the others up for long.
const ROWS_PER_COMMIT: u64 = 200;
/// Rows of one page of a sweep's reads.
const ROWS_PER_PAGE: usize = 500;
/// Seconds a lease lasts.
const LEASE_SECS: u64 = 60;
/// When more blobs than one for this many objects suddenly have no row, rather the index is wrong than the blobs.
const ORPHANS_ONE_IN: u64 = 100;
/// Orphans that are never suspicious, however few objects there are and whenever they were written.
const ORPHANS_UNSUSPICIOUS: u64 = 64;
/// Seconds within which what one crash leaves was last written to: a body that brings 4 KiB a second reaches its blob, a hop
/// of 1 MiB at a time, that often. What an older index does not name was written over all the time since.
const CRASH_SPREAD_SECS: u64 = 300;

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SweepReport {
    /// Why it removed nothing, if it refused to.
    pub refused: Option<String>,
    /// Hidden versions whose time was over.
    pub purged_versions: u64,
    /// Uploads given up, and rows forgotten.
    pub expired_uploads: u64,
    /// Rows of deleted namespaces that were worked on.
    pub closed_rows: u64,
    /// Blobs that nothing referred to, condemned now.
    pub condemned_blobs: u64,
    /// Contents whose blobs were deleted.
    pub deleted_contents: u64,
    /// Blobs of parts and orphans that were deleted.
    pub deleted_blobs: u64,
}

/// Whether a sweep looks for blobs that no row names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orphans {
    /// It does: now and then, since it reads the names of all blobs.
    Search {
        /// As many as this are no reason to stop.
        accepted: u64,
    },
    /// Only rows say what goes.
    Leave,
}

/// Why sweep removes nothing, if it does not.
#[derive(Debug, Default)]
pub(crate) struct SweepRefusal {
    /// What the last sweep said.
    last: Option<String>,
    /// What the last search said: it stays until another one finds nothing odd, for the sweeps between them too.
    search: Option<String>,
}

/// What a search found.
#[derive(Debug, Default)]
struct Found {
    /// Blobs that no row names, and when they were last written to.
    orphans: Vec<(BlobName, Timestamp)>,
    /// Days that have no blobs any more.
    empty_days: Vec<u32>,
}

impl Store {
    /// Removes what nothing refers to. Does nothing while another process of the same index does.
    ///
    /// Refuses, and says why in the report, when the clock cannot be trusted or too many blobs seem to be orphans.
    pub async fn sweep(&self) -> Result<SweepReport, StoreError> {
        self.sweep_for(Orphans::Search { accepted: 0 }).await
    }

    /// Sweeps, though as many as `orphans` blobs have no row: an operator has looked, and says that this is right.
    pub async fn sweep_accepting(&self, orphans: u64) -> Result<SweepReport, StoreError> {
        self.sweep_for(Orphans::Search { accepted: orphans }).await
    }

    /// Removes what rows say is to go, and looks for no orphans: what the store does by itself between two searches. Removes
    /// nothing if the last search found something odd.
    pub async fn sweep_rows(&self) -> Result<SweepReport, StoreError> {
        self.sweep_for(Orphans::Leave).await
    }

    /// Goes on with an index that is older than the store once was: an operator knows what is not in it. May be repeated.
    pub async fn accept_older_index(&self) -> Result<(), StoreError> {
        self.commit(Change::Snapshot(SnapshotChange::AcceptOlderIndex)).await.map(drop)
    }

    /// Why the last sweep removed nothing or stopped, if it did.
    pub fn sweep_refusal(&self) -> Option<String> {
        self.refusal().last.clone()
    }

    /// Sweeps, with or without looking for orphans, which reads the names of all blobs.
    pub(crate) async fn sweep_for(&self, orphans: Orphans) -> Result<SweepReport, StoreError> {
        let swept = self.try_sweep(orphans).await;
        self.refusal().last = match &swept {
            Ok(report) => report.refused.clone(),
            Err(error) => Some(error.to_string()),
        };
        swept
    }

    fn refusal(&self) -> MutexGuard<'_, SweepRefusal> {
        self.shared.sweep_refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_sweep(&self, orphans: Orphans) -> Result<SweepReport, StoreError> {
        let mut report = SweepReport::default();
        let state = self.shared.index.sweep_state().await?;
        if let Some(reason) = distrust(&state) {
            tracing::warn!(reason, "sweep removes nothing");
            report.refused = Some(reason);
            return Ok(report);
        }
        let Some(lease) = self.take_lease(LeaseName::Sweep).await? else {
            report.refused = Some("another process is sweeping".to_owned());
            return Ok(report);
        };
        // Whatever is odd stops it before anything is removed, not half way.
        let orphans = match orphans {
            Orphans::Leave => match self.refusal().search.clone() {
                Some(reason) => Err(reason),
                None => Ok(Vec::new()),
            },
            Orphans::Search { accepted } => {
                let found = self.search(&state, accepted).await;
                self.refusal().search = match &found {
                    Ok(found) => found.as_ref().err().cloned(),
                    Err(error) => Some(error.to_string()),
                };
                found?
            }
        };
        let orphans = match orphans {
            Ok(orphans) => orphans,
            Err(reason) => {
                tracing::error!(reason, "sweep removes nothing");
                report.refused = Some(reason);
                return Ok(report);
            }
        };
        report.closed_rows = self.repeat(lease, SweepChange::CloseNamespaces).await?;
        report.purged_versions = self.repeat(lease, SweepChange::PurgeVersions).await?;
        report.expired_uploads = self.repeat(lease, SweepChange::ExpireUploads).await?;
        self.repeat(lease, SweepChange::ForgetAudit).await?;
        let old = state.now.minus_secs(CONDEMNED_SECS_MIN);
        self.delete_condemned_contents(lease, old, &mut report).await?;
        self.delete_condemned_blobs(lease, old, &mut report).await?;
        for names in orphans.chunks(ROWS_PER_PAGE) {
            report.condemned_blobs += self.swept(SweepChange::CondemnBlobs(lease, names.to_vec())).await?;
        }
        Ok(report)
    }

    pub(crate) async fn take_lease(&self, name: LeaseName) -> Result<Option<Lease>, StoreError> {
        let change = SweepChange::TakeLease { name, holder: self.shared.holder, secs: LEASE_SECS };
        match self.commit(Change::Sweep(change)).await? {
            Outcome::Lease(lease) => Ok(lease),
            other => Err(crate::control::unexpected(&other)),
        }
    }

    async fn swept(&self, change: SweepChange) -> Result<u64, StoreError> {
        match self.commit(Change::Sweep(change)).await? {
            Outcome::Swept(rows) => Ok(rows),
            other => Err(crate::control::unexpected(&other)),
        }
    }

    /// Repeats a bounded change until it finds nothing more; the lease is extended on the way.
    async fn repeat(&self, lease: Lease, change: fn(Lease, u64) -> SweepChange) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let rows = self.swept(change(lease, ROWS_PER_COMMIT)).await?;
            total += rows;
            if rows == 0 || self.take_lease(lease.name).await? != Some(lease) {
                return Ok(total);
            }
        }
    }

    /// Deletes the blobs of contents condemned before `old`, and then their rows.
    async fn delete_condemned_contents(
        &self,
        lease: Lease,
        old: Timestamp,
        report: &mut SweepReport,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.shared.index.contents(after, Some(old), ROWS_PER_PAGE).await?;
            if page.contents.is_empty() || self.take_lease(lease.name).await? != Some(lease) {
                return Ok(());
            }
            let mut blobs = Vec::new();
            for content in &page.contents {
                match &content.body {
                    Some(Ok(ContentBody::Blobs(manifest))) => blobs.extend(manifest.segments().iter().map(|s| s.blob)),
                    Some(Ok(ContentBody::Inline(_))) | None => {}
                    // What it names is not known: nothing goes.
                    Some(Err(damaged)) => return Err(damaged.clone()),
                }
            }
            self.shared.blobs.delete(blobs).await?;
            let ids = page.contents.iter().map(|content| content.id).collect();
            report.deleted_contents += self.swept(SweepChange::ForgetContents(lease, ids)).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Deletes the blobs of parts and orphans condemned before `old`, and then their rows.
    async fn delete_condemned_blobs(
        &self,
        lease: Lease,
        old: Timestamp,
        report: &mut SweepReport,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.shared.index.part_blobs(after, Some(old), ROWS_PER_PAGE).await?;
            if page.blobs.is_empty() || self.take_lease(lease.name).await? != Some(lease) {
                return Ok(());
            }
            let names: Vec<BlobName> = page.blobs.into_iter().map(|(name, _)| name).collect();
            self.shared.blobs.delete(names.clone()).await?;
            report.deleted_blobs += self.swept(SweepChange::ForgetBlobs(lease, names)).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// The blobs that no row names, or why nothing may be removed.
    async fn search(&self, state: &SweepState, accepted: u64) -> Result<Result<Vec<BlobName>, String>, StoreError> {
        if let Some(reason) = self.contradiction().await? {
            return Ok(Err(reason));
        }
        let found = self.find_orphans(state.now.minus_secs(CONDEMNED_SECS_MIN)).await?;
        let written = found.orphans.iter().map(|(_, modified)| *modified).collect();
        let suspicion = suspicion(written, state.objects, self.shared.crash_blobs_max);
        match suspicion.filter(|_| found.orphans.len() as u64 > accepted) {
            Some(reason) => Ok(Err(reason)),
            None => {
                for day in found.empty_days {
                    self.shared.blobs.forget_day(day).await?;
                }
                Ok(Ok(found.orphans.into_iter().map(|(name, _)| name).collect()))
            }
        }
    }

    /// The first thing in the index that cannot be, if there is any: what is named by an index that is damaged is not known.
    async fn contradiction(&self) -> Result<Option<String>, StoreError> {
        let wrong = self.shared.index.integrity().await?;
        Ok(wrong.into_iter().next().map(|what| format!("the index fails its check ({what}): see kheeper-server fsck")))
    }

    /// Blobs that were last written before `old` and that no row names.
    ///
    /// All days are looked through: a part lies on the day its upload was created.
    async fn find_orphans(&self, old: Timestamp) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let last_day = day_number(old);
        for day in self.shared.blobs.days().await?.into_iter().filter(|day| *day <= last_day) {
            let blobs = self.shared.blobs.list(day).await?;
            if blobs.is_empty() && day < last_day {
                found.empty_days.push(day);
            }
            let candidates: BTreeMap<BlobName, Timestamp> =
                blobs.iter().filter(|blob| blob.modified < old).map(|blob| (blob.name, blob.modified)).collect();
            let orphans = self.orphans_of(candidates.keys().copied().collect()).await?;
            found.orphans.extend(orphans.into_iter().filter_map(|name| Some((name, *candidates.get(&name)?))));
        }
        Ok(found)
    }

    /// Which of these blobs no row names.
    pub(crate) async fn orphans_of(&self, blobs: Vec<BlobName>) -> Result<Vec<BlobName>, StoreError> {
        let mut orphans = Vec::new();
        for page in blobs.chunks(ROWS_PER_PAGE) {
            orphans.extend(self.shared.index.unreferenced(page.to_vec()).await?);
        }
        Ok(orphans)
    }
}

/// Why nothing may be purged now: the clock is not where it was.
fn distrust(state: &SweepState) -> Option<String> {
    let SweepState { now, committed_high, hold_until, quarantined_since, older_since, .. } = *state;
    if let Some(since) = quarantined_since {
        return Some(StoreError::Quarantined(since).to_string());
    }
    if let Some(end) = older_since {
        return Some(older_index(end));
    }
    if committed_high.minus_secs(CLOCK_JUMP_SECS_MAX) > now {
        return Some(format!("the clock shows {now}, long before the last commit at {committed_high}"));
    }
    if committed_high.plus_secs(CLOCK_JUMP_SECS_MAX) < now {
        return Some(format!("the clock shows {now}, long after the last commit at {committed_high}"));
    }
    (now < hold_until).then(|| format!("the clock jumped ahead, and is not trusted until {hold_until}"))
}

/// What is said of an index that was put in place of a newer one: what it does not name was acknowledged.
pub(crate) fn older_index(end: Timestamp) -> String {
    format!(
        "the index is an older copy: it ended at {end}, and the store went on. What was acknowledged after that is not in it, \
         and its blobs are kept. If the newer index is lost for good: kheeper-server sweep --accept-older-index"
    )
}

/// Why so many orphans are rather a wrong index than right to remove: one that was put back from an older copy does not name
/// what was written since. `written` is when each was last written to, and `crash_max` how many of them one crash may have left,
/// all at about the same time.
fn suspicion(mut written: Vec<Timestamp>, objects: u64, crash_max: u64) -> Option<String> {
    let orphans = written.len() as u64;
    written.sort_unstable();
    let left = orphans - most_at_once(&written).min(crash_max);
    (left > ORPHANS_UNSUSPICIOUS && orphans > ORPHANS_UNSUSPICIOUS.max(objects / ORPHANS_ONE_IN)).then(|| {
        format!(
            "{orphans} blobs have no row, and there are {objects} objects: is this the index that belongs to them, or an \
             older copy? If they may go: kheeper-server sweep --accept-orphans {orphans}"
        )
    })
}

/// The most of these times, which ascend, that lie within [`CRASH_SPREAD_SECS`].
fn most_at_once(times: &[Timestamp]) -> u64 {
    let mut first = 0;
    let within = times.iter().enumerate().map(|(last, time)| {
        while times[first].plus_secs(CRASH_SPREAD_SECS) < *time {
            first += 1;
        }
        last - first + 1
    });
    within.max().unwrap_or(0) as u64
}

/// Bytes that blobs take on the disk.
pub(crate) fn disk_bytes(blobs: &[ListedBlob]) -> u64 {
    blobs.iter().map(|blob| blob.disk_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_in_a_hundred_and_more_than_a_few_are_suspicious() {
        assert_eq!(suspicion(every(60, 64), 10, 0), None);
        assert!(suspicion(every(60, 65), 10, 0).is_some_and(|why| why.contains("--accept-orphans 65")));
        assert_eq!(suspicion(every(60, 1000), 100_000, 0), None);
        assert!(suspicion(every(60, 1001), 100_000, 0).is_some());
    }

    #[test]
    fn what_one_crash_may_leave_is_not_suspicious_and_as_many_over_a_day_are() {
        assert_eq!(suspicion(every(0, 512), 10, 512), None);
        assert!(suspicion(every(0, 512), 10, 0).is_some(), "nothing says that this index is not an older one");
        assert!(suspicion(every(60, 512), 10, 512).is_some());
        // Its own 512, and the few that are never suspicious.
        let with_others = |others: usize| [every(0, 512), every(3600, others + 1)[1..].to_vec()].concat();
        assert_eq!(suspicion(with_others(64), 10, 512), None);
        assert!(suspicion(with_others(65), 10, 512).is_some());
    }

    #[test]
    fn the_most_at_once_are_counted_wherever_they_lie() {
        assert_eq!(most_at_once(&[]), 0);
        assert_eq!(most_at_once(&every(60, 100)), 6);
        assert_eq!(most_at_once(&[every(1000, 5), vec![at(9000); 7], vec![at(9300)], vec![at(9301); 2]].concat()), 8);
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + secs)
    }

    fn every(secs: i64, count: usize) -> Vec<Timestamp> {
        (0..count as i64).map(|n| at(n * secs)).collect()
    }

    #[test]
    fn nothing_is_purged_when_the_clock_is_more_than_an_hour_off() {
        let state = |now| SweepState {
            now,
            committed_high: at(0),
            hold_until: at(-9999),
            quarantined_since: None,
            older_since: None,
            objects: 0,
            stored_bytes: 0,
        };
        assert_eq!(distrust(&state(at(3600))), None);
        assert_eq!(distrust(&state(at(-3600))), None);
        assert!(distrust(&state(at(3601))).is_some());
        assert!(distrust(&state(at(-3601))).is_some());
        assert!(distrust(&SweepState { hold_until: at(20), ..state(at(10)) }).is_some());
        assert!(distrust(&SweepState { quarantined_since: Some(at(0)), ..state(at(0)) }).is_some());
        assert!(distrust(&SweepState { older_since: Some(at(-60)), ..state(at(0)) }).is_some());
    }
}
