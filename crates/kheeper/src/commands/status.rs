//! `kheeper status`: who this is, and whether the server agrees.

use kheeper_identity::{Identity, MachineId};
use kheeper_model::api::{Subject, Whoami};
use kheeper_model::{Clock as _, OrgName, SystemClock};
use serde_json::json;

use super::grants;
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::exit_code::{self, ExitCode};
use crate::output::{self, Format};

/// What this program is.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints what is known here, then what the server says. The status is that of asking the server.
pub(crate) async fn run(global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let context = global.context()?;
    let identity = context.identity()?;
    let asked = ask(global).await;
    let mut fields = vec![
        ("context", context.name().to_string()),
        ("directory", context.dir().display().to_string()),
        ("identity", identity.subject.to_string()),
        ("key", identity.key_id.to_string()),
        ("origin", identity.origin.to_string()),
        ("version", VERSION.to_owned()),
    ];
    if identity.is_of_another_machine(MachineId::of_this_machine().as_ref()) {
        output::say(format_args!(
            "this identity was made on another machine: a clone must not write; join again (`kheeper hosts rejoin`)"
        ));
    }
    if let Ok(whoami) = &asked {
        if whoami.server_version != VERSION {
            output::say(format_args!(
                "this kheeper is {VERSION} and the server {}: the older of the two does not know all that the other does",
                whoami.server_version
            ));
        }
        for grant in whoami.grants.iter().filter(|grant| grants::ends_soon(grant, whoami.server_time)) {
            output::say(format_args!(
                "a grant ends soon: {}; a restore that needs longer needs another",
                grants::line(grant, whoami.server_time)
            ));
        }
    }
    match (&asked, global.format()) {
        (_, Format::Json) => print_json(&fields, &identity, &asked)?,
        (Ok(whoami), Format::Table) => {
            fields.extend(server_fields(whoami));
            output::print(&output::record(&fields))?;
        }
        (Err(_), Format::Table) => output::print(&output::record(&fields))?,
    }
    match asked {
        Ok(_) => Ok(ExitCode::Success),
        Err(error) => {
            output::say(format_args!("kheeper: {error:#}"));
            Ok(exit_code::of(&error))
        }
    }
}

/// Seconds by which our clock is ahead of the server's.
fn ahead_secs(whoami: &Whoami) -> i64 {
    SystemClock.now().as_secs() - whoami.server_time.as_secs()
}

async fn ask(global: &GlobalArgs) -> anyhow::Result<Whoami> {
    let client = ControlClient::for_context(global)?;
    Ok(client.get::<Whoami>("/whoami").await?.value)
}

fn server_fields(whoami: &Whoami) -> Vec<(&'static str, String)> {
    let says = match &whoami.subject {
        Subject::Host { org, host, state, .. } => {
            let state = serde_json::to_value(state).ok().and_then(|state| state.as_str().map(str::to_owned));
            format!("host {org}/{host}, {}", state.unwrap_or_default())
        }
        Subject::User { name, owns, audits, .. } => {
            let list = |orgs: &[OrgName]| orgs.iter().map(OrgName::as_str).collect::<Vec<_>>().join(", ");
            let owns = if owns.is_empty() { "no org".to_owned() } else { list(owns) };
            let audits = if audits.is_empty() { String::new() } else { format!(" and audits {}", list(audits)) };
            format!("user {name}, who owns {owns}{audits}")
        }
    };
    let grants = whoami.grants.iter().map(|grant| ("grant", grants::line(grant, whoami.server_time)));
    let ahead_secs = ahead_secs(whoami);
    let server =
        [("server says", says), ("server version", whoami.server_version.clone()), ("clock", clock(ahead_secs))];
    server.into_iter().chain(grants).collect()
}

fn clock(ahead_secs: i64) -> String {
    match ahead_secs {
        -1..=1 => "that of the server".to_owned(),
        ..=-2 => format!("{} s behind the server's", ahead_secs.unsigned_abs()),
        2.. => format!("{ahead_secs} s ahead of the server's"),
    }
}

fn print_json(fields: &[(&str, String)], identity: &Identity, asked: &anyhow::Result<Whoami>) -> anyhow::Result<()> {
    let mut record: serde_json::Map<_, _> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    record.insert("identity".to_owned(), serde_json::from_str(&identity.to_json())?);
    record.insert("server".to_owned(), serde_json::to_value(asked.as_ref().ok())?);
    record.insert("clock_ahead_secs".to_owned(), json!(asked.as_ref().ok().map(ahead_secs)));
    record.insert("error".to_owned(), json!(asked.as_ref().err().map(|error| format!("{error:#}"))));
    output::print_json(&record)
}
