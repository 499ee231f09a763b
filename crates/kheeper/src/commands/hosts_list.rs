//! `kheeper hosts list [--stale 26h]`: silence must be visible.

use clap::Args;
use kheeper_model::api::{HostRecord, HostState};
use kheeper_model::{OrgName, Timestamp};

use super::hosts::state;
use super::hosts_set::warnings;
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::duration;
use crate::exit_code::ExitCode;
use crate::output::{self, Columns, Format};

/// Flags of `kheeper hosts list`.
#[derive(Debug, Args)]
pub(crate) struct HostsListArgs {
    /// Of this org only.
    #[arg(long, value_name = "ORG")]
    org: Option<OrgName>,
    /// Only the hosts whose last object, or last base backup, is older than this; status 3 if there is one.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_secs)]
    stale: Option<u64>,
}

/// Lists hosts.
pub(crate) async fn run(args: HostsListArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = ControlClient::for_context(global)?;
    let query = args.org.map(|org| format!("?org={org}")).unwrap_or_default();
    let answer = client.get::<Vec<HostRecord>>(&format!("/hosts{query}")).await?;
    // Ages are by the server's clock, which is also what wrote the times.
    let (mut hosts, now) = (answer.value, answer.server_time);
    let count = hosts.len();
    if let Some(limit_secs) = args.stale {
        hosts.retain(|host| is_stale(host, limit_secs, now));
    }
    match global.format() {
        Format::Json => output::print_json(&hosts)?,
        Format::Table if args.stale.is_some() && hosts.is_empty() => {}
        Format::Table => output::print(&table(&hosts, now))?,
    }
    for host in &hosts {
        for word in warnings(host) {
            output::say(format_args!("{}/{}: {word}", host.org, host.host));
        }
    }
    let Some(limit_secs) = args.stale else { return Ok(ExitCode::Success) };
    let (stale, limit) = (hosts.len(), output::duration(limit_secs));
    output::say(format_args!("{stale} of {count} hosts silent for more than {limit}"));
    Ok(if stale == 0 { ExitCode::Success } else { ExitCode::Stale })
}

/// Whether a host that should write has not done so for longer than `limit_secs`. One that has never written is counted
/// from its creation; base backups count for hosts that have made one.
fn is_stale(host: &HostRecord, limit_secs: u64, now: Timestamp) -> bool {
    if matches!(host.state, HostState::Disabled | HostState::Deleted) {
        return false;
    }
    let is_old = |time| output::age_secs(time, now) > limit_secs;
    is_old(host.last_object_at.unwrap_or(host.created_at)) || host.last_base_backup_at.is_some_and(is_old)
}

fn table(hosts: &[HostRecord], now: Timestamp) -> String {
    let headings = ["HOST", "STATE", ">OBJECTS", ">CURRENT", ">HIDDEN", ">LAST OBJECT", ">LAST BASE BACKUP"];
    let mut columns = Columns::new(&headings);
    for host in hosts {
        columns.row([
            format!("{}/{}", host.org, host.host),
            state(host),
            host.objects.to_string(),
            output::bytes(host.current_bytes),
            output::bytes(host.hidden_bytes),
            output::age(host.last_object_at, now),
            output::age(host.last_base_backup_at, now),
        ]);
    }
    columns.render()
}

#[cfg(test)]
mod tests {
    use kheeper_model::{HostId, NamespaceId};

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const HOUR: u64 = 3600;

    fn host(object_hours: Option<u64>, base_backup_hours: Option<u64>) -> HostRecord {
        let ago = |hours: u64| NOW.minus_secs(hours * HOUR);
        HostRecord {
            org: "myorg".parse().unwrap(),
            host: "web-01".parse().unwrap(),
            id: HostId::random(),
            namespace_id: NamespaceId::random(),
            state: HostState::Active,
            created_at: ago(1000),
            keys: Vec::new(),
            objects: 42,
            current_bytes: 3 << 30,
            hidden_bytes: 0,
            uploading_bytes: 0,
            last_object_at: object_hours.map(ago),
            last_base_backup_at: base_backup_hours.map(ago),
            retention_secs: Some(7 * 24 * HOUR),
            retention_in_force_secs: Some(7 * 24 * HOUR),
            history_since: None,
            quota_bytes: None,
            no_overwrite: false,
        }
    }

    #[test]
    fn silence_of_either_kind_is_stale() {
        let stale = |host: HostRecord| is_stale(&host, 26 * HOUR, NOW);
        assert!(!stale(host(Some(1), Some(25))));
        assert!(stale(host(Some(27), Some(25))));
        assert!(stale(host(Some(1), Some(27))));
        assert!(!stale(host(Some(1), None)), "a host without base backups is judged by its objects");
        assert!(stale(host(None, None)), "a host that never wrote is counted from its creation");
    }

    #[test]
    fn a_host_that_shall_not_write_is_not_stale() {
        for state in [HostState::Disabled, HostState::Deleted] {
            assert!(!is_stale(&HostRecord { state, ..host(None, None) }, HOUR, NOW));
        }
    }

    #[test]
    fn the_table_shows_ages() {
        assert_eq!(
            table(&[host(Some(3), Some(27))], NOW),
            "HOST          STATE   OBJECTS  CURRENT  HIDDEN  LAST OBJECT  LAST BASE BACKUP\n\
             myorg/web-01  active       42  3.0 GiB     0 B           3h             1d 3h\n"
        );
    }
}
