//! `kheeper`: what a host or a workstation needs. The proxy, the identity, and everything that a person types.
//!
//! [`cli`] says what can be typed; `commands/` has one file per noun or verb; [`exit_code`] says what scripts may rely
//! on. Data goes to stdout, words go to stderr.

mod cli;
mod commands;
mod control_client;
mod duration;
mod error;
mod exit_code;
mod output;
mod recovery;
mod when;

use std::ffi::OsString;
use std::panic;
use std::process;

use clap::Parser as _;
use mimalloc::MiMalloc;

use crate::cli::Cli;
use crate::exit_code::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> process::ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // PostgreSQL reads any exit status up to 125 of a restore_command as "no more WAL" and promotes. When it is
    // recovery that runs us, a mistyped flag or a panic must not look like that either.
    let outcome = panic::catch_unwind(|| run(&arguments)).unwrap_or(ExitCode::Failure);
    recovery::guard(outcome, &arguments).into()
}

fn run(arguments: &[OsString]) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no failure.
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Success };
            let _ = error.print();
            return code;
        }
    };
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::Success,
        Err(error) => {
            output::say(format_args!("kheeper: {error:#}"));
            exit_code::of(&error)
        }
    }
}
