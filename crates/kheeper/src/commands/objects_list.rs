//! `kheeper objects list`: what there is, what there was, and what is still kept.

use clap::Args;
use kheeper_model::api::{HostRecord, ObjectRecord, ObjectsPage};
use kheeper_model::{Namespace, Timestamp};

use super::hosts;
use super::objects::{Prefix, hosts_of, query_value};
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::exit_code::ExitCode;
use crate::output::{self, Columns, Format};
use crate::when;

/// Flags of `kheeper objects list`.
#[derive(Debug, Args)]
pub(crate) struct ObjectsListArgs {
    /// As of this time, at least a minute ago: 2026-11-22T21:00:00Z, or "2h ago". For owners.
    #[arg(long, value_name = "TIME", value_parser = when::parse_flag)]
    at: Option<Timestamp>,
    /// All versions that are kept, overwritten and deleted ones too, with the times from and until which they were
    /// current. For owners.
    #[arg(long, conflicts_with = "at")]
    versions: bool,
    /// ORG, ORG/HOST or ORG/HOST/KEYS [default: every host that you may see].
    #[arg(value_name = "PREFIX")]
    prefix: Option<Prefix>,
}

/// Lists objects or versions.
pub(crate) async fn run(args: ObjectsListArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = ControlClient::for_context(global)?;
    let mut records: Vec<(Namespace, ObjectRecord)> = Vec::new();
    for (namespace, prefix) in hosts_of(&client, args.prefix.clone()).await? {
        if let Some(at) = args.at {
            warn_of_holes(&client, &namespace, at).await?;
        }
        let listed = list(&client, &namespace, &args.parameters(&prefix)).await?;
        records.extend(listed.into_iter().map(|record| (namespace.clone(), record)));
    }
    match global.format() {
        Format::Json => {
            let records: Vec<&ObjectRecord> = records.iter().map(|(_, record)| record).collect();
            output::print_json(&records)?;
        }
        Format::Table => output::print(&table(&records, args.versions))?,
    }
    Ok(ExitCode::Success)
}

/// Says so where versions were purged that were there at the time.
pub(super) async fn warn_of_holes(client: &ControlClient, host: &Namespace, at: Timestamp) -> anyhow::Result<()> {
    let record: HostRecord = client.get(&hosts::path(host)).await?.value;
    if let Some(since) = record.history_since.filter(|since| at < *since) {
        output::say(format_args!(
            "warning: {host} is known whole since {since} only: of what was overwritten or deleted before, some is purged, \
             and missing as of {at}"
        ));
    }
    Ok(())
}

impl ObjectsListArgs {
    fn parameters(&self, prefix: &str) -> String {
        let mut parameters = format!("prefix={}", query_value(prefix));
        if let Some(at) = self.at {
            parameters.push_str(&format!("&at={}", at.as_millis()));
        }
        if self.versions {
            parameters.push_str("&versions=true");
        }
        parameters
    }
}

/// All pages of a listing.
async fn list(client: &ControlClient, host: &Namespace, parameters: &str) -> anyhow::Result<Vec<ObjectRecord>> {
    let path = format!("{}/objects?{parameters}", hosts::path(host));
    let (mut records, mut after) = (Vec::new(), String::new());
    loop {
        let page: ObjectsPage = client.get(&format!("{path}{after}")).await?.value;
        records.extend(page.objects);
        match page.next {
            Some(next) => after = format!("&after={}", query_value(&next)),
            None => return Ok(records),
        }
    }
}

fn table(records: &[(Namespace, ObjectRecord)], versions: bool) -> String {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    let name = |host: &Namespace, record: &ObjectRecord| format!("{}/{}", host.org, record.key);
    if !versions {
        let mut columns = Columns::new(&["LAST MODIFIED", ">BYTES", "OBJECT"]);
        for (host, record) in records {
            columns.row([record.last_modified.to_string(), record.bytes.to_string(), name(host, record)]);
        }
        return columns.render();
    }
    let mut columns = Columns::new(&["CURRENT FROM", "UNTIL", "KEPT UNTIL", ">BYTES", "OBJECT"]);
    for (host, record) in records {
        columns.row([
            time(record.committed_at),
            time(record.hidden_at),
            time(record.kept_until),
            record.bytes.to_string(),
            name(host, record),
        ]);
    }
    columns.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(hidden_at: Option<Timestamp>) -> (Namespace, ObjectRecord) {
        let record = ObjectRecord {
            key: "web-01/a".to_owned(),
            bytes: 7,
            etag: "e".to_owned(),
            last_modified: Timestamp(0),
            committed_at: Some(Timestamp(1000)),
            hidden_at,
            kept_until: hidden_at.map(|at| at.plus_secs(60)),
        };
        ("myorg/web-01".parse().unwrap(), record)
    }

    #[test]
    fn versions_show_from_when_to_when_they_were_current() {
        assert_eq!(
            table(&[version(Some(Timestamp(2000))), version(None)], true),
            "CURRENT FROM              UNTIL                     KEPT UNTIL                BYTES  OBJECT\n\
             1970-01-01T00:00:01.000Z  1970-01-01T00:00:02.000Z  1970-01-01T00:01:02.000Z      7  myorg/web-01/a\n\
             1970-01-01T00:00:01.000Z                                                          7  myorg/web-01/a\n"
        );
    }

    #[test]
    fn a_key_is_quoted_in_the_query() {
        let args = ObjectsListArgs { at: Some(Timestamp(5)), versions: false, prefix: None };
        assert_eq!(args.parameters("a b&x=1"), "prefix=a%20b%26x%3D1&at=5");
    }
}
