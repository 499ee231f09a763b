//! `kheeper contexts list | set`: the identities on this machine.

use std::path::PathBuf;

use clap::Subcommand;
use kheeper_identity::context::Environment;
use kheeper_identity::{ConfigDir, Context, ContextError, ContextName, Origin};
use serde::Serialize;

use crate::cli::GlobalArgs;
use crate::exit_code::ExitCode;
use crate::output::{self, Columns, Format};

/// `kheeper contexts …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextsCommand {
    /// List the identities on this machine.
    List,
    /// Choose the one that commands use when none is named. Services name theirs and are not touched.
    Set {
        /// The context.
        name: ContextName,
    },
}

/// A context, as `--json` prints it.
#[derive(Serialize)]
struct ContextRecord {
    name: String,
    /// Whether commands use it when none is named.
    current: bool,
    /// Who it is; absent where the identity cannot be read.
    identity: Option<String>,
    origin: Option<Origin>,
    directory: PathBuf,
    /// Why the identity cannot be read.
    error: Option<String>,
}

/// Runs `kheeper contexts …`; offline.
pub(crate) fn run(command: ContextsCommand, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    match command {
        ContextsCommand::List => list(global.format()),
        ContextsCommand::Set { name } => set(&name),
    }
}

fn list(format: Format) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    let in_use = Context::find(&environment, None)?;
    let mut records = Vec::new();
    for dir in ConfigDir::for_reading(&environment)? {
        records.extend(dir.contexts()?.iter().map(|context| describe(context, &in_use)));
    }
    if format == Format::Json {
        output::print_json(&records)?;
        return Ok(ExitCode::Success);
    }
    let mut columns = Columns::new(&["CURRENT", "CONTEXT", "IDENTITY", "ORIGIN", "DIRECTORY"]);
    for record in records {
        columns.row([
            if record.current { "*" } else { "" }.to_owned(),
            record.name,
            record.identity.or(record.error).unwrap_or_default(),
            record.origin.map(|origin| origin.to_string()).unwrap_or_default(),
            record.directory.display().to_string(),
        ]);
    }
    output::print(&columns.render())?;
    Ok(ExitCode::Success)
}

fn describe(context: &Context, in_use: &Context) -> ContextRecord {
    let (identity, error) = match context.identity() {
        Ok(identity) => (Some(identity), None),
        Err(error) => (None, Some(error.to_string())),
    };
    ContextRecord {
        name: context.name().to_string(),
        current: context == in_use,
        identity: identity.as_ref().map(|identity| identity.subject.to_string()),
        origin: identity.map(|identity| identity.origin),
        directory: context.dir().to_owned(),
        error,
    }
}

fn set(name: &ContextName) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    let dirs = ConfigDir::for_reading(&environment)?;
    let holds = |dir: &&ConfigDir| dir.context(name.clone()).holds_identity();
    let Some(dir) = dirs.iter().find(holds) else {
        let dir = ConfigDir::for_writing(&environment)?.path().to_owned();
        return Err(ContextError::NoSuchContext { name: name.clone(), dir }.into());
    };
    dir.set_current(name)?;
    output::say(format_args!("commands without --context now use {name}; services name theirs and do not change"));
    Ok(ExitCode::Success)
}
