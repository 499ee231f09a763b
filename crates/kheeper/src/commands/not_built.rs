//! Commands that are designed, named, and not built yet. They say so, with a status of their own.

use std::ffi::OsString;

use clap::Args;

use crate::error::Failure;
use crate::exit_code::ExitCode;

/// Whatever follows the name.
#[derive(Debug, Args)]
pub(crate) struct NotBuiltArgs {
    /// Its words and flags.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

/// Says that `command` is not built yet.
pub(crate) fn run(command: &str, args: &NotBuiltArgs) -> anyhow::Result<ExitCode> {
    let verb = args.arguments.first().map(|verb| format!(" {}", verb.to_string_lossy())).unwrap_or_default();
    let message = format!("`kheeper {command}{verb}` is not built yet: this version of kheeper does not have it");
    Err(Failure::new(ExitCode::NotBuilt, message).into())
}
