//! `kheeper-server snapshot`: the whole store, copied while it serves; and the quarantine of what is restored from it.
//!
//! The server copies its index into its own directory. The rest is done here, so that a server that may write nowhere else
//! can have its snapshots anywhere, and so that `nice` and `ionice` mean what they say.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytesize::ByteSize;
use kheeper_model::KeyId;
use kheeper_store::{SnapshotReport, write_snapshot};

use crate::cli::{OperatorArgs, Quarantine};
use crate::operator::{self, Reply, Request, become_owner};
use crate::operator_commands::{EXIT_DAMAGED, ask, print_json, print_key, unexpected};

/// Between two words about how far it has come.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

pub(crate) fn snapshot(to: &Path, operator: &OperatorArgs) -> anyhow::Result<ExitCode> {
    let data_dir = &operator.data;
    let to = std::path::absolute(to).with_context(|| format!("{} is no path", to.display()))?;
    prepare(data_dir, &to)?;
    become_owner(data_dir)?;
    let Reply::IndexCopy(copy) = ask(operator, Request::CopyIndex)? else { return unexpected() };
    let copy = IndexCopy(copy);
    eprintln!("the index is copied; now what it names");
    let mut said = Instant::now();
    let written = write_snapshot(data_dir, &copy.0, &to, |progress| {
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            eprintln!("{} blobs, {} copied", progress.blobs, ByteSize(progress.copied_bytes));
        }
    });
    let report = written.with_context(|| format!("failed to write the snapshot to {}", to.display()))?;
    if operator.json {
        print_json(&report)?;
    } else {
        print_report(&report, &to);
    }
    Ok(if report.damaged_count == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DAMAGED) })
}

/// The copy of the index in the data directory, which nobody needs when this is over.
struct IndexCopy(PathBuf);

impl Drop for IndexCopy {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            eprintln!("failed to remove {}: {error}; the server's next start does", self.0.display());
        }
    }
}

/// Makes the directory, as the owner of the data directory shall have it: root is them from here on.
fn prepare(data_dir: &Path, to: &Path) -> anyhow::Result<()> {
    let data = std::fs::metadata(data_dir).with_context(|| format!("failed to look at {}", data_dir.display()))?;
    ensure!(data.is_dir(), "{} is no directory; name the server's with --data DIR", data_dir.display());
    std::fs::create_dir_all(to).with_context(|| format!("failed to make {}", to.display()))?;
    let (from, within) = (data_dir.canonicalize()?, to.canonicalize()?);
    ensure!(!within.starts_with(&from), "{} is in the data directory itself: name another one", to.display());
    let is_empty = std::fs::read_dir(to).with_context(|| format!("failed to list {}", to.display()))?.next().is_none();
    if is_empty {
        std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .with_context(|| format!("failed to set the mode of {}", to.display()))?;
        if rustix::process::geteuid().is_root() {
            chown(to, Some(data.uid()), Some(data.gid()))
                .with_context(|| format!("failed to give {} to the data directory's owner", to.display()))?;
        }
    }
    Ok(())
}

fn print_report(report: &SnapshotReport, to: &Path) {
    for damaged in &report.damaged {
        let (host, key, version) = (&damaged.namespace, &damaged.key, damaged.version());
        println!("DAMAGED: {host}  {key}  ({version}): {}: {}", damaged.blob, damaged.what);
    }
    let taken_at = report.taken_at.map(|at| at.to_string()).unwrap_or_default();
    println!("{}: the store as of {taken_at}", to.display());
    println!("index    {}", ByteSize(report.index_bytes));
    println!("blobs    {}, {}", report.blobs, ByteSize(report.blob_bytes));
    println!("copied   {}, {}", report.copied_blobs, ByteSize(report.copied_bytes));
    println!("removed  {} that an earlier snapshot had", report.removed_blobs);
    if report.damaged_count > 0 {
        println!("{} damaged in the store itself; the rest is whole", report.damaged_count);
    }
}

pub(crate) fn quarantine(command: Quarantine) -> anyhow::Result<ExitCode> {
    match command {
        Quarantine::Show { operator } => {
            let state = state(&operator)?;
            if operator.json {
                print_json(&state)?;
            } else {
                match state.since {
                    None => println!("not in quarantine: callers are let in"),
                    Some(since) => {
                        println!("restored from a snapshot of {since}; nobody is let in. Keys that it would let in:");
                        state.keys.iter().for_each(print_key);
                    }
                }
            }
        }
        Quarantine::End { revoke, nothing_revoked, operator } => {
            let state = state(&operator)?;
            let Some(since) = state.since else {
                eprintln!("not in quarantine: callers are let in");
                return Ok(ExitCode::SUCCESS);
            };
            let named = if revoke.is_empty() && !nothing_revoked { asked(&state)? } else { revoke };
            let revoked: Vec<KeyId> = named.iter().map(|id| parse_key(id)).collect::<anyhow::Result<_>>()?;
            let count = revoked.len();
            let Reply::Done = ask(&operator, Request::QuarantineEnd { revoked })? else { return unexpected() };
            eprintln!(
                "callers are let in again, as of {since}, with {count} keys revoked; nothing is purged for a day"
            );
            eprintln!("what was stored after {since} is gone: have each PostgreSQL host push a new base backup");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn state(operator: &OperatorArgs) -> anyhow::Result<operator::Quarantine> {
    match ask(operator, Request::Quarantine)? {
        Reply::Quarantine(state) => Ok(state),
        _ => bail!("the server's answer does not fit the question; are the command and the server of one version?"),
    }
}

fn parse_key(id: &str) -> anyhow::Result<KeyId> {
    id.parse().with_context(|| format!("{id:?} is no key id; see quarantine show"))
}

/// Asks on the terminal which keys were revoked since; where there is none, the options must say it.
fn asked(state: &operator::Quarantine) -> anyhow::Result<Vec<String>> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!(
            "there is no terminal to ask on: name the keys that were revoked since the snapshot with --revoke KEY_ID, or say \
             --nothing-revoked"
        );
    }
    state.keys.iter().for_each(print_key);
    eprintln!("Which of these keys were revoked since the snapshot, or belong to somebody who was shut out?");
    eprint!("Their ids, with spaces between them, or the word none: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    match answer.trim() {
        "" => bail!("nothing was changed"),
        "none" => Ok(Vec::new()),
        ids => Ok(ids.split_whitespace().map(str::to_owned).collect()),
    }
}
