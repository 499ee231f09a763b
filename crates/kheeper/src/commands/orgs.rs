//! `kheeper orgs create | list | set | members`.

use clap::Subcommand;
use kheeper_model::api::{OrgCreate, OrgRecord, OrgSettings};
use kheeper_model::{OrgName, UserId};

use super::hosts_set;
use super::members::{self, MembersCommand};
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::duration;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output::{self, Columns, Format};

/// `kheeper orgs …`.
#[derive(Debug, Subcommand)]
pub(crate) enum OrgsCommand {
    /// Make an org, which you then own.
    Create {
        /// Its name, which is its bucket's name.
        name: OrgName,
    },
    /// List the orgs that you own or audit.
    List,
    /// Change what holds for all hosts of an org.
    Set {
        /// The org.
        org: OrgName,
        /// Keep what is overwritten or deleted for so long, for instance 30d, on every host but those with a time of their own
        /// (`hosts set`). A shorter time counts once the longer one before it has passed; 0 keeps nothing.
        #[arg(long, value_name = "TIME", value_parser = duration::parse_secs)]
        retention: u64,
    },
    /// Who owns an org, and who audits it.
    #[command(subcommand)]
    Members(MembersCommand),
}

/// Runs `kheeper orgs …`.
pub(crate) async fn run(command: OrgsCommand, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = ControlClient::for_context(global)?;
    match command {
        OrgsCommand::Create { name } => {
            let org: OrgRecord = client.post("/orgs", &OrgCreate { name }).await?.value;
            match global.format() {
                Format::Json => output::print_json(&org)?,
                Format::Table => output::print(&table(std::slice::from_ref(&org)))?,
            }
            output::say(format_args!("next: `kheeper hosts create {}/HOST` makes the join token of a host", org.name));
        }
        OrgsCommand::Set { org, retention } => {
            let settings = OrgSettings { retention_secs: Some(retention) };
            let org: OrgRecord = client.post(&format!("/orgs/{org}/set"), &settings).await?.value;
            match global.format() {
                Format::Json => output::print_json(&org)?,
                Format::Table => output::print(&table(std::slice::from_ref(&org)))?,
            }
            if retention == 0 {
                output::say(format_args!("{}: {}", org.name, hosts_set::NOTHING_KEPT));
            }
            output::say(format_args!("`kheeper hosts get {}/HOST` shows from when on it counts for a host", org.name));
        }
        OrgsCommand::Members(command) => return members::run(command, &client, global.format()).await,
        OrgsCommand::List => {
            let orgs: Vec<OrgRecord> = client.get("/orgs").await?.value;
            match global.format() {
                Format::Json => output::print_json(&orgs)?,
                Format::Table => output::print(&table(&orgs))?,
            }
        }
    }
    Ok(ExitCode::Success)
}

fn table(orgs: &[OrgRecord]) -> String {
    let mut columns = Columns::new(&["ORG", ">HOSTS", ">RETENTION", "CREATED", "OWNERS"]);
    for org in orgs {
        let owners: Vec<&str> = org.owners.iter().map(UserId::as_str).collect();
        let retention = org.retention_secs.map_or_else(|| "-".to_owned(), output::duration);
        columns.row([
            org.name.to_string(),
            org.host_count.to_string(),
            retention,
            org.created_at.to_string(),
            owners.join(" "),
        ]);
    }
    columns.render()
}

/// The org that was named, or the only one there is.
pub(super) async fn only_org(named: Option<OrgName>, client: &ControlClient) -> anyhow::Result<OrgName> {
    if let Some(org) = named {
        return Ok(org);
    }
    let orgs: Vec<OrgRecord> = client.get("/orgs").await?.value;
    match orgs.as_slice() {
        [only] => Ok(only.name.clone()),
        [] => Err(Failure::new(ExitCode::NotFound, "you have no org").into()),
        _ => Err(Failure::usage("you have several orgs: say which with --org").into()),
    }
}
