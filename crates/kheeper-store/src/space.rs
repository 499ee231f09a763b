//! The 507 rule: new bodies are refused while free space, less what was admitted, is under a reserve, so that DELETE,
//! sweep and recovery always have room.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kheeper_model::limits::GIB;

use crate::error::StoreError;
use crate::options::{Space, SpaceProbe};

/// For how long an answer of the file system is believed.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// What the disk looks like to a new body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceReport {
    /// Bytes of the file system.
    pub total_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Bytes of bodies that were admitted and may still be on their way.
    pub admitted_bytes: u64,
    /// Bytes that are kept free.
    pub reserve_bytes: u64,
}

impl SpaceReport {
    /// Whether new bodies are refused.
    pub fn is_full(&self) -> bool {
        self.free_bytes.saturating_sub(self.admitted_bytes) < self.reserve_bytes
    }

    /// Whether less than a fifth is free, which is for the namespaces that hold less than their share.
    pub fn is_scarce(&self) -> bool {
        self.free_bytes.saturating_sub(self.admitted_bytes) < self.total_bytes / 5
    }
}

/// Bytes to keep free: 1 GiB or 2 %, whichever is more, and at most a tenth of the file system.
fn reserve_bytes(total_bytes: u64) -> u64 {
    GIB.max(total_bytes / 50).min(total_bytes / 10)
}

/// Admits bodies while there is room for them.
#[derive(Clone)]
pub(crate) struct Admission {
    probe: Arc<dyn SpaceProbe>,
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    probed: Option<(Instant, Space)>,
    admitted_bytes: u64,
    /// Bytes of bodies that ended since the probe, which its answer may not show yet.
    ended_bytes: u64,
}

impl State {
    fn report(&self, space: Space) -> SpaceReport {
        SpaceReport {
            total_bytes: space.total_bytes,
            free_bytes: space.free_bytes,
            admitted_bytes: self.admitted_bytes + self.ended_bytes,
            reserve_bytes: reserve_bytes(space.total_bytes),
        }
    }

    fn last_report(&self) -> Option<SpaceReport> {
        self.probed.map(|(_, space)| self.report(space))
    }
}

impl Admission {
    pub(crate) fn new(probe: Arc<dyn SpaceProbe>, path: PathBuf) -> Self {
        Self { probe, path, state: Arc::default() }
    }

    /// Admits a body of `bytes` bytes, or refuses it with [`StoreError::StorageFull`].
    pub(crate) async fn admit(&self, bytes: u64) -> Result<Admitted, StoreError> {
        let report = self.report().await?;
        if report.free_bytes.saturating_sub(report.admitted_bytes) < report.reserve_bytes.saturating_add(bytes) {
            return Err(StoreError::StorageFull);
        }
        self.lock().admitted_bytes += bytes;
        Ok(Admitted { admission: self.clone(), bytes })
    }

    /// What the disk looks like, at most a moment ago.
    pub(crate) async fn report(&self) -> Result<SpaceReport, StoreError> {
        {
            let state = self.lock();
            let fresh = state.probed.filter(|(when, _)| when.elapsed() < PROBE_EVERY);
            if let Some((_, space)) = fresh {
                return Ok(state.report(space));
            }
        }
        let (probe, path) = (self.probe.clone(), self.path.clone());
        let probed = tokio::task::spawn_blocking(move || probe.space(&path)).await;
        let space = probed
            .map_err(|stopped| StoreError::internal(format!("asking for free space stopped: {stopped}")))?
            .map_err(|error| StoreError::io("ask for free space", error))?;
        let mut state = self.lock();
        state.probed = Some((Instant::now(), space));
        state.ended_bytes = 0;
        Ok(state.report(space))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for a body; given back when dropped.
pub(crate) struct Admitted {
    admission: Admission,
    bytes: u64,
}

impl Admitted {
    /// Makes the room at least `bytes`: for a body whose length was not declared.
    pub(crate) fn cover(&mut self, bytes: u64) -> Result<(), StoreError> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        let mut state = self.admission.lock();
        if state.last_report().is_some_and(|report| report.is_full()) {
            return Err(StoreError::StorageFull);
        }
        state.admitted_bytes += more;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.admitted_bytes = state.admitted_bytes.saturating_sub(self.bytes);
        state.ended_bytes += self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    struct Fixed(Space);

    impl SpaceProbe for Fixed {
        fn space(&self, _: &Path) -> std::io::Result<Space> {
            Ok(self.0)
        }
    }

    fn admission(total_bytes: u64, free_bytes: u64) -> Admission {
        Admission::new(Arc::new(Fixed(Space { total_bytes, free_bytes })), PathBuf::new())
    }

    #[test]
    fn the_reserve_is_one_gib_or_two_percent_and_at_most_a_tenth() {
        assert_eq!(reserve_bytes(20 * GIB), GIB);
        assert_eq!(reserve_bytes(100 * GIB), 2 * GIB);
        assert_eq!(reserve_bytes(640), 64);
    }

    #[tokio::test]
    async fn a_body_is_refused_when_it_would_eat_into_the_reserve() {
        let admission = admission(1000, 300);
        let first = admission.admit(150).await.unwrap();
        assert!(matches!(admission.admit(60).await, Err(StoreError::StorageFull)));
        let second = admission.admit(50).await.unwrap();
        assert!(!admission.report().await.unwrap().is_full());
        drop((first, second));
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_refused_once_the_disk_is_full() {
        let admission = admission(1000, 150);
        let mut body = admission.admit(0).await.unwrap();
        body.cover(40).unwrap();
        body.cover(60).unwrap();
        assert!(matches!(body.cover(61), Err(StoreError::StorageFull)));
    }
}
