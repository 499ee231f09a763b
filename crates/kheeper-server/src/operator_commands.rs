//! The operator's commands as a person types them: ask the server (or the directory), print what comes back.
//!
//! Data goes to stdout, words to stderr.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use kheeper_model::api::{KeyRecord, UserRecord};
use kheeper_model::{OrgName, UserId};
use kheeper_store::{ChainReport, FsckReport, SweepReport};
use serde::Serialize;

use crate::cli::{Audit, Keys, OperatorArgs, Orgs, Users};
use crate::operator::{Operator, Registration, Reply, Request};

/// A check found something wrong.
pub(crate) const EXIT_DAMAGED: u8 = 4;

pub(crate) fn users(command: Users) -> anyhow::Result<ExitCode> {
    match command {
        Users::Create { name, operator } => {
            let Reply::User(user) = ask(&operator, Request::UsersCreate { name })? else { return unexpected() };
            if operator.json {
                print_json(&user)?;
            } else {
                println!("{}", user.id);
                eprintln!("created {}; next, as {}: kheeper auth login {} --origin URL", user.name, user.name, user.id);
            }
        }
        Users::Disable { user, operator } => set_disabled(&user, true, &operator)?,
        Users::Enable { user, operator } => set_disabled(&user, false, &operator)?,
        Users::List { operator } => {
            let Reply::Users(users) = ask(&operator, Request::UsersList)? else { return unexpected() };
            if operator.json {
                print_json(&users)?;
            } else {
                users.iter().for_each(print_user);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn set_disabled(user: &str, disabled: bool, operator: &OperatorArgs) -> anyhow::Result<()> {
    let user = parse_user(user)?;
    let Reply::Done = ask(operator, Request::UsersSetDisabled { user: user.clone(), disabled })? else {
        return unexpected().map(drop);
    };
    let what = if disabled { "refused" } else { "accepted again" };
    eprintln!("all keys of {user} are {what} within 5 seconds");
    Ok(())
}

fn parse_user(user: &str) -> anyhow::Result<UserId> {
    user.parse().with_context(|| format!("{user:?} is no user id; see users list"))
}

pub(crate) fn orgs(command: Orgs) -> anyhow::Result<ExitCode> {
    let Orgs::AddOwner { org, user, operator } = command;
    let org = org.parse().with_context(|| format!("{org:?} is no org name"))?;
    let request = Request::OrgsAddOwner { org, user: parse_user(&user)? };
    let Reply::Members(members) = ask(&operator, request)? else { return unexpected() };
    if operator.json {
        print_json(&members)?;
    } else {
        members.iter().for_each(|member| println!("{}  {:<20} {:?}", member.user, member.name, member.role));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn keys(command: Keys) -> anyhow::Result<ExitCode> {
    match command {
        Keys::Register { token, yes, operator } => return register(token, yes, &operator),
        Keys::List { operator } => {
            let Reply::Keys(keys) = ask(&operator, Request::KeysList)? else { return unexpected() };
            if operator.json {
                print_json(&keys)?;
            } else {
                keys.iter().for_each(print_key);
            }
        }
        Keys::Revoke { key_id, operator } => {
            let key_id = key_id.parse().with_context(|| format!("{key_id:?} is no key id; see keys list"))?;
            let Reply::Key(key) = ask(&operator, Request::KeysRevoke { key_id })? else { return unexpected() };
            if operator.json {
                print_json(&key)?;
            } else {
                eprintln!("revoked {} of {}; it ends within 5 seconds", key.key_id, key.subject);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn register(token: String, yes: bool, operator: &OperatorArgs) -> anyhow::Result<ExitCode> {
    let Reply::Registration(registration) = ask(operator, Request::KeysInspect { token: token.clone() })? else {
        return unexpected();
    };
    describe(&registration);
    if !yes && !confirmed()? {
        bail!("nothing was registered");
    }
    let Reply::Key(key) = ask(operator, Request::KeysRegister { token })? else { return unexpected() };
    if operator.json {
        print_json(&key)?;
    } else {
        println!("{}", key.key_id);
        eprintln!("registered; kheeper auth login ends by itself within seconds");
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(registration: &Registration) {
    let user = &registration.user;
    eprintln!("user         {} ({}), created {}", user.name, user.id, user.created_at);
    eprintln!("fingerprint  {}", registration.fingerprint);
    eprintln!("key id       {}", registration.key_id);
    eprintln!("token made   {}", registration.issued_at);
    eprintln!("keys so far  {}", user.keys.len());
    for key in &user.keys {
        eprintln!("             {} {:?} since {}", key.key_id, key.state, key.created_at);
    }
}

/// Asks on the terminal; where there is none, `--yes` must say it.
fn confirmed() -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!(
            "there is no terminal to ask on: compare the fingerprint with what kheeper auth login shows, then give --yes"
        );
    }
    eprint!("Is this the fingerprint that kheeper auth login shows? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub(crate) fn audit(command: Audit) -> anyhow::Result<ExitCode> {
    match command {
        Audit::Verify { operator } => {
            let Reply::AuditVerified(chains) = ask(&operator, Request::AuditVerify)? else { return unexpected() };
            if operator.json {
                print_json(&chains)?;
            } else {
                chains.iter().for_each(print_chain);
            }
            let whole = chains.iter().all(|chain| chain.broken.is_none());
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DAMAGED) })
        }
        Audit::Export { org, operator } => {
            let org = org.map(|org| org.parse().with_context(|| format!("{org:?} is no org name"))).transpose()?;
            let mut reached = Operator::reach(&operator.data)?;
            let exported = export(&mut reached, org);
            reached.close();
            exported.map(|()| ExitCode::SUCCESS)
        }
    }
}

fn export(reached: &mut Operator, org: Option<OrgName>) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let Reply::AuditPage(page) = reached.ask(Request::AuditPage { org: org.clone(), after })? else {
            return unexpected().map(drop);
        };
        after = after.max(page.first_seq - 1) + page.entries.len() as u64;
        for entry in &page.entries {
            println!("{}", serde_json::to_string(entry)?);
        }
        if page.entries.is_empty() {
            return Ok(());
        }
    }
}

fn print_chain(chain: &ChainReport) {
    let whose = chain.org.as_ref().map_or("(server)", OrgName::as_str);
    match &chain.broken {
        None => println!(
            "{whose:<20} {} records, the newest is {} with hash {}",
            chain.records, chain.head_seq, chain.head_hash
        ),
        Some(why) => println!("{whose:<20} BROKEN: {why}"),
    }
}

pub(crate) fn fsck(operator: &OperatorArgs, read_data: bool) -> anyhow::Result<ExitCode> {
    let Reply::Fsck(report) = ask(operator, Request::Fsck { read_data })? else { return unexpected() };
    if operator.json {
        print_json(&report)?;
    } else {
        print_fsck(&report);
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DAMAGED) })
}

pub(crate) fn sweep(
    operator: &OperatorArgs,
    accept_orphans: u64,
    accept_older_index: bool,
) -> anyhow::Result<ExitCode> {
    let request = Request::Sweep { accept_orphans, accept_older_index };
    let Reply::Swept(report) = ask(operator, request)? else { return unexpected() };
    if operator.json {
        print_json(&report)?;
    } else {
        print_sweep(&report);
    }
    Ok(if report.refused.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_fsck(report: &FsckReport) {
    for host in &report.namespaces {
        println!(
            "{:<40} {} objects, {} bytes current, {} hidden, {} uploading",
            host.namespace.to_string(),
            host.objects,
            host.current_bytes,
            host.hidden_bytes,
            host.uploading_bytes
        );
    }
    println!("{} contents, {} blobs checked, {} bytes verified", report.contents, report.blobs, report.verified_bytes);
    println!("{} blobs of {} bytes are for sweep to collect", report.orphan_blobs, report.orphan_bytes);
    for finding in &report.findings {
        println!("WRONG: {finding}");
    }
    match report.finding_count {
        0 => println!("index and blobs agree"),
        count => println!("{count} findings"),
    }
}

fn print_sweep(report: &SweepReport) {
    if let Some(why) = &report.refused {
        println!("nothing was removed: {why}");
        return;
    }
    println!("hidden versions purged      {}", report.purged_versions);
    println!("uploads given up            {}", report.expired_uploads);
    println!("blobs condemned             {}", report.condemned_blobs);
    println!("contents deleted            {}", report.deleted_contents);
    println!("blobs deleted               {}", report.deleted_blobs);
}

pub(crate) fn ask(operator: &OperatorArgs, request: Request) -> anyhow::Result<Reply> {
    let mut reached = Operator::reach(&operator.data)?;
    let reply = reached.ask(request);
    reached.close();
    reply
}

pub(crate) fn unexpected() -> anyhow::Result<ExitCode> {
    bail!("the server's answer does not fit the question; are the command and the server of one version?")
}

pub(crate) fn print_json(record: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(record)?);
    Ok(())
}

fn print_user(user: &UserRecord) {
    let owns: Vec<&str> = user.owns.iter().map(kheeper_model::OrgName::as_str).collect();
    let state = if user.disabled { "disabled" } else { "active" };
    println!("{}  {:<20} {state:<8}  keys {}  owns {}", user.id, user.name, user.keys.len(), owns.join(","));
}

pub(crate) fn print_key(key: &KeyRecord) {
    let holder = key.name.as_deref().unwrap_or("-");
    println!("{}  {}  {holder}  {:?}  since {}", key.key_id, key.subject, key.state, key.created_at);
}
