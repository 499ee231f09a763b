//! `kheeper orgs create | list`.

use clap::Subcommand;
use kheeper_model::api::{OrgCreate, OrgRecord};
use kheeper_model::{OrgName, UserId};

use super::members::{self, MembersCommand};
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
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
    let mut columns = Columns::new(&["ORG", ">HOSTS", "CREATED", "OWNERS"]);
    for org in orgs {
        let owners: Vec<&str> = org.owners.iter().map(UserId::as_str).collect();
        columns.row([org.name.to_string(), org.host_count.to_string(), org.created_at.to_string(), owners.join(" ")]);
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
