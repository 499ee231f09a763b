//! `kheeper hosts delete ORG/HOST [--with-backups HOST]`.

use clap::Args;
use kheeper_model::api::HostRecord;
use kheeper_model::{HostName, Namespace};

use super::hosts;
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output;

/// Flags of `kheeper hosts delete`.
#[derive(Debug, Args)]
pub(crate) struct HostsDeleteArgs {
    /// The host.
    #[arg(value_name = "ORG/HOST")]
    host: Namespace,
    /// Delete it although it has backups. Its name again, so that it is not said by habit.
    #[arg(long, value_name = "HOST")]
    with_backups: Option<HostName>,
}

/// Deletes a host; refuses, here and at the server, while it has backups and nobody said to.
pub(crate) async fn run(args: HostsDeleteArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = ControlClient::for_context(global)?;
    let path = hosts::path(&args.host);
    let answer = client.get::<HostRecord>(&path).await?;
    let (record, now) = (answer.value, answer.server_time);
    if record.objects > 0 {
        output::say(format_args!(
            "{} holds {} objects, {}; the newest is {} old",
            args.host,
            record.objects,
            output::bytes(record.current_bytes),
            output::age(record.last_object_at, now),
        ));
    }
    check(&record, args.with_backups.as_ref())?;
    let query = args.with_backups.map(|name| format!("?with_backups={name}")).unwrap_or_default();
    let record: HostRecord = client.delete(&format!("{path}{query}")).await?.value;
    hosts::print_host(&record, global.format())?;
    output::say(format_args!(
        "deleted; what it held stays readable to you until the retention has passed, and `kheeper hosts undelete {}` takes it back",
        args.host
    ));
    Ok(ExitCode::Success)
}

fn check(record: &HostRecord, with_backups: Option<&HostName>) -> Result<(), Failure> {
    match with_backups {
        Some(name) if *name != record.host => {
            Err(Failure::usage(format!("--with-backups names {name}, and the host is {}", record.host)))
        }
        None if record.objects > 0 => {
            let message = format!("not deleted: if its backups shall go too, say --with-backups {}", record.host);
            Err(Failure::new(ExitCode::Conflict, message))
        }
        _ => Ok(()),
    }
}
