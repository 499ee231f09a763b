//! `kheeper object-proxy`.

use clap::Args;

use crate::cli::GlobalArgs;
use crate::error::Failure;
use crate::exit_code::ExitCode;

/// Flags of `kheeper object-proxy`.
#[derive(Debug, Args)]
pub(crate) struct ObjectProxyArgs {}

/// Serves until it is told to stop.
pub(crate) async fn run(_args: ObjectProxyArgs, _global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    Err(Failure::new(ExitCode::NotBuilt, "the proxy is not built in yet").into())
}
