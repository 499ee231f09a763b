//! `kheeper hosts me [--env[=TOOL]]`: who this is. Offline, and for any local user.

use clap::Args;
use kheeper_identity::client_env::Tool;
use serde_json::Value;

use super::whose::WhoseArgs;
use crate::cli::GlobalArgs;
use crate::exit_code::ExitCode;
use crate::output::{self, Format};

/// Flags of `kheeper hosts me`.
#[derive(Debug, Args)]
pub(crate) struct HostsMeArgs {
    /// Print what a backup tool needs to use the proxy: walg (the default), aws, restic, rclone, pgbackrest, barman, s3cmd,
    /// s5cmd, duplicity, litestream, mc, or sdk for the AWS SDKs. With an https --endpoint also what it needs to trust it.
    /// To take it into a shell: `set -a; . <(kheeper hosts me --env); set +a`.
    #[arg(long, value_name = "TOOL", num_args = 0..=1, require_equals = true, default_missing_value = "walg")]
    env: Option<Tool>,
    #[command(flatten)]
    whose: WhoseArgs,
}

/// Prints who this is, or a tool's settings.
pub(crate) fn run(args: &HostsMeArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    if let Some(tool) = args.env {
        output::print(&args.whose.client_env(global)?.render(tool))?;
        return Ok(ExitCode::Success);
    }
    let context = global.context()?;
    let identity = context.identity()?;
    match global.format() {
        Format::Json => {
            // What `identity.json` holds, field by field: the file is the record.
            let mut record: Value = serde_json::from_str(&identity.to_json())?;
            record["context"] = context.name().as_str().into();
            output::print_json(&record)?;
        }
        Format::Table => output::print(&output::record(&[
            ("identity", identity.subject.to_string()),
            ("id", identity.subject.id().to_string()),
            ("origin", identity.origin.to_string()),
            ("key", identity.key_id.to_string()),
            ("context", context.name().to_string()),
            ("directory", context.dir().display().to_string()),
        ]))?,
    }
    Ok(ExitCode::Success)
}
