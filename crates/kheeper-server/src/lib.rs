//! `kheeper-server`: the object store that hosts back themselves up to.
//!
//! HTTP in, then six steps that [`request`] names in order: parse, authenticate, admit, authorize, dispatch, respond.
//! What is at rest is `kheeper-store`'s, what S3 looks like on the wire is `kheeper-s3`'s, and who is calling is
//! `kheeper-identity`'s; this crate is what joins them. Start reading at `request/handle.rs`.

mod app;
mod bounds;
mod cli;
mod config;
mod connections;
mod control;
mod error;
mod listen;
mod operations;
mod operator;
mod operator_commands;
mod prices;
mod request;
mod scrub_command;
mod snapshot_command;
mod start;
mod tls;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

/// A command failed; stderr says why.
const EXIT_FAILURE: u8 = 1;
/// The configuration or the data directory is not usable: starting again would not help (systemd's
/// `RestartPreventExitStatus=` names it).
const EXIT_CONFIG: u8 = 78;

/// Reads the command line and carries it out.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => start::serve(*args),
        Command::Users(command) => operator_commands::users(command),
        Command::Orgs(command) => operator_commands::orgs(command),
        Command::Keys(command) => operator_commands::keys(command),
        Command::Audit(command) => operator_commands::audit(command),
        Command::Fsck { operator, read_data } => operator_commands::fsck(&operator, read_data),
        Command::Sweep { operator, accept_orphans, accept_older_index } => {
            operator_commands::sweep(&operator, accept_orphans, accept_older_index)
        }
        Command::Scrub { operator, status: false } => scrub_command::scrub(&operator),
        Command::Scrub { operator, status: true } => scrub_command::status(&operator),
        Command::Snapshot { to, operator } => snapshot_command::snapshot(&to, &operator),
        Command::Quarantine(command) => snapshot_command::quarantine(command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kheeper-server: {error:#}");
            let config = error.downcast_ref::<start::ConfigError>().is_some();
            ExitCode::from(if config { EXIT_CONFIG } else { EXIT_FAILURE })
        }
    }
}
