//! `kheeper objects restore`: what there was is current again, as new versions out of old contents.

use clap::Args;
use kheeper_model::Timestamp;
use kheeper_model::api::{RestoreAction, RestorePage, RestoreRequest, RestoreStep};

use super::hosts;
use super::objects::Prefix;
use super::objects_list::warn_of_holes;
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output::{self, Columns, Format};
use crate::when;

/// Flags of `kheeper objects restore`.
#[derive(Debug, Args)]
pub(crate) struct ObjectsRestoreArgs {
    /// As of this time, at least a minute ago: 2026-11-22T21:00:00Z, or "2h ago". Objects that came later are hidden.
    /// [default: bring back what was deleted, and change nothing else]
    #[arg(long, value_name = "TIME", value_parser = when::parse_flag)]
    at: Option<Timestamp>,
    /// Leave objects alone that were not there at that time.
    #[arg(long, requires = "at")]
    keep_new: bool,
    /// Print what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// ORG/HOST, or ORG/HOST/KEYS.
    #[arg(value_name = "PREFIX")]
    prefix: Prefix,
}

/// Restores batch after batch. What is interrupted is finished by running it again: what is as it was is left alone.
pub(crate) async fn run(args: ObjectsRestoreArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let Prefix::Host(host, prefix) = args.prefix else {
        return Err(Failure::usage("name the host whose objects to restore: ORG/HOST or ORG/HOST/KEYS").into());
    };
    let client = ControlClient::for_context(global)?;
    if let Some(at) = args.at {
        warn_of_holes(&client, &host, at).await?;
        // Said before anything is done: "2h ago" is another time when it is typed again.
        output::say(format_args!("as of {at}"));
    }
    let path = format!("{}/restore", hosts::path(&host));
    let mut all = RestorePage::default();
    let mut after = None;
    loop {
        let (prefix, at, keep_new, dry_run) = (prefix.clone(), args.at, args.keep_new, args.dry_run);
        let request = RestoreRequest { prefix, at, keep_new, dry_run, after };
        let page = match client.post::<_, RestorePage>(&path, &request).await {
            Ok(answer) => answer.value,
            Err(error) => {
                let done = all.steps.len();
                output::say(format_args!("interrupted after {done} objects; run it again with the same time to go on"));
                return Err(error.into());
            }
        };
        all.steps.extend(page.steps);
        all.unchanged += page.unchanged;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    match global.format() {
        Format::Json => output::print_json(&all)?,
        Format::Table if args.dry_run => output::print(&table(&all.steps))?,
        Format::Table => {}
    }
    output::say(format_args!("{}", summary(&all, args.dry_run)));
    Ok(ExitCode::Success)
}

fn table(steps: &[RestoreStep]) -> String {
    let mut columns = Columns::new(&["ACTION", "LAST MODIFIED", ">BYTES", "KEY"]);
    for step in steps {
        let action = match step.action {
            RestoreAction::Restore => "restore",
            RestoreAction::Hide => "hide",
        };
        let (time, bytes) = (step.last_modified.to_string(), step.bytes.to_string());
        columns.row([action.to_owned(), time, bytes, step.key.clone()]);
    }
    columns.render()
}

fn summary(page: &RestorePage, dry_run: bool) -> String {
    let of = |action| page.steps.iter().filter(move |step| step.action == action);
    let restored: u64 = of(RestoreAction::Restore).map(|step| step.bytes).sum();
    format!(
        "{} restored ({}), {} hidden that came later, {} as they were{}",
        of(RestoreAction::Restore).count(),
        output::bytes(restored),
        of(RestoreAction::Hide).count(),
        page.unchanged,
        if dry_run { " (dry run: nothing was changed)" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_restored_from_hidden() {
        let step =
            |action| RestoreStep { key: "web-01/a".to_owned(), action, bytes: 1024, last_modified: Timestamp(0) };
        let steps = vec![step(RestoreAction::Restore), step(RestoreAction::Restore), step(RestoreAction::Hide)];
        let page = RestorePage { steps, unchanged: 4, next: None };
        assert_eq!(summary(&page, false), "2 restored (2.0 KiB), 1 hidden that came later, 4 as they were");
        assert_eq!(
            table(&page.steps[2..]),
            "ACTION  LAST MODIFIED             BYTES  KEY\nhide    1970-01-01T00:00:00.000Z   1024  web-01/a\n"
        );
    }
}
