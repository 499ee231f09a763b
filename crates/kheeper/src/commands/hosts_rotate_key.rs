//! `kheeper hosts rotate-key`: this host gets a new key while its backups go on.
//!
//! Whatever step a crash comes at, one of the two keys works, and the same command goes on from there: the new key is on disk
//! before the server hears of it, the server knows it and has seen it work before the identity names it, and the old key
//! is only ended by the new one.

use std::sync::Arc;

use clap::Args;
use kheeper_identity::Identity;
use kheeper_model::api::{HostRecord, KeyAdd, KeysRetire, Whoami};
use kheeper_model::limits::KEY_OVERLAP_SECS_MAX;

use super::{hosts, whose};
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::duration;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output;

/// Flags of `kheeper hosts rotate-key`.
#[derive(Debug, Args)]
pub(crate) struct HostsRotateKeyArgs {
    /// For how long the old key may still be used, so that uploads which began with it end well; 0 if it was stolen.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration::parse_secs)]
    overlap: u64,
}

/// Makes a new key, has it registered by the old one, and ends the old one.
pub(crate) async fn run(args: HostsRotateKeyArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    if args.overlap > KEY_OVERLAP_SECS_MAX {
        return Err(Failure::usage("--overlap is a day at most").into());
    }
    let context = global.context()?;
    let (identity, old_key) = context.identity_and_key()?;
    let Some(namespace) = identity.namespace().cloned() else {
        let message = format!("context {} is a person's: a new key is had with `kheeper auth login`", context.name());
        return Err(Failure::usage(message).into());
    };
    let path = hosts::path(&namespace);
    whose::check_machine(&identity)?;
    let pending = context.rotation_key()?;
    let new_key = Arc::clone(pending.key());
    let rotated = Identity { key_id: new_key.public_key().key_id(), ..identity.clone() };
    if rotated.key_id != identity.key_id {
        let old = ControlClient::with_identity(&identity, Arc::new(old_key), global)?;
        let request = KeyAdd { public_key_pem: new_key.public_key().to_spki_pem() };
        old.post::<_, HostRecord>(&format!("{path}/keys"), &request).await?;
    }
    let new = ControlClient::with_identity(&rotated, new_key, global)?;
    new.get::<Whoami>("/whoami").await?;
    context.rotate(&pending, &rotated)?;
    let host: HostRecord = new.post(&format!("{path}/keys/retire"), &KeysRetire { secs: args.overlap }).await?.value;
    hosts::print_host(&host, global.format())?;
    output::say(format_args!(
        "the new key is {}; a running proxy takes it up within seconds, and the old key ends {}",
        rotated.key_id,
        if args.overlap == 0 { "now".to_owned() } else { format!("in {}", output::duration(args.overlap)) },
    ));
    Ok(ExitCode::Success)
}
