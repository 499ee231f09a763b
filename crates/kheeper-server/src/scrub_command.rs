//! `kheeper-server scrub`: is every byte that is stored what was written, and whose is not?

use std::process::ExitCode;

use kheeper_store::ScrubReport;

use crate::cli::OperatorArgs;
use crate::operator::{Reply, Request};
use crate::operator_commands::{EXIT_DAMAGED, ask, print_json, unexpected};

pub(crate) fn scrub(operator: &OperatorArgs) -> anyhow::Result<ExitCode> {
    let Reply::Scrubbed(report) = ask(operator, Request::Scrub)? else { return unexpected() };
    if operator.json {
        print_json(&report)?;
    } else {
        print_damaged(&report);
        println!("{} bytes of {} objects and parts verified", report.verified_bytes, report.contents);
        match report.damaged_count {
            0 => println!("everything that is stored is what was written"),
            count => println!("{count} damaged; nothing was removed"),
        }
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DAMAGED) })
}

pub(crate) fn status(operator: &OperatorArgs) -> anyhow::Result<ExitCode> {
    let Reply::ScrubStatus(status) = ask(operator, Request::ScrubStatus)? else { return unexpected() };
    if operator.json {
        print_json(&status)?;
    } else {
        match &status.last {
            Some(last) => println!("last round  {}, {} damaged", spent(last), last.damaged_count),
            None => println!("last round  none yet"),
        }
        if let Some(round) = &status.round {
            println!(
                "this round  {}, {} damaged; {} bytes are stored",
                spent(round),
                round.damaged_count,
                status.stored_bytes
            );
        }
        [&status.last, &status.round].into_iter().flatten().for_each(print_damaged);
    }
    Ok(if status.damaged_objects() == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DAMAGED) })
}

fn spent(round: &ScrubReport) -> String {
    let began = round.began_at.map(|at| at.to_string()).unwrap_or_default();
    let end = round.completed_at.map_or("now".to_owned(), |at| at.to_string());
    format!("{began} to {end}, {} bytes of {} objects and parts", round.verified_bytes, round.contents)
}

fn print_damaged(report: &ScrubReport) {
    for damaged in &report.damaged {
        let (host, key, version) = (&damaged.namespace, &damaged.key, damaged.version());
        println!("DAMAGED: {host}  {key}  ({version}): {}: {}", damaged.blob, damaged.what);
    }
}
