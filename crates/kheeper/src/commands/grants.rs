//! `kheeper grants create | list | delete`: one host may read another for a time.

use clap::{ArgAction, Args, Subcommand};
use kheeper_model::api::{GrantCreate, GrantRecord};
use kheeper_model::limits::GRANT_WARN_SECS;
use kheeper_model::{GrantId, HostName, Namespace, OrgName, Timestamp};

use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::duration;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output::{self, Columns, Format};

/// `kheeper grants …`.
#[derive(Debug, Subcommand)]
pub(crate) enum GrantsCommand {
    /// Let a host read the backups of another of the same org, for a time.
    Create(GrantsCreateArgs),
    /// List the grants that have not ended: of your orgs, or those that concern this host.
    List {
        /// Of this org only.
        #[arg(long, value_name = "ORG")]
        org: Option<OrgName>,
    },
    /// End a grant before its time.
    Delete {
        /// The grant, as `grants list` names it.
        id: GrantId,
    },
}

/// Flags of `kheeper grants create`.
#[derive(Debug, Args)]
pub(crate) struct GrantsCreateArgs {
    /// Whose backups.
    #[arg(value_name = "ORG/HOST")]
    host: Namespace,
    /// The host that may read them, of the same org: HOST or ORG/HOST.
    #[arg(long, value_name = "HOST")]
    to: String,
    /// What it may do. There is nothing but reading, and it has to be said.
    #[arg(long, required = true, action = ArgAction::SetTrue)]
    read: bool,
    /// For how long, for instance 24h; thirty days at most.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse_secs)]
    secs: u64,
}

/// Runs `kheeper grants …`.
pub(crate) async fn run(command: GrantsCommand, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = ControlClient::for_context(global)?;
    match command {
        GrantsCommand::Create(args) => create(args, &client, global.format()).await?,
        GrantsCommand::List { org } => {
            let query = org.map(|org| format!("?org={org}")).unwrap_or_default();
            let answer = client.get::<Vec<GrantRecord>>(&format!("/grants{query}")).await?;
            print(&answer.value, answer.server_time, global.format())?;
        }
        GrantsCommand::Delete { id } => {
            let grants: Vec<GrantRecord> = client.get("/grants").await?.value;
            let missing = || Failure::new(ExitCode::NotFound, format!("there is no grant {id}, or it has ended"));
            let org = grants.into_iter().find(|grant| grant.id == id).ok_or_else(missing)?.org;
            let grant: GrantRecord = client.delete(&format!("/grants/{org}/{id}")).await?.value;
            if global.format() == Format::Json {
                output::print_json(&grant)?;
            }
            output::say(format_args!("{} reads {}/{} no longer, within 5 s", grant.to, grant.org, grant.host));
        }
    }
    Ok(ExitCode::Success)
}

async fn create(args: GrantsCreateArgs, client: &ControlClient, format: Format) -> anyhow::Result<()> {
    let Namespace { org, host } = args.host;
    let to = grantee(&args.to, &org)?;
    let request = GrantCreate { org, host, to, secs: args.secs };
    let answer = client.post::<_, GrantRecord>("/grants", &request).await?;
    let grant = &answer.value;
    match format {
        Format::Json => output::print_json(grant)?,
        Format::Table => output::print(&table(std::slice::from_ref(grant), answer.server_time))?,
    }
    output::say(format_args!(
        "on {}, through its own proxy: `kheeper walg --host {}/{} backup-fetch …`, or WALG_S3_PREFIX=s3://{}/{}",
        grant.to, grant.org, grant.host, grant.org, grant.host
    ));
    output::say(format_args!("a recovery that the grant's end interrupts stops, and can go on with another grant"));
    Ok(())
}

/// `web-02` or `myorg/web-02`, which must then be the same org.
fn grantee(text: &str, org: &OrgName) -> Result<HostName, Failure> {
    let wrong = |error: String| Failure::usage(format!("--to {text}: {error}"));
    if !text.contains('/') {
        return text.parse().map_err(|error: kheeper_model::NameError| wrong(error.to_string()));
    }
    let named: Namespace =
        text.parse().map_err(|error: kheeper_model::namespace::NamespaceError| wrong(error.to_string()))?;
    if named.org == *org { Ok(named.host) } else { Err(wrong(format!("a grant stays within one org, here {org}"))) }
}

fn print(grants: &[GrantRecord], now: Timestamp, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::print_json(&grants),
        Format::Table => output::print(&table(grants, now)),
    }
}

fn table(grants: &[GrantRecord], now: Timestamp) -> String {
    let mut columns = Columns::new(&["GRANT", "READER", "MAY READ", ">FOR ANOTHER", "ENDS"]);
    for grant in grants {
        columns.row([
            grant.id.to_string(),
            format!("{}/{}", grant.org, grant.to),
            format!("{}/{}", grant.org, grant.host),
            output::duration(secs_left(grant, now)),
            grant.ends_at.to_string(),
        ]);
    }
    columns.render()
}

/// A grant in one line, for `kheeper status`.
pub(super) fn line(grant: &GrantRecord, now: Timestamp) -> String {
    let left = secs_left(grant, now);
    let soon = if left < GRANT_WARN_SECS { ": soon" } else { "" };
    let GrantRecord { org, host, to, .. } = grant;
    format!("{to} may read {org}/{host} for another {}{soon}", output::duration(left))
}

/// Whether its end is near enough to be warned of.
pub(super) fn ends_soon(grant: &GrantRecord, now: Timestamp) -> bool {
    secs_left(grant, now) < GRANT_WARN_SECS
}

fn secs_left(grant: &GrantRecord, now: Timestamp) -> u64 {
    u64::try_from(grant.ends_at.as_secs() - now.as_secs()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_is_named_with_or_without_the_org_and_never_of_another() {
        let org: OrgName = "myorg".parse().unwrap();
        assert_eq!(grantee("web-02", &org).unwrap().as_str(), "web-02");
        assert_eq!(grantee("myorg/web-02", &org).unwrap().as_str(), "web-02");
        assert!(grantee("other/web-02", &org).unwrap_err().to_string().contains("within one org"));
        assert!(grantee("Web", &org).is_err());
    }
}
