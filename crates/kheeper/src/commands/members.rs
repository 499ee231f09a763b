//! `kheeper orgs members list | invite | remove`: who owns an org, and who audits it.

use clap::{Subcommand, ValueEnum};
use kheeper_model::api::{MemberPut, MemberRecord, Role};
use kheeper_model::{OrgName, UserId};

use crate::control_client::ControlClient;
use crate::exit_code::ExitCode;
use crate::output::{self, Columns, Format};

/// `kheeper orgs members …`.
#[derive(Debug, Subcommand)]
pub(crate) enum MembersCommand {
    /// Who has a role in an org.
    List {
        /// The org.
        org: OrgName,
    },
    /// Give a person a role, or another than they have. They tell you their id: `kheeper status` shows it.
    Invite {
        /// The org.
        org: OrgName,
        /// Their id. The operator makes users: `kheeper-server users create`.
        user: UserId,
        /// owner: reads every backup and changes who there is. auditor: sees hosts, ages, sizes, usage and the audit log, and no object.
        #[arg(long)]
        role: RoleArg,
    },
    /// Take a person's role away. The last owner stays.
    Remove {
        /// The org.
        org: OrgName,
        /// Their id.
        user: UserId,
    },
}

/// A role, as typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    /// Reads every backup, and changes who there is.
    Owner,
    /// Sees how the org is doing, and no object.
    Auditor,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Owner => Self::Owner,
            RoleArg::Auditor => Self::Auditor,
        }
    }
}

/// Runs `kheeper orgs members …`.
pub(super) async fn run(command: MembersCommand, client: &ControlClient, format: Format) -> anyhow::Result<ExitCode> {
    let members: Vec<MemberRecord> = match command {
        MembersCommand::List { org } => client.get(&format!("/orgs/{org}/members")).await?.value,
        MembersCommand::Invite { org, user, role } => {
            client.put(&format!("/orgs/{org}/members/{user}"), &MemberPut { role: role.into() }).await?.value
        }
        MembersCommand::Remove { org, user } => client.delete(&format!("/orgs/{org}/members/{user}")).await?.value,
    };
    match format {
        Format::Json => output::print_json(&members)?,
        Format::Table => output::print(&table(&members))?,
    }
    Ok(ExitCode::Success)
}

fn table(members: &[MemberRecord]) -> String {
    let mut columns = Columns::new(&["USER", "NAME", "ROLE", "STATE"]);
    for member in members {
        let role = match member.role {
            Role::Owner => "owner",
            Role::Auditor => "auditor",
        };
        let state = if member.disabled { "disabled" } else { "active" };
        columns.row([member.user.to_string(), member.name.to_string(), role.to_owned(), state.to_owned()]);
    }
    columns.render()
}
