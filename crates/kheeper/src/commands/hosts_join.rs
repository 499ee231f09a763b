//! `kheeper hosts join TOKEN`: this machine becomes a host.
//!
//! The key is on disk, synced, before the server hears of it. When the answer is lost, the same command finds the same
//! key again, and the server lets it repeat: a join token belongs to the first key that used it. Where the identity that
//! the token made is here already, the server is asked whether it agrees, and nothing is changed.

use std::fs;
use std::io::{self, Read as _};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use kheeper_identity::{Context, Identity, IdentitySubject, JoinToken, MachineId, Origin, PrivateKey, ServerTrust};
use kheeper_model::api::{HostState, JoinRequest, Joined, Problem, Subject, Whoami};
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

/// Joins, or says that this was done before.
pub(crate) async fn run(args: HostsJoinArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let token = read_token(&args.token)?;
    let context = new_context(global)?;
    let own = if context.holds_identity() { own_of_token(&context, &token, args.replace)? } else { None };
    output::say(format_args!("joining {} as {}", token.origin, token.namespace));
    let trust = ServerTrust::choose(global.ca_file.clone(), token.pin);
    let client = ControlClient::anonymous(token.origin.clone(), &trust, global)?;
    check_clock(&client, &token.origin).await?;
    if let Some((identity, key)) = own {
        match confirm(&client, &token, &identity, &key).await {
            Ok(joined) => return joined_already(&context, &token, &joined, &identity, key, global).await,
            Err(error) if args.replace && error.refusal().is_some() => {}
            Err(error) => return Err(not_by_this_token(&context, &token, error)),
        }
    }
    let joined = join(&client, &context, &token).await?;
    output::say(format_args!("joined: the identity is in {}", context.dir().display()));
    say_what_is_next(&joined);
    print(&joined, global)
}

/// The identity and key in the context, where `token` may have made them. What is there and cannot be of this token is in
/// the way, unless it may be replaced.
fn own_of_token(
    context: &Context,
    token: &JoinToken,
    replace: bool,
) -> anyhow::Result<Option<(Identity, Arc<PrivateKey>)>> {
    let found = context.identity_and_key();
    let in_the_way = |holds: String| {
        let message = format!(
            "{} holds an identity already, {holds}, and this token is for host {} at {}: `--replace` gives up the one that \
             is here, another --context keeps both",
            context.dir().display(),
            token.namespace,
            token.origin
        );
        Failure::new(ExitCode::Conflict, message)
    };
    match found {
        Ok((identity, key)) if identity.namespace() == Some(&token.namespace) && identity.origin == token.origin => {
            if !identity.is_of_another_machine(MachineId::of_this_machine().as_ref()) {
                return Ok(Some((identity, Arc::new(key))));
            }
            let holds = format!("{} as it was made on another machine, of which this one is a clone", identity.subject);
            if replace { Ok(None) } else { Err(in_the_way(holds).into()) }
        }
        _ if replace => Ok(None),
        Ok((identity, _)) => Err(in_the_way(format!("{} at {}", identity.subject, identity.origin)).into()),
        Err(error) => {
            let holds =
                context.identity().map_or_else(|_| "damaged".to_owned(), |identity| identity.subject.to_string());
            Err(in_the_way(format!("{holds} ({error})")).into())
        }
    }
}

/// Asks the server whether the token has let this key in. It changes nothing, so that a token nobody used stays unused.
async fn confirm(
    client: &ControlClient,
    token: &JoinToken,
    identity: &Identity,
    key: &PrivateKey,
) -> Result<Joined, ControlError> {
    let request =
        JoinRequest { secret: token.secret.reveal(), public_key_pem: key.public_key().to_spki_pem(), confirm: true };
    let joined = client.post::<_, Joined>("/join", &request).await?.value;
    let subject = IdentitySubject::Host { namespace: token.namespace.clone(), host_id: joined.host_id.clone() };
    if subject == identity.subject {
        return Ok(joined);
    }
    let what = format!("it takes host {} for {}", token.namespace, joined.host_id);
    Err(ControlError::NotKheeper { origin: token.origin.clone(), what })
}

/// Says that it was done before, once the server has let the identity in.
async fn joined_already(
    context: &Context,
    token: &JoinToken,
    joined: &Joined,
    identity: &Identity,
    key: Arc<PrivateKey>,
    global: &GlobalArgs,
) -> anyhow::Result<ExitCode> {
    let client = ControlClient::with_identity(identity, key, global)?;
    let agrees = client.get::<Whoami>("/whoami").await;
    let agrees = agrees.with_context(|| format!("this machine has joined with this token, as {}", token.namespace))?;
    if !matches!(&agrees.value.subject, Subject::Host { id, .. } if *id == joined.host_id) {
        let message = format!("{} takes this machine's key for somebody else's", token.origin);
        return Err(Failure::new(ExitCode::Untrusted, message).into());
    }
    context.forget_pending(&tag(token))?;
    output::say(format_args!(
        "this machine has joined with this token already: the identity is in {}",
        context.dir().display()
    ));
    say_what_is_next(joined);
    print(joined, global)
}

/// The identity that is here is of the token's host, and not by this token: whose turn it is depends on why.
fn not_by_this_token(context: &Context, token: &JoinToken, error: ControlError) -> anyhow::Error {
    let is = format!("{} holds the identity of {} already", context.dir().display(), token.namespace);
    match error.refusal().map(Problem::name) {
        Some("join-token-unused") => {
            let message = format!("{is}, and this token was not used yet: `--replace` joins anew with it");
            Failure::new(ExitCode::Conflict, message).into()
        }
        Some(_) => anyhow::Error::new(error).context(format!("{is}, which stays without --replace")),
        None => error.into(),
    }
}

/// Joins with a key that is on disk before the call.
async fn join(client: &ControlClient, context: &Context, token: &JoinToken) -> anyhow::Result<Joined> {
    let pending = context.pending_key(&tag(token))?;
    let public_key = *pending.key().public_key();
    let request =
        JoinRequest { secret: token.secret.reveal(), public_key_pem: public_key.to_spki_pem(), confirm: false };
    let joined: Joined = match client.post("/join", &request).await {
        Ok(answer) => answer.value,
        Err(error) => {
            if is_final(&error) {
                context.discard(pending)?;
            }
            return Err(error.into());
        }
    };
    check(&joined, &token.namespace, &public_key.key_id())?;
    let identity = Identity {
        origin: token.origin.clone(),
        subject: IdentitySubject::Host { namespace: token.namespace.clone(), host_id: joined.host_id.clone() },
        key_id: joined.key_id.clone(),
        pin: token.pin,
        machine_id: MachineId::of_this_machine(),
    };
    context.complete(&pending, &identity)?;
    Ok(joined)
}

/// What an attempt with this token is called on disk.
fn tag(token: &JoinToken) -> String {
    hex::encode(&token.secret.sha256()[..8])
}

fn print(joined: &Joined, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    match global.format() {
        Format::Json => output::print_json(joined)?,
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

fn say_what_is_next(joined: &Joined) {
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
