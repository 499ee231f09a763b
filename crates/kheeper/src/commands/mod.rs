//! One file per noun or verb.

pub(crate) mod audit;
pub(crate) mod auth_login;
pub(crate) mod auth_token;
pub(crate) mod completions;
pub(crate) mod contexts;
pub(crate) mod exec;
pub(crate) mod grants;
pub(crate) mod hosts;
mod hosts_create;
mod hosts_delete;
mod hosts_join;
mod hosts_list;
mod hosts_me;
mod hosts_rotate_key;
mod hosts_set;
pub(crate) mod keys;
mod members;
pub(crate) mod not_built;
pub(crate) mod object_proxy;
pub(crate) mod objects;
mod objects_list;
mod objects_restore;
pub(crate) mod orgs;
mod status;
mod tls_dir;
pub(crate) mod usage;
pub(crate) mod walg;
mod whose;

use std::future::Future;

use tokio::runtime::Builder;

use crate::cli::{AuthCommand, Cli, Command};
use crate::exit_code::ExitCode;

/// Runs what was typed.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { global, command } = cli;
    match command {
        Command::ObjectProxy(args) => kheeper_proxy::runtime()?.block_on(object_proxy::run(args, &global)),
        Command::Hosts(command) => hosts::run(command, &global),
        Command::Orgs(command) => block_on(orgs::run(command, &global)),
        Command::Auth(AuthCommand::Login(args)) => block_on(auth_login::run(args, &global)),
        Command::Auth(AuthCommand::Token(args)) => auth_token::run(&args, &global),
        Command::Contexts(command) => contexts::run(command, &global),
        Command::Status => block_on(status::run(&global)),
        Command::Walg(args) => walg::run(args, &global),
        Command::Exec(args) => exec::run(args, &global),
        Command::Usage(args) => block_on(usage::run(args, &global)),
        Command::Completions(args) => completions::run(&args),
        Command::Keys(command) => block_on(keys::run(command, &global)),
        Command::Grants(command) => block_on(grants::run(command, &global)),
        Command::Objects(command) => objects::run(command, &global),
        Command::Audit(command) => block_on(audit::run(command, &global)),
        Command::Setup(args) => not_built::run("setup", &args),
        Command::Restore(args) => not_built::run("restore", &args),
        Command::Drill(args) => not_built::run("drill", &args),
        Command::Doctor(args) => not_built::run("doctor", &args),
    }
}

/// Runs a command that waits for the network or a child on one thread: most commands do little, and start fast so.
fn block_on<T, F: Future<Output = anyhow::Result<T>>>(command: F) -> anyhow::Result<T> {
    Builder::new_current_thread().enable_all().build()?.block_on(command)
}
