//! `kheeper audit list | verify | export`: who did what in an org.
//!
//! The chain is checked here, on this machine, from the very texts that the server sends.

use clap::Subcommand;
use kheeper_model::OrgName;
use kheeper_model::audit::{AuditOutcome, AuditPage, AuditRecord, ChainCheck};
use serde_json::json;

use super::orgs::only_org;
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output::{self, Columns, Format};

/// `kheeper audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// The newest records.
    List {
        /// Of this org; needed by those who have several.
        #[arg(long, value_name = "ORG")]
        org: Option<OrgName>,
        /// How many.
        #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
        last: u64,
    },
    /// Check, on this machine, that no record was removed, altered or moved.
    Verify {
        /// Of this org; needed by those who have several.
        #[arg(long, value_name = "ORG")]
        org: Option<OrgName>,
        /// A record that must still be in it: NUMBER:HASH, as an earlier run printed it.
        #[arg(long, value_name = "NUMBER:HASH", value_parser = parse_kept)]
        kept: Option<(u64, String)>,
    },
    /// Print every record with its hash, one JSON object a line: to keep elsewhere.
    Export {
        /// Of this org; needed by those who have several.
        #[arg(long, value_name = "ORG")]
        org: Option<OrgName>,
    },
}

/// Runs `kheeper audit …`.
pub(crate) async fn run(command: AuditCommand, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = ControlClient::for_context(global)?;
    match command {
        AuditCommand::List { org, last } => list(&client, only_org(org, &client).await?, last, global.format()).await,
        AuditCommand::Verify { org, kept } => {
            verify(&client, only_org(org, &client).await?, kept, global.format()).await
        }
        AuditCommand::Export { org } => export(&client, only_org(org, &client).await?).await,
    }
}

async fn page(client: &ControlClient, org: &OrgName, after: u64, max: u64) -> anyhow::Result<AuditPage> {
    Ok(client.get::<AuditPage>(&format!("/audit?org={org}&after={after}&max={max}")).await?.value)
}

async fn list(client: &ControlClient, org: OrgName, last: u64, format: Format) -> anyhow::Result<ExitCode> {
    let head = page(client, &org, u64::MAX >> 1, 1).await?.head_seq;
    let page = page(client, &org, head.saturating_sub(last), last).await?;
    let read = |text: &String| serde_json::from_str::<AuditRecord>(text);
    let records: Vec<AuditRecord> = page.entries.iter().map(|entry| read(&entry.record)).collect::<Result<_, _>>()?;
    if format == Format::Json {
        output::print_json(&records)?;
    } else {
        output::print(&table(&records))?;
    }
    Ok(ExitCode::Success)
}

fn table(records: &[AuditRecord]) -> String {
    let mut columns = Columns::new(&[">NO", "TIME", "WHAT", "ON", "BY", "FROM", "OUTCOME", "DETAILS"]);
    for record in records {
        let details: Vec<String> = record.details.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let outcome = match record.outcome {
            AuditOutcome::Done => "done",
            AuditOutcome::Denied => "DENIED",
        };
        columns.row([
            record.seq.to_string(),
            record.at.to_string(),
            record.act.clone(),
            record.on.clone().unwrap_or_default(),
            record.by.clone(),
            record.from.clone().unwrap_or_default(),
            outcome.to_owned(),
            details.join(" "),
        ]);
    }
    columns.render()
}

async fn verify(
    client: &ControlClient,
    org: OrgName,
    kept: Option<(u64, String)>,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let first = page(client, &org, 0, 1000).await?;
    let broken = |why: String| Failure::new(ExitCode::Untrusted, format!("the audit log of {org} is broken: {why}"));
    let mut check = ChainCheck::new(&first).map_err(broken)?;
    let mut entries = first.entries.clone();
    let mut found = None;
    while !entries.is_empty() && check.next_seq() <= first.head_seq {
        for entry in &entries {
            if check.next_seq() > first.head_seq {
                break;
            }
            let record = check.take(entry).map_err(broken)?;
            if kept.as_ref().is_some_and(|(seq, _)| *seq == record.seq) {
                found = Some(entry.hash.clone());
            }
        }
        entries = page(client, &org, check.next_seq() - 1, 1000).await?.entries;
    }
    check.finish(&first).map_err(broken)?;
    match (&kept, found) {
        (Some((seq, hash)), Some(found)) if *hash != found => {
            return Err(broken(format!("record {seq} has another hash than the one that was kept")).into());
        }
        (Some((seq, _)), None) if *seq >= first.first_seq => {
            return Err(broken(format!("record {seq}, which was there, is not")).into());
        }
        (Some((seq, _)), None) => output::say(format_args!("record {seq} is too old to be still in the log")),
        _ => {}
    }
    let records = (first.head_seq + 1).saturating_sub(first.first_seq);
    match format {
        Format::Json => output::print_json(
            &json!({"org": org, "records": records, "head_seq": first.head_seq, "head_hash": first.head_hash}),
        )?,
        Format::Table => output::print(&format!("{}:{}\n", first.head_seq, first.head_hash))?,
    }
    output::say(format_args!(
        "{records} records of {org} follow one another; keep the line above elsewhere, and give it to --kept next time"
    ));
    Ok(ExitCode::Success)
}

async fn export(client: &ControlClient, org: OrgName) -> anyhow::Result<ExitCode> {
    let mut after = 0;
    loop {
        let page = page(client, &org, after, 1000).await?;
        if page.entries.is_empty() {
            return Ok(ExitCode::Success);
        }
        after = after.max(page.first_seq.saturating_sub(1)) + page.entries.len() as u64;
        for entry in &page.entries {
            output::print(&format!("{}\n", serde_json::to_string(entry)?))?;
        }
    }
}

fn parse_kept(text: &str) -> Result<(u64, String), String> {
    let wrong = || "expected NUMBER:HASH, as `kheeper audit verify` prints it".to_owned();
    let (seq, hash) = text.split_once(':').ok_or_else(wrong)?;
    let hex = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let seq = seq.parse().ok().filter(|_| hex).ok_or_else(wrong)?;
    Ok((seq, hash.to_ascii_lowercase()))
}
