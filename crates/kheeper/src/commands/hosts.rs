//! `kheeper hosts …`: which file runs what, and the verbs that are one call each.

use clap::Subcommand;
use kheeper_model::Namespace;
use kheeper_model::api::{HostRecord, KeyState};

use super::block_on;
use super::hosts_create::{HostsCreateArgs, HostsRejoinArgs};
use super::hosts_delete::HostsDeleteArgs;
use super::hosts_join::HostsJoinArgs;
use super::hosts_list::HostsListArgs;
use super::hosts_me::HostsMeArgs;
use super::hosts_rotate_key::HostsRotateKeyArgs;
use super::hosts_set::HostsSetArgs;
use super::{hosts_create, hosts_delete, hosts_join, hosts_list, hosts_me, hosts_rotate_key, hosts_set, whose};
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output::{self, Format};

/// `kheeper hosts …`.
#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// Who this is; with --env, what backup tools need to use the proxy. Offline.
    Me(HostsMeArgs),
    /// The hosts of your orgs, and how old their backups are.
    List(HostsListArgs),
    /// One host: yours, or this one.
    Get(MaybeHostArgs),
    /// Make a host, and the one-time token with which it joins.
    Create(HostsCreateArgs),
    /// Become a host: run this on the machine itself, with its join token.
    Join(HostsJoinArgs),
    /// Let a host that lost its key (or itself) join again; it may only read until it says `hosts resume`.
    Rejoin(HostsRejoinArgs),
    /// After a restore: let a host that has rejoined write again.
    Resume(MaybeHostArgs),
    /// Refuse a host's keys until `hosts enable`; its backups stay.
    Disable(HostArgs),
    /// Take `hosts disable` back.
    Enable(HostArgs),
    /// End a host. Its backups stay readable to the owner for the retention time, and `hosts undelete` takes it back.
    Delete(HostsDeleteArgs),
    /// Take `hosts delete` back.
    Undelete(HostArgs),
    /// Revoke a host's keys, for ever; `hosts rejoin` gives it a new one.
    Revoke(HostArgs),
    /// Give this host a new key, while its backups go on.
    RotateKey(HostsRotateKeyArgs),
    /// Change how long a host's history is kept, how much it may store, and whether what is there stays.
    Set(HostsSetArgs),
}

/// A host that must be named.
#[derive(Debug, clap::Args)]
pub(crate) struct HostArgs {
    /// The host.
    #[arg(value_name = "ORG/HOST")]
    host: Namespace,
}

/// A host that is this one unless it is named.
#[derive(Debug, clap::Args)]
pub(crate) struct MaybeHostArgs {
    /// The host; in a host's own context, this one.
    #[arg(value_name = "ORG/HOST")]
    host: Option<Namespace>,
}

/// Runs `kheeper hosts …`.
pub(crate) fn run(command: HostsCommand, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    match command {
        HostsCommand::Me(args) => hosts_me::run(&args, global),
        HostsCommand::List(args) => block_on(hosts_list::run(args, global)),
        HostsCommand::Get(args) => block_on(get(args, global)),
        HostsCommand::Create(args) => block_on(hosts_create::run(args, global)),
        HostsCommand::Join(args) => block_on(hosts_join::run(args, global)),
        HostsCommand::Rejoin(args) => block_on(hosts_create::rejoin(args, global)),
        HostsCommand::Resume(args) => block_on(resume(args, global)),
        HostsCommand::Disable(args) => block_on(change(args.host, Verb::Disable, global)),
        HostsCommand::Enable(args) => block_on(change(args.host, Verb::Enable, global)),
        HostsCommand::Delete(args) => block_on(hosts_delete::run(args, global)),
        HostsCommand::Undelete(args) => block_on(change(args.host, Verb::Undelete, global)),
        HostsCommand::Revoke(args) => block_on(change(args.host, Verb::Revoke, global)),
        HostsCommand::RotateKey(args) => block_on(hosts_rotate_key::run(args, global)),
        HostsCommand::Set(args) => block_on(hosts_set::run(args, global)),
    }
}

async fn get(args: MaybeHostArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let host = args.or_this(global)?;
    let client = ControlClient::for_context(global)?;
    let record: HostRecord = client.get(&path(&host)).await?.value;
    print_host(&record, global.format())?;
    Ok(ExitCode::Success)
}

async fn resume(args: MaybeHostArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let host = args.or_this(global)?;
    whose::check_machine(&global.context()?.identity()?)?;
    change(host, Verb::Resume, global).await
}

/// A change that is one call, and what there is to say of it.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Resume,
    Disable,
    Enable,
    Undelete,
    Revoke,
}

impl Verb {
    fn path(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Undelete => "undelete",
            Self::Revoke => "revoke",
        }
    }

    fn outcome(self) -> &'static str {
        match self {
            Self::Resume => "may write again",
            Self::Disable => "is refused within 5 s; its backups stay",
            Self::Enable => "is admitted again within 5 s",
            Self::Undelete => "is back; if its key was revoked, `kheeper hosts rejoin` gives it a new one",
            Self::Revoke => "has no key any more, within 5 s; `kheeper hosts rejoin` gives it a new one",
        }
    }
}

async fn change(host: Namespace, verb: Verb, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = ControlClient::for_context(global)?;
    let record: HostRecord = client.post_empty(&format!("{}/{}", path(&host), verb.path())).await?.value;
    print_host(&record, global.format())?;
    output::say(format_args!("{host} {}", verb.outcome()));
    Ok(ExitCode::Success)
}

impl MaybeHostArgs {
    fn or_this(self, global: &GlobalArgs) -> anyhow::Result<Namespace> {
        if let Some(host) = self.host {
            return Ok(host);
        }
        let context = global.context()?;
        let own = context.identity()?.namespace().cloned();
        let unnamed = || Failure::usage(format!("context {} is a user's: name the host, ORG/HOST", context.name()));
        Ok(own.ok_or_else(unnamed)?)
    }
}

/// The path of a host in the control API.
pub(super) fn path(host: &Namespace) -> String {
    format!("/hosts/{}/{}", host.org, host.host)
}

/// A host's state as JSON names it: `read-only`.
pub(super) fn state(record: &HostRecord) -> String {
    let name = serde_json::to_value(record.state).ok();
    name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Prints one host.
pub(super) fn print_host(record: &HostRecord, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::print_json(record);
    }
    let time =
        |time: Option<_>| time.map_or_else(|| "never".to_owned(), |time: kheeper_model::Timestamp| time.to_string());
    let keys = record.keys.iter().filter(|key| key.state != KeyState::Revoked).map(|key| key.key_id.to_string());
    output::print(&output::record(&[
        ("host", format!("{}/{}", record.org, record.host)),
        ("id", record.id.to_string()),
        ("state", state(record)),
        ("created", record.created_at.to_string()),
        ("keys", keys.collect::<Vec<_>>().join(" ")),
        ("objects", record.objects.to_string()),
        ("current", output::bytes(record.current_bytes)),
        ("hidden", output::bytes(record.hidden_bytes)),
        ("uploading", output::bytes(record.uploading_bytes)),
        ("kept when hidden", record.retention_secs.map(output::duration).unwrap_or_default()),
        ("quota", record.quota_bytes.map_or_else(|| "none".to_owned(), output::bytes)),
        ("no overwrite", if record.no_overwrite { "on" } else { "off" }.to_owned()),
        ("last object", time(record.last_object_at)),
        ("last base backup", time(record.last_base_backup_at)),
    ]))
}
