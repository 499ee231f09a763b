//! `kheeper auth login USER_ID --origin URL`: a key for a person, proven to the operator by a registration token.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kheeper_identity::context::{Environment, PendingKey, Replace};
use kheeper_identity::token::mint_registration;
use kheeper_identity::{ConfigDir, Context, Identity, IdentitySubject, MachineId, Origin, Pin};
use kheeper_model::api::{Subject, Whoami};
use kheeper_model::limits::REGISTRATION_TOKEN_TTL_SECS;
use kheeper_model::{Clock as _, SystemClock, Timestamp, UserId};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::error::{ControlError, Failure};
use crate::exit_code::ExitCode;
use crate::output::{self, Format};

/// Between two questions whether the key is registered by now.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Flags of `kheeper auth login`.
#[derive(Debug, Args)]
pub(crate) struct AuthLoginArgs {
    /// Your user id, as the operator told it to you: usr_…
    user_id: UserId,
    /// The server, for instance `https://backup.example.com`.
    #[arg(long, value_name = "URL")]
    origin: Origin,
    /// The server's own certificate authority, as the server printed it: sha256:…
    #[arg(long, value_name = "PIN")]
    pin: Option<Pin>,
    /// Replace the identity that the context holds.
    #[arg(long)]
    replace: bool,
}

/// What the operator needs, as `--json` prints it.
#[derive(Serialize)]
struct RegistrationRecord<'a> {
    registration_token: &'a str,
    fingerprint: String,
    expires_at: Timestamp,
}

/// Makes the key, prints the registration token, and waits until the operator has registered it.
pub(crate) async fn run(args: AuthLoginArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let context = new_context(global)?;
    if let Some(name) = logged_in_already(&context, &args, global).await? {
        // The command may have been cut off just before its last step.
        context.forget_pending(args.user_id.as_str())?;
        output::say(format_args!("logged in to {} as {name} already, in context {}", args.origin, context.name()));
        return Ok(ExitCode::Success);
    }
    context.check_free(if args.replace { Replace::Yes } else { Replace::No })?;
    // The same user gets the same key again: what was registered after we gave up waiting is not lost.
    let pending = context.pending_key(args.user_id.as_str())?;
    let identity = Identity {
        origin: args.origin.clone(),
        subject: IdentitySubject::User { user_id: args.user_id.clone() },
        key_id: pending.key().public_key().key_id(),
        pin: args.pin,
        machine_id: MachineId::of_this_machine(),
    };
    let client = ControlClient::with_identity(&identity, pending.key().clone(), global)?;
    if let Some(name) = registered(&client, &args.user_id).await? {
        return finish(&context, &pending, &identity, &name);
    }
    let token = mint_registration(pending.key(), &args.user_id, &args.origin, SystemClock.now());
    let fingerprint = pending.key().public_key().fingerprint();
    output::say(format_args!("the operator of {} registers your key within 15 minutes by", args.origin));
    output::say(format_args!("    kheeper-server keys register TOKEN"));
    output::say(format_args!("with the token below, and is shown this fingerprint: {fingerprint}"));
    match global.format() {
        Format::Json => output::print_json(&RegistrationRecord {
            registration_token: token.reveal(),
            fingerprint,
            expires_at: token.expires_at(),
        })?,
        Format::Table => output::print(token.reveal())?,
    }
    output::say(format_args!("waiting; ctrl-c gives up, and the same command goes on with the same key"));
    let name = wait(&client, &args.user_id).await?;
    finish(&context, &pending, &identity, &name)
}

/// The context to write: the named one, else `default`; what `contexts set` chose is never overwritten by omission.
pub(super) fn new_context(global: &GlobalArgs) -> anyhow::Result<Context> {
    let dir = ConfigDir::for_writing(&Environment::of_process())?;
    Ok(dir.context(global.context.clone().unwrap_or_default()))
}

/// The user's name, where the context holds this user's identity at this origin and the server agrees.
async fn logged_in_already(
    context: &Context,
    args: &AuthLoginArgs,
    global: &GlobalArgs,
) -> anyhow::Result<Option<String>> {
    let wanted = IdentitySubject::User { user_id: args.user_id.clone() };
    match context.identity_and_key() {
        Ok((identity, key))
            if !args.replace
                && identity.subject == wanted
                && identity.origin == args.origin
                && (args.pin.is_none() || args.pin == identity.pin)
                && !identity.is_of_another_machine(MachineId::of_this_machine().as_ref()) =>
        {
            let client = ControlClient::with_identity(&identity, Arc::new(key), global)?;
            Ok(registered(&client, &args.user_id).await?)
        }
        _ => Ok(None),
    }
}

async fn wait(client: &ControlClient, user: &UserId) -> anyhow::Result<String> {
    let deadline = Instant::now() + Duration::from_secs(REGISTRATION_TOKEN_TTL_SECS);
    while Instant::now() < deadline {
        sleep(POLL_INTERVAL).await;
        match registered(client, user).await {
            Ok(Some(name)) => return Ok(name),
            Ok(None) => {}
            // A server that restarts while we wait is no reason to start over.
            Err(ControlError::Unreachable { .. } | ControlError::NoAnswer { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let message =
        "the key was not registered within 15 minutes; run the same command again for a new token of the same key";
    Err(Failure::new(ExitCode::Denied, message).into())
}

/// The user's name, once the server knows the key. A server that cannot answer, a certificate that is not trusted and
/// a clock that is off are errors: waiting would not help.
async fn registered(client: &ControlClient, user: &UserId) -> Result<Option<String>, ControlError> {
    match client.get::<Whoami>("/whoami").await {
        Ok(answer) => match answer.value.subject {
            Subject::User { id, name, .. } if id == *user => Ok(Some(name.to_string())),
            _ => Ok(None),
        },
        Err(ControlError::Refused { problem }) if matches!(problem.status, 401 | 403) => Ok(None),
        Err(error) => Err(error),
    }
}

fn finish(context: &Context, pending: &PendingKey, identity: &Identity, name: &str) -> anyhow::Result<ExitCode> {
    context.complete(pending, identity)?;
    output::say(format_args!("logged in to {} as {name}, in context {}", identity.origin, context.name()));
    Ok(ExitCode::Success)
}
