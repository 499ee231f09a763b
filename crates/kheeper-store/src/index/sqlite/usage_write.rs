//! Metering: traffic into its hour, deltas folded into byte-seconds.

use std::collections::BTreeMap;

use rusqlite::params;

use super::batch::{Batch, ChangeError};
use super::rows::{int, uint};
use super::usage_read::{HOUR_SECS, read_ledger};
use crate::index::{Ledger, Outcome, TrafficDelta, UsageChange};

/// Deltas of one fold. What is left over is folded by the next.
const DELTAS_PER_FOLD: i64 = 100_000;

impl Batch<'_> {
    pub(super) fn change_usage(&mut self, change: UsageChange) -> Result<Outcome, ChangeError> {
        match change {
            UsageChange::Traffic(deltas) => deltas.iter().try_for_each(|delta| self.add_traffic(delta))?,
            UsageChange::Fold(lease) => {
                self.check_lease(lease)?;
                self.fold()?;
            }
            // The batch notes its time, and that is all.
            UsageChange::Heartbeat => {}
        }
        Ok(Outcome::Done)
    }

    fn add_traffic(&self, delta: &TrafficDelta) -> Result<(), ChangeError> {
        let traffic = delta.traffic;
        // A namespace that is not there any more has nobody to charge.
        self.connection
            .prepare_cached(
                "INSERT INTO usage_hour (namespace_no, hour, ingress_bytes, egress_bytes, write_requests, read_requests,
                                         list_requests, delete_requests)
                 SELECT namespace_no, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM namespace WHERE namespace_id = ?1
                 ON CONFLICT DO UPDATE SET
                     ingress_bytes = ingress_bytes + excluded.ingress_bytes,
                     egress_bytes = egress_bytes + excluded.egress_bytes,
                     write_requests = write_requests + excluded.write_requests,
                     read_requests = read_requests + excluded.read_requests,
                     list_requests = list_requests + excluded.list_requests,
                     delete_requests = delete_requests + excluded.delete_requests",
            )?
            .execute(params![
                delta.namespace.as_str(),
                self.now.as_secs().div_euclid(HOUR_SECS),
                int(traffic.ingress_bytes),
                int(traffic.egress_bytes),
                int(traffic.write_requests),
                int(traffic.read_requests),
                int(traffic.list_requests),
                int(traffic.delete_requests),
            ])?;
        Ok(())
    }

    /// Folds deltas into their namespaces' ledgers, and what was stored until each into byte-seconds.
    ///
    /// A namespace without deltas is not touched: what it goes on costing follows from its row.
    fn fold(&self) -> Result<(), ChangeError> {
        let deltas: Vec<(i64, i64, i64, Ledger)> = self
            .connection
            .prepare_cached(
                "SELECT delta_no, namespace_no, at_secs, objects, current_bytes, hidden_bytes, uploading_bytes
                 FROM usage_delta ORDER BY delta_no LIMIT ?1",
            )?
            .query_map([DELTAS_PER_FOLD], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, read_ledger(row, 3)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let Some((last, ..)) = deltas.last().copied() else { return Ok(()) };
        let mut by_namespace: BTreeMap<i64, Vec<(i64, Ledger)>> = BTreeMap::new();
        for (_, namespace_no, at_secs, delta) in deltas {
            by_namespace.entry(namespace_no).or_default().push((at_secs, delta));
        }
        for (namespace_no, deltas) in by_namespace {
            self.fold_namespace(namespace_no, deltas)?;
        }
        self.connection.prepare_cached("DELETE FROM usage_delta WHERE delta_no <= ?1")?.execute([last])?;
        Ok(())
    }

    fn fold_namespace(&self, namespace_no: i64, deltas: Vec<(i64, Ledger)>) -> Result<(), ChangeError> {
        let (mut ledger, mut folded_secs) = self
            .connection
            .prepare_cached(
                "SELECT objects, current_bytes, hidden_bytes, uploading_bytes, folded_secs FROM namespace
                 WHERE namespace_no = ?1",
            )?
            .query_row([namespace_no], |row| Ok((read_ledger(row, 0)?, row.get::<_, i64>(4)?)))?;
        let mut hours = BTreeMap::new();
        for (at_secs, delta) in deltas {
            add_byte_seconds(&mut hours, ledger, folded_secs, at_secs);
            // A clock that went back costs nothing and is caught up with.
            folded_secs = folded_secs.max(at_secs);
            ledger += delta;
        }
        for (hour, byte_seconds) in hours {
            self.connection
                .prepare_cached(
                    "INSERT INTO usage_hour (namespace_no, hour, byte_seconds) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET byte_seconds = byte_seconds + excluded.byte_seconds",
                )?
                .execute(params![namespace_no, hour, byte_seconds])?;
        }
        self.connection
            .prepare_cached(
                "UPDATE namespace SET objects = ?2, current_bytes = ?3, hidden_bytes = ?4, uploading_bytes = ?5,
                                      folded_secs = ?6 WHERE namespace_no = ?1",
            )?
            .execute(params![
                namespace_no,
                ledger.objects,
                ledger.current_bytes,
                ledger.hidden_bytes,
                ledger.uploading_bytes,
                folded_secs
            ])?;
        Ok(())
    }
}

/// Splits what `ledger` stores from one second to another over the hours between.
fn add_byte_seconds(hours: &mut BTreeMap<i64, i64>, ledger: Ledger, from_secs: i64, to_secs: i64) {
    let stored = int(uint(ledger.stored_bytes()));
    let mut at = from_secs;
    while stored > 0 && at < to_secs {
        let hour = at.div_euclid(HOUR_SECS);
        let until = to_secs.min((hour + 1) * HOUR_SECS);
        let sum = hours.entry(hour).or_default();
        *sum = sum.saturating_add(stored.saturating_mul(until - at));
        at = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_seconds_are_split_at_the_hour() {
        let mut hours = BTreeMap::new();
        let ledger = Ledger { current_bytes: 7, hidden_bytes: 2, uploading_bytes: 1, objects: 3 };
        add_byte_seconds(&mut hours, ledger, 3599, 7201);
        assert_eq!(hours, BTreeMap::from([(0, 10), (1, 36_000), (2, 10)]));
        add_byte_seconds(&mut hours, ledger, 100, 50);
        assert_eq!(hours[&0], 10);
    }
}
