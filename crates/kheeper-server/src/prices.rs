//! The operator's price list, and what a month's usage costs by it.

use std::path::Path;

use anyhow::{Context as _, ensure};
use kheeper_model::api::{Cost, UsageRecord};
use kheeper_model::limits::GIB;
use serde::Deserialize;

/// A price list (TOML). What is not named costs nothing; unknown names are refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceList {
    /// The currency, for people to read: `EUR`.
    currency: String,
    /// For one GiB kept for one month of 730 hours.
    #[serde(default)]
    gib_month: f64,
    /// For one GiB received.
    #[serde(default)]
    ingress_gib: f64,
    /// For one GiB sent.
    #[serde(default)]
    egress_gib: f64,
    /// For a thousand requests that write.
    #[serde(default)]
    write_requests_1000: f64,
    /// For a thousand requests that read.
    #[serde(default)]
    read_requests_1000: f64,
    /// For a thousand requests that list.
    #[serde(default)]
    list_requests_1000: f64,
    /// For a thousand requests that delete.
    #[serde(default)]
    delete_requests_1000: f64,
}

impl PriceList {
    /// Reads a price list; fails on unknown names and on prices that are negative or no number.
    pub(crate) fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("the price list {} is not usable", file.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let list: Self = toml::from_str(text)?;
        let prices = [
            ("gib_month", list.gib_month),
            ("ingress_gib", list.ingress_gib),
            ("egress_gib", list.egress_gib),
            ("write_requests_1000", list.write_requests_1000),
            ("read_requests_1000", list.read_requests_1000),
            ("list_requests_1000", list.list_requests_1000),
            ("delete_requests_1000", list.delete_requests_1000),
        ];
        for (name, price) in prices {
            ensure!(price.is_finite() && price >= 0.0, "{name} must be a number that is not negative");
        }
        Ok(list)
    }

    /// What `usage` costs. Nothing is rounded: the reader rounds for display.
    #[expect(clippy::cast_precision_loss, reason = "a price is a float, and 2⁵³ bytes are far above a host's month")]
    pub(crate) fn cost(&self, usage: &UsageRecord) -> Cost {
        let gib = |bytes: u64| bytes as f64 / GIB as f64;
        let thousands = |count: u64| count as f64 / 1000.0;
        let storage = usage.gib_months * self.gib_month;
        let traffic = gib(usage.ingress_bytes) * self.ingress_gib + gib(usage.egress_bytes) * self.egress_gib;
        let requests = thousands(usage.write_requests) * self.write_requests_1000
            + thousands(usage.read_requests) * self.read_requests_1000
            + thousands(usage.list_requests) * self.list_requests_1000
            + thousands(usage.delete_requests) * self.delete_requests_1000;
        Cost { currency: self.currency.clone(), storage, traffic, requests, total: storage + traffic + requests }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_costs_what_the_list_says() {
        let list =
            PriceList::parse("currency = \"EUR\"\ngib_month = 0.02\negress_gib = 0.5\nwrite_requests_1000 = 0.01")
                .expect("a price list");
        let usage = UsageRecord {
            org: "myorg".parse().expect("a name"),
            host: "web-01".parse().expect("a name"),
            month: "2026-11".to_owned(),
            current_bytes: 0,
            hidden_bytes: 0,
            uploading_bytes: 0,
            byte_seconds: 0,
            gib_months: 100.0,
            ingress_bytes: 7 * GIB,
            egress_bytes: 4 * GIB,
            write_requests: 2000,
            read_requests: 9,
            list_requests: 9,
            delete_requests: 9,
            cost: None,
        };
        let cost = list.cost(&usage);
        assert!((cost.storage - 2.0).abs() < 1e-9, "{cost:?}");
        assert!((cost.traffic - 2.0).abs() < 1e-9, "{cost:?}");
        assert!((cost.requests - 0.02).abs() < 1e-9, "{cost:?}");
        assert!((cost.total - 4.02).abs() < 1e-9, "{cost:?}");
    }

    #[test]
    fn a_list_with_an_unknown_name_or_a_negative_price_is_refused() {
        assert!(PriceList::parse("currency = \"EUR\"\ngib_moth = 1").is_err());
        assert!(PriceList::parse("currency = \"EUR\"\ngib_month = -1").is_err());
        assert!(PriceList::parse("currency = \"EUR\"\ngib_month = nan").is_err());
        assert!(PriceList::parse("gib_month = 1").is_err(), "a price without a currency");
    }
}
