//! `kheeper hosts create` and `rejoin`: an owner's invitation to a host.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use kheeper_identity::{Identity, IdentitySubject, PublicKey};
use kheeper_model::Namespace;
use kheeper_model::api::{HostCreate, HostInvitation};

use super::hosts;
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::exit_code::ExitCode;
use crate::output::{self, Format};

/// Flags of `kheeper hosts create`.
#[derive(Debug, Args)]
pub(crate) struct HostsCreateArgs {
    /// The host.
    #[arg(value_name = "ORG/HOST")]
    host: Namespace,
    /// Register this Ed25519 public key (PEM) instead of making a join token, and print the identity.json to put
    /// beside its private half.
    #[arg(long, value_name = "FILE")]
    public_key_file: Option<PathBuf>,
}

/// Flags of `kheeper hosts rejoin`.
#[derive(Debug, Args)]
pub(crate) struct HostsRejoinArgs {
    /// The host.
    #[arg(value_name = "ORG/HOST")]
    host: Namespace,
}

/// Makes a host.
pub(crate) async fn run(args: HostsCreateArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let key = args.public_key_file.as_deref().map(read_public_key).transpose()?;
    let client = ControlClient::for_context(global)?;
    let Namespace { org, host } = args.host;
    let request = HostCreate { org, host, public_key_pem: key.map(|key| key.to_spki_pem()) };
    let invitation: HostInvitation = client.post("/hosts", &request).await?.value;
    match key {
        Some(key) if global.format() == Format::Table => print_identity(&invitation, key, global)?,
        _ => print_invitation(&invitation, global)?,
    }
    Ok(ExitCode::Success)
}

/// Makes a new join token for a host that is there.
pub(crate) async fn rejoin(args: HostsRejoinArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = ControlClient::for_context(global)?;
    let invitation: HostInvitation = client.post_empty(&format!("{}/rejoin", hosts::path(&args.host))).await?.value;
    print_invitation(&invitation, global)?;
    output::say(format_args!(
        "joining revokes the host's old key; it then reads only, until `kheeper hosts resume` is run on it after the restore"
    ));
    Ok(ExitCode::Success)
}

fn read_public_key(path: &Path) -> anyhow::Result<PublicKey> {
    let pem = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    PublicKey::from_spki_pem(&pem).with_context(|| format!("failed to read a key from {}", path.display()))
}

fn print_invitation(invitation: &HostInvitation, global: &GlobalArgs) -> anyhow::Result<()> {
    if global.format() == Format::Json {
        return output::print_json(invitation);
    }
    let Some(token) = &invitation.join_token else { return hosts::print_host(&invitation.host, Format::Table) };
    let until = invitation.join_token_expires_at.map(|time| format!(" until {time}")).unwrap_or_default();
    output::say(format_args!(
        "on the host, once{until}: `kheeper hosts join -`, with the token below on its standard input"
    ));
    output::say(format_args!(
        "it is shown this once; whoever uses it first is {}/{}",
        invitation.host.org, invitation.host.host
    ));
    output::print(token)
}

/// A host whose key was registered from a file never joins: it needs to be told who it is.
fn print_identity(invitation: &HostInvitation, key: PublicKey, global: &GlobalArgs) -> anyhow::Result<()> {
    let ours = global.context()?.identity()?;
    let host = &invitation.host;
    let identity = Identity {
        origin: ours.origin,
        subject: IdentitySubject::Host {
            namespace: Namespace { org: host.org.clone(), host: host.host.clone() },
            host_id: host.id.clone(),
        },
        key_id: key.key_id(),
        pin: ours.pin,
        machine_id: None,
    };
    output::say(format_args!("registered key {}; it is pending until the host first uses it", key.fingerprint()));
    output::say(format_args!("put this on the host as /etc/kheeper/default/identity.json, beside ed25519_private.pem"));
    output::print(&identity.to_json())
}
