//! `kheeper usage`: what is stored and moved, per host and month, and what it costs.

use clap::Args;
use kheeper_model::OrgName;
use kheeper_model::api::{Cost, UsageRecord};

use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output::{self, Columns, Format};

/// Flags of `kheeper usage`.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// Of this org only.
    #[arg(long, value_name = "ORG")]
    org: Option<OrgName>,
    /// Of this host only: ORG/HOST, or HOST with --org.
    #[arg(long, value_name = "ORG/HOST")]
    host: Option<String>,
    /// Of this month (UTC) instead of the present one.
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
    month: Option<String>,
}

/// Prints usage.
pub(crate) async fn run(args: UsageArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let query = args.query()?;
    let client = ControlClient::for_context(global)?;
    let records: Vec<UsageRecord> = client.get(&format!("/usage{query}")).await?.value;
    match global.format() {
        Format::Json => output::print_json(&records)?,
        Format::Table => output::print(&table(&records))?,
    }
    Ok(ExitCode::Success)
}

impl UsageArgs {
    /// The query string: names and a month, which need no escaping.
    fn query(&self) -> Result<String, Failure> {
        let host = self.host.as_deref().map(|host| self.namespace(host)).transpose()?;
        let org = host.as_ref().map(|host| &host.org).or(self.org.as_ref());
        let pairs = [
            org.map(|org| format!("org={org}")),
            host.as_ref().map(|host| format!("host={}", host.host)),
            self.month.as_ref().map(|month| format!("month={month}")),
        ];
        let pairs: Vec<String> = pairs.into_iter().flatten().collect();
        Ok(if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) })
    }

    fn namespace(&self, host: &str) -> Result<kheeper_model::Namespace, Failure> {
        let text = match &self.org {
            Some(org) if !host.contains('/') => format!("{org}/{host}"),
            _ => host.to_owned(),
        };
        let namespace: kheeper_model::Namespace =
            text.parse().map_err(|error| Failure::usage(format!("--host {host}: {error}")))?;
        match &self.org {
            Some(org) if *org != namespace.org => Err(Failure::usage(format!("--host {host} is not of --org {org}"))),
            _ => Ok(namespace),
        }
    }
}

fn parse_month(text: &str) -> Result<String, String> {
    let well_formed = text.len() == 7 && format!("{text}-01").parse::<jiff::civil::Date>().is_ok();
    if well_formed { Ok(text.to_owned()) } else { Err("expected a month, for instance 2026-11".to_owned()) }
}

fn table(records: &[UsageRecord]) -> String {
    let priced = records.iter().any(|record| record.cost.is_some());
    let mut headings = vec![
        "HOST",
        "MONTH",
        ">CURRENT",
        ">HIDDEN",
        ">UPLOADING",
        ">GIB-MONTHS",
        ">IN",
        ">OUT",
        ">WRITES",
        ">READS",
        ">LISTS",
        ">DELETES",
    ];
    if priced {
        headings.push(">COST");
    }
    let mut columns = Columns::new(&headings);
    for record in records {
        let host = format!("{}/{}", record.org, record.host);
        columns.row(row(host, record.month.clone(), record, priced));
    }
    if records.len() > 1 {
        let sum = records.iter().skip(1).fold(records[0].clone(), |sum, record| add(&sum, record));
        columns.row(row("total".to_owned(), String::new(), &sum, priced));
    }
    columns.render()
}

fn row(host: String, month: String, record: &UsageRecord, priced: bool) -> Vec<String> {
    let mut cells = vec![
        host,
        month,
        output::bytes(record.current_bytes),
        output::bytes(record.hidden_bytes),
        output::bytes(record.uploading_bytes),
        format!("{:.3}", record.gib_months),
        output::bytes(record.ingress_bytes),
        output::bytes(record.egress_bytes),
        record.write_requests.to_string(),
        record.read_requests.to_string(),
        record.list_requests.to_string(),
        record.delete_requests.to_string(),
    ];
    if priced {
        let cost = record.cost.as_ref();
        cells.push(cost.map(|cost| format!("{:.2} {}", cost.total, cost.currency)).unwrap_or_default());
    }
    cells
}

fn add(a: &UsageRecord, b: &UsageRecord) -> UsageRecord {
    UsageRecord {
        org: a.org.clone(),
        host: a.host.clone(),
        month: a.month.clone(),
        current_bytes: a.current_bytes + b.current_bytes,
        hidden_bytes: a.hidden_bytes + b.hidden_bytes,
        uploading_bytes: a.uploading_bytes + b.uploading_bytes,
        byte_seconds: a.byte_seconds + b.byte_seconds,
        gib_months: a.gib_months + b.gib_months,
        ingress_bytes: a.ingress_bytes + b.ingress_bytes,
        egress_bytes: a.egress_bytes + b.egress_bytes,
        write_requests: a.write_requests + b.write_requests,
        read_requests: a.read_requests + b.read_requests,
        list_requests: a.list_requests + b.list_requests,
        delete_requests: a.delete_requests + b.delete_requests,
        cost: match (&a.cost, &b.cost) {
            (Some(a), Some(b)) => Some(add_cost(a, b)),
            (one, other) => one.clone().or_else(|| other.clone()),
        },
    }
}

fn add_cost(a: &Cost, b: &Cost) -> Cost {
    Cost {
        currency: a.currency.clone(),
        storage: a.storage + b.storage,
        traffic: a.traffic + b.traffic,
        requests: a.requests + b.requests,
        total: a.total + b.total,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(host: &str) -> UsageRecord {
        UsageRecord {
            org: "myorg".parse().unwrap(),
            host: host.parse().unwrap(),
            month: "2026-11".to_owned(),
            current_bytes: 1 << 30,
            hidden_bytes: 1 << 20,
            uploading_bytes: 0,
            byte_seconds: 2_628_000 << 30,
            gib_months: 1.0,
            ingress_bytes: 5 << 20,
            egress_bytes: 0,
            write_requests: 7,
            read_requests: 3,
            list_requests: 2,
            delete_requests: 1,
            cost: Some(Cost { currency: "EUR".to_owned(), storage: 0.01, traffic: 0.0, requests: 0.0, total: 0.01 }),
        }
    }

    #[test]
    fn the_table_ends_with_the_sum() {
        let text = table(&[usage("web-01"), usage("web-02")]);
        let last = text.lines().last().unwrap();
        let words: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "total", "2.0", "GiB", "2.0", "MiB", "0", "B", "2.000", "10.0", "MiB", "0", "B", "14", "6", "4", "2",
                "0.02", "EUR"
            ]
        );
    }

    #[test]
    fn without_a_price_list_there_is_no_cost_column() {
        let text = table(&[UsageRecord { cost: None, ..usage("web-01") }]);
        assert!(!text.contains("COST"), "{text}");
        assert_eq!(text.lines().count(), 2, "one host needs no total");
    }

    #[test]
    fn a_host_is_named_in_full_or_within_the_org() {
        let args = |org: Option<&str>, host: &str| UsageArgs {
            org: org.map(|org| org.parse().unwrap()),
            host: Some(host.to_owned()),
            month: Some("2026-11".to_owned()),
        };
        assert_eq!(args(None, "myorg/web-01").query().unwrap(), "?org=myorg&host=web-01&month=2026-11");
        assert_eq!(args(Some("myorg"), "web-01").query().unwrap(), "?org=myorg&host=web-01&month=2026-11");
        assert!(args(None, "web-01").query().is_err());
        assert!(args(Some("other"), "myorg/web-01").query().is_err());
    }

    #[test]
    fn months_are_months() {
        assert!(parse_month("2026-11").is_ok());
        for text in ["2026-13", "2026", "2026-1", "2026-11-01", "x&org=y"] {
            assert!(parse_month(text).is_err(), "{text}");
        }
    }
}
