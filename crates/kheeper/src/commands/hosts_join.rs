//! `kheeper hosts join TOKEN`: this machine becomes a host.
//!
//! The key is on disk, synced, before the server hears of it. When the answer is lost, the same command finds the same
//! key again, and the server lets it repeat: a join token belongs to the first key that used it.

use std::fs;
use std::io::{self, Read as _};

use anyhow::Context as _;
use clap::Args;
use kheeper_identity::context::Replace;
use kheeper_identity::{Identity, IdentitySubject, JoinToken, MachineId, Origin, ServerTrust};
use kheeper_model::api::{HostState, JoinRequest, Joined};
use kheeper_model::limits::CLOCK_SKEW_SECS_MAX;
use kheeper_model::{Clock as _, Namespace, SystemClock};

use super::auth_login::new_context;
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::error::{ControlError, Failure};
use crate::exit_code::ExitCode;
use crate::output::{self, Format};

/// Bytes read in search of a token.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

/// Flags of `kheeper hosts join`.
#[derive(Debug, Args)]
pub(crate) struct HostsJoinArgs {
    /// The join token, or a file that holds it, or - for stdin.
    #[arg(value_name = "TOKEN|FILE|-")]
    token: String,
    /// Replace the identity that the context holds.
    #[arg(long)]
    replace: bool,
}

/// Joins.
pub(crate) async fn run(args: HostsJoinArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let token = read_token(&args.token)?;
    let JoinToken { origin, namespace, pin, secret } = token;
    let context = new_context(global)?;
    context.check_free(if args.replace { Replace::Yes } else { Replace::No })?;
    output::say(format_args!("joining {origin} as {namespace}"));
    let client = ControlClient::anonymous(origin.clone(), &ServerTrust::choose(global.ca_file.clone(), pin), global)?;
    check_clock(&client, &origin).await?;
    let pending = context.pending_key(&hex::encode(&secret.sha256()[..8]))?;
    let public_key = *pending.key().public_key();
    let request = JoinRequest { secret: secret.reveal(), public_key_pem: public_key.to_spki_pem() };
    let joined: Joined = match client.post("/join", &request).await {
        Ok(answer) => answer.value,
        Err(error) => {
            if is_final(&error) {
                context.discard(pending)?;
            }
            return Err(error.into());
        }
    };
    check(&joined, &namespace, &public_key.key_id())?;
    let identity = Identity {
        origin,
        subject: IdentitySubject::Host { namespace, host_id: joined.host_id.clone() },
        key_id: joined.key_id.clone(),
        pin,
        machine_id: MachineId::of_this_machine(),
    };
    context.complete(&pending, &identity)?;
    say_what_is_next(&joined, context.dir());
    match global.format() {
        Format::Json => output::print_json(&joined)?,
        Format::Table => output::print(&format!("{}/{}", joined.org, joined.host))?,
    }
    Ok(ExitCode::Success)
}

/// Before the token is used: a machine whose clock is off could join, and then nothing that it signs would be believed.
async fn check_clock(client: &ControlClient, origin: &Origin) -> Result<(), ControlError> {
    // Anyone may read it, and like every answer it says when it was given.
    let server_time = client.get::<serde_json::Value>("/openapi.json").await?.server_time;
    let ahead_secs = SystemClock.now().as_secs() - server_time.as_secs();
    let secs = ahead_secs.unsigned_abs();
    if secs <= CLOCK_SKEW_SECS_MAX {
        return Ok(());
    }
    Err(ControlError::ClockOff { origin: origin.clone(), secs, ahead: ahead_secs > 0 })
}

fn say_what_is_next(joined: &Joined, dir: &std::path::Path) {
    output::say(format_args!("joined: the identity is in {}", dir.display()));
    if joined.state == HostState::ReadOnly {
        output::say(format_args!(
            "this host has rejoined and may only read: restore first, then run `kheeper hosts resume`"
        ));
    } else {
        output::say(format_args!("next: start the proxy (kheeper-object-proxy.service, or `kheeper object-proxy`)"));
    }
}

fn read_token(argument: &str) -> anyhow::Result<JoinToken> {
    let wrong = |error: kheeper_identity::ParseError| Failure::usage(error.to_string());
    if argument.starts_with("kjt") {
        return Ok(argument.parse().map_err(wrong)?);
    }
    let mut text = String::new();
    let read = if argument == "-" {
        io::stdin().take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        fs::File::open(argument).and_then(|file| file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.with_context(|| format!("failed to read a join token from {argument:?}, which is no token itself"))?;
    Ok(text.parse().map_err(wrong)?)
}

/// Whether the server will never accept this token with this key.
fn is_final(error: &ControlError) -> bool {
    error.refusal().is_some_and(|problem| (400..500).contains(&problem.status) && problem.status != 429)
}

/// What the server says must be what the token said.
fn check(joined: &Joined, namespace: &Namespace, key_id: &kheeper_model::KeyId) -> Result<(), Failure> {
    if joined.org == namespace.org && joined.host == namespace.host && joined.key_id == *key_id {
        return Ok(());
    }
    let message =
        format!("the server made us {}/{}, and the token is for {namespace}: not joined", joined.org, joined.host);
    Err(Failure::new(ExitCode::Untrusted, message))
}

#[cfg(test)]
mod tests {
    use kheeper_identity::JoinSecret;

    use super::*;

    #[test]
    fn a_token_is_read_from_the_argument_or_a_file() {
        let token = JoinToken {
            origin: "https://backup.example.com".parse().unwrap(),
            namespace: "myorg/web-01".parse().unwrap(),
            pin: None,
            secret: JoinSecret::random(),
        };
        assert_eq!(read_token(&token.reveal()).unwrap(), token);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{}\n", token.reveal())).unwrap();
        assert_eq!(read_token(file.path().to_str().unwrap()).unwrap(), token);
    }

    #[test]
    fn what_is_neither_token_nor_file_is_explained() {
        let error = format!("{:#}", read_token("/nonexistent/token").unwrap_err());
        assert!(error.contains("/nonexistent/token") && error.contains("no token itself"), "{error}");
        let error = read_token("kjt1.broken").unwrap_err();
        assert_eq!(crate::exit_code::of(&error), ExitCode::Usage);
    }
}
