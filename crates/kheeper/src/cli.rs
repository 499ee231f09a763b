//! What can be typed. Each command's own flags are beside the command, in `commands/`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kheeper_identity::context::Environment;
use kheeper_identity::{Context, ContextError, ContextName};

use crate::commands::audit::AuditCommand;
use crate::commands::auth_login::AuthLoginArgs;
use crate::commands::auth_token::AuthTokenArgs;
use crate::commands::completions::CompletionsArgs;
use crate::commands::contexts::ContextsCommand;
use crate::commands::exec::ExecArgs;
use crate::commands::grants::GrantsCommand;
use crate::commands::hosts::HostsCommand;
use crate::commands::keys::KeysCommand;
use crate::commands::not_built::NotBuiltArgs;
use crate::commands::object_proxy::ObjectProxyArgs;
use crate::commands::objects::ObjectsCommand;
use crate::commands::orgs::OrgsCommand;
use crate::commands::usage::UsageArgs;
use crate::commands::walg::WalgArgs;
use crate::exit_code;
use crate::output::Format;

/// Backups without storage credentials: a proxy that any S3 client can use, and the identity behind it.
#[derive(Debug, Parser)]
#[command(name = "kheeper", version, after_help = exit_code::HELP, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The identity to use [default: the one that `contexts set` chose, else `default`].
    #[arg(long, global = true, env = "KHEEPER_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<ContextName>,
    /// Print records as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Believe the server by the certificates of this PEM file, and no others.
    #[arg(long, global = true, env = "KHEEPER_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Allow a server at http:// that is not on this machine: tokens and backups then travel in the clear.
    #[arg(long, global = true, env = "KHEEPER_ALLOW_PLAIN_HTTP")]
    pub(crate) allow_plain_http: bool,
}

impl GlobalArgs {
    /// The context in use. It need not hold an identity.
    pub(crate) fn context(&self) -> Result<Context, ContextError> {
        Context::find(&Environment::of_process(), self.context.as_ref())
    }

    /// How records are printed.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Table }
    }
}

/// The commands, in the order of `--help`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve S3 on localhost, with this context's identity behind it.
    ObjectProxy(ObjectProxyArgs),
    /// Hosts: enrol them, look after them, say who this one is.
    #[command(subcommand)]
    Hosts(HostsCommand),
    /// Orgs: each is a bucket.
    #[command(subcommand)]
    Orgs(OrgsCommand),
    /// Log in as a person; make a token.
    #[command(subcommand)]
    Auth(AuthCommand),
    /// The identities on this machine.
    #[command(subcommand)]
    Contexts(ContextsCommand),
    /// Who this is, and whether the server agrees.
    Status,
    /// Run wal-g with this host's settings, and with the exit status that PostgreSQL needs.
    Walg(WalgArgs),
    /// Run another S3 program with this host's settings.
    Exec(ExecArgs),
    /// What is stored and moved, per host and month, and what it costs.
    Usage(UsageArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Your own keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Let one host read another's backups for a time.
    #[command(subcommand)]
    Grants(GrantsCommand),
    /// Objects and their history.
    #[command(subcommand)]
    Objects(ObjectsCommand),
    /// Who did what in an org, in a log that shows if it was tampered with.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Set up PostgreSQL (not built yet).
    Setup(NotBuiltArgs),
    /// Restore a database (not built yet).
    Restore(NotBuiltArgs),
    /// Rehearse a restore (not built yet).
    Drill(NotBuiltArgs),
    /// Find what is wrong with a setup (not built yet).
    Doctor(NotBuiltArgs),
}

/// `kheeper auth …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Make a key for a user, print what the operator has to register, and wait for that.
    Login(AuthLoginArgs),
    /// Print an access token, for curl and the like.
    Token(AuthTokenArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn walg_args(line: &[&str]) -> Vec<String> {
        match Cli::try_parse_from(line).unwrap().command {
            Command::Walg(walg) => walg.arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_follows_walg_goes_to_wal_g() {
        assert_eq!(walg_args(&["kheeper", "walg", "wal-push", "a"]), ["wal-push", "a"]);
        assert_eq!(
            walg_args(&["kheeper", "walg", "--context", "default", "delete", "retain", "FULL", "7", "--confirm"]),
            ["delete", "retain", "FULL", "7", "--confirm"]
        );
        assert_eq!(
            walg_args(&["kheeper", "walg", "backup-list", "--json", "--pretty"]),
            ["backup-list", "--json", "--pretty"]
        );
        assert_eq!(walg_args(&["kheeper", "walg", "backup-list", "--context", "x"]), ["backup-list", "--context", "x"]);
    }

    #[test]
    fn every_name_of_the_design_exists() {
        for line in [
            "hosts me",
            "hosts list",
            "hosts get o1g/h",
            "hosts create org/h",
            "hosts join t",
            "hosts rejoin org/h",
            "hosts resume",
            "hosts disable org/h",
            "hosts enable org/h",
            "hosts delete org/h",
            "hosts undelete org/h",
            "hosts revoke org/h",
            "hosts rotate-key",
            "hosts set org/h",
            "orgs list",
            "orgs create org",
            "auth token",
            "contexts list",
            "contexts set x",
            "status",
            "walg x",
            "grants create myorg/web-01 --to web-02 --read --for 24h",
            "grants list",
            "grants delete grt_00000000000000000000000000000000",
            "usage",
            "objects list",
            "objects restore myorg/web-01",
            "audit list",
            "audit verify --org myorg",
            "audit export --json",
            "setup postgres",
            "restore",
            "drill",
            "doctor",
            "exec -- x",
            "completions bash",
            "object-proxy",
        ] {
            let words = std::iter::once("kheeper").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }
}
