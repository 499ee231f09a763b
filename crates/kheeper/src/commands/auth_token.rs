//! `kheeper auth token`: an access token on stdout, for curl and the like.

use clap::Args;
use kheeper_identity::Scope;
use kheeper_identity::token::{AccessRequest, mint_access};
use kheeper_model::limits::TOKEN_TTL_SECS_MAX;
use kheeper_model::{Clock as _, SystemClock, Timestamp};
use serde::Serialize;

use super::whose;
use crate::cli::GlobalArgs;
use crate::duration;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output::{self, Format};

/// Flags of `kheeper auth token`.
#[derive(Debug, Args)]
pub(crate) struct AuthTokenArgs {
    /// How long it shall live, an hour at the most.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse_secs)]
    ttl: u64,
    /// Narrow it: `read`, or `read:ORG/HOST[,ORG/HOST…]`.
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

/// A token, as `--json` prints it.
#[derive(Serialize)]
struct TokenRecord<'a> {
    token: &'a str,
    expires_at: Timestamp,
}

/// Signs a token with the context's key; offline.
pub(crate) fn run(args: &AuthTokenArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    if args.ttl == 0 || args.ttl > TOKEN_TTL_SECS_MAX {
        return Err(Failure::usage(format!("a token lives 1 s to {TOKEN_TTL_SECS_MAX} s, not {} s", args.ttl)).into());
    }
    let (identity, key) = global.context()?.identity_and_key()?;
    if args.scope.is_none() {
        // A scope only reads, which a clone may.
        whose::check_machine(&identity)?;
    }
    let token = mint_access(
        &key,
        &AccessRequest {
            subject: &identity.subject.id(),
            audience: &identity.origin,
            now: SystemClock.now(),
            ttl_secs: args.ttl,
            scope: args.scope.as_ref(),
        },
    );
    match global.format() {
        Format::Json => output::print_json(&TokenRecord { token: token.reveal(), expires_at: token.expires_at() })?,
        Format::Table => output::print(token.reveal())?,
    }
    Ok(ExitCode::Success)
}
