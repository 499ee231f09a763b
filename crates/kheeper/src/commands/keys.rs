//! `kheeper keys list | revoke`: one's own keys.

use clap::Subcommand;
use kheeper_model::KeyId;
use kheeper_model::api::{KeyRecord, KeyState};

use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::exit_code::ExitCode;
use crate::output::{self, Columns, Format};

/// `kheeper keys …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Your own keys, or this host's.
    List,
    /// Revoke a key of your own, for ever: of a laptop that was lost, for instance. A host's are changed with `hosts rotate-key`.
    Revoke {
        /// The key's id. One in 64 begins with `-`.
        #[arg(allow_hyphen_values = true)]
        key_id: KeyId,
    },
}

/// Runs `kheeper keys …`.
pub(crate) async fn run(command: KeysCommand, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = ControlClient::for_context(global)?;
    match command {
        KeysCommand::List => {
            let keys: Vec<KeyRecord> = client.get("/keys").await?.value;
            match global.format() {
                Format::Json => output::print_json(&keys)?,
                Format::Table => output::print(&table(&keys))?,
            }
        }
        KeysCommand::Revoke { key_id } => {
            let key: KeyRecord = client.post_empty(&format!("/keys/{key_id}/revoke")).await?.value;
            if global.format() == Format::Json {
                output::print_json(&key)?;
            }
            output::say(format_args!("{} is refused for ever, within 5 s", key.key_id));
        }
    }
    Ok(ExitCode::Success)
}

fn table(keys: &[KeyRecord]) -> String {
    let mut columns = Columns::new(&["KEY", "STATE", "SINCE", "ENDS"]);
    for key in keys {
        let state = match key.state {
            KeyState::Pending => "pending",
            KeyState::Active => "active",
            KeyState::Revoked => "revoked",
        };
        let ends = key.ends_at.map(|time| time.to_string()).unwrap_or_default();
        columns.row([key.key_id.to_string(), state.to_owned(), key.created_at.to_string(), ends]);
    }
    columns.render()
}
