//! Metering: what is stored, in byte-seconds, and what was transferred and asked for.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use kheeper_model::api::UsageRecord;
use kheeper_model::{HostName, NamespaceId, OrgName, Timestamp};

use crate::error::StoreError;
use crate::high_water;
use crate::index::{Change, LeaseName, TrafficDelta, UsageChange};
use crate::store::Store;

/// Traffic of one namespace: payload bytes, and requests by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Payload bytes received.
    pub ingress_bytes: u64,
    /// Payload bytes sent.
    pub egress_bytes: u64,
    /// Requests that write.
    pub write_requests: u64,
    /// Requests that read.
    pub read_requests: u64,
    /// Requests that list.
    pub list_requests: u64,
    /// Requests that delete.
    pub delete_requests: u64,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.ingress_bytes += other.ingress_bytes;
        self.egress_bytes += other.egress_bytes;
        self.write_requests += other.write_requests;
        self.read_requests += other.read_requests;
        self.list_requests += other.list_requests;
        self.delete_requests += other.delete_requests;
    }
}

/// Traffic that is not in the index yet. A crash loses at most what gathered since the last flush.
#[derive(Debug, Default)]
pub(crate) struct TrafficBuffer(Mutex<HashMap<NamespaceId, Traffic>>);

impl TrafficBuffer {
    fn add(&self, namespace: &NamespaceId, traffic: Traffic) {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match buffer.get_mut(namespace) {
            Some(sum) => *sum += traffic,
            None => {
                buffer.insert(namespace.clone(), traffic);
            }
        }
    }

    fn take(&self) -> Vec<TrafficDelta> {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.drain().map(|(namespace, traffic)| TrafficDelta { namespace, traffic }).collect()
    }
}

impl Store {
    /// Counts traffic of a namespace. In memory: flushed every 10 s, by [`Self::flush_traffic`], and at close.
    pub fn record_traffic(&self, namespace: &NamespaceId, traffic: Traffic) {
        self.shared.traffic.add(namespace, traffic);
    }

    /// Writes the traffic that has gathered to the index.
    pub async fn flush_traffic(&self) -> Result<(), StoreError> {
        let deltas = self.shared.traffic.take();
        if deltas.is_empty() {
            return Ok(());
        }
        match self.commit(Change::Usage(UsageChange::Traffic(deltas.clone()))).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // Back into the buffer: counted late is better than lost, and a commit of unknown outcome is rare.
                for delta in deltas {
                    self.shared.traffic.add(&delta.namespace, delta.traffic);
                }
                Err(error)
            }
        }
    }

    /// Says that the clock goes on, so that an idle store is not taken for one whose clock jumped, and notes how far the
    /// store has come, so that an older index is known for one.
    pub async fn heartbeat(&self) -> Result<(), StoreError> {
        self.commit(Change::Usage(UsageChange::Heartbeat)).await?;
        let reached = self.shared.index.sweep_state().await?.committed_high;
        let data_dir = self.shared.data_dir.clone();
        let noted = tokio::task::spawn_blocking(move || high_water::write(&data_dir, reached)).await;
        noted
            .map_err(|stopped| StoreError::internal(format!("noting the time stopped: {stopped}")))?
            .map_err(|error| StoreError::io("note how far the store has come", error))
    }

    /// Folds what was stored up to now into hours.
    pub async fn fold_usage(&self) -> Result<(), StoreError> {
        if let Some(lease) = self.take_lease(LeaseName::Fold).await? {
            self.commit(Change::Usage(UsageChange::Fold(lease))).await?;
        }
        Ok(())
    }

    /// What the hosts of an org, or one of them, used in a month; without one, in the present month. Up to this moment.
    pub async fn usage(
        &self,
        org: &OrgName,
        host: Option<&HostName>,
        month: Option<Month>,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        // What was used is still told when nothing can be written: without the last seconds, then.
        if let Err(error) = self.flush_traffic().await.and(self.fold_usage().await) {
            tracing::warn!(%error, "usage is told without the last seconds");
        }
        let month = month.unwrap_or_else(|| Month::of(self.now()));
        self.index().usage(org, host, month).await
    }
}

/// A month in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month a time lies in.
    pub fn of(time: Timestamp) -> Self {
        let date = jiff::Timestamp::from_millisecond(time.as_millis())
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        Self { year: date.year(), month: date.month() }
    }

    /// The first moment of the month.
    pub fn start(self) -> Timestamp {
        let start = jiff::civil::date(self.year, self.month, 1).to_zoned(jiff::tz::TimeZone::UTC);
        Timestamp(start.map_or(0, |start| start.timestamp().as_millisecond()))
    }

    /// The month after it.
    pub fn next(self) -> Self {
        if self.month == 12 { Self { year: self.year + 1, month: 1 } } else { Self { month: self.month + 1, ..self } }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// Not a month such as `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a month such as 2026-11")]
pub struct NotAMonth;

impl FromStr for Month {
    type Err = NotAMonth;

    fn from_str(text: &str) -> Result<Self, NotAMonth> {
        let (year, month) = text.split_once('-').ok_or(NotAMonth)?;
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(NotAMonth);
        }
        let (year, month) = (year.parse().map_err(|_| NotAMonth)?, month.parse().map_err(|_| NotAMonth)?);
        if (1970..=9998).contains(&year) && (1..=12).contains(&month) {
            Ok(Self { year, month })
        } else {
            Err(NotAMonth)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_parses_prints_and_goes_on_to_the_next() {
        let month: Month = "2026-12".parse().unwrap();
        assert_eq!(month.to_string(), "2026-12");
        assert_eq!(month.next().to_string(), "2027-01");
        assert_eq!(Month::of(month.start()), month);
        assert_eq!(month.start().to_string(), "2026-12-01T00:00:00.000Z");
        for wrong in ["2026-13", "2026-00", "2026", "26-01", "2026-1", "2026-011", "+026-01", ""] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }
}
