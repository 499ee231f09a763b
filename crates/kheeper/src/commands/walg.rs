//! `kheeper walg ARGS…`: wal-g with this host's settings, offline from the identity.
//!
//! Everything but `wal-fetch` simply becomes wal-g. `wal-fetch` stays in front of it, for its exit status
//! ([`crate::recovery`]).

use std::env;
use std::ffi::{OsStr, OsString};

use clap::Args;

use super::exec::{Program, become_program, run_and_wait};
use super::whose::WhoseArgs;
use crate::cli::GlobalArgs;
use crate::exit_code::ExitCode;
use crate::recovery::{self, Fetcher, Mode};

/// Flags of `kheeper walg`.
#[derive(Debug, Args)]
#[command(
    after_help = "wal-g is taken from $WALG, else from PATH. Flags before wal-g's own command are kheeper's, the rest is wal-g's."
)]
pub(crate) struct WalgArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    /// wal-g's command and its arguments, for instance `wal-push %p`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<OsString>,
}

/// Runs wal-g.
pub(crate) fn run(args: WalgArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let mut settings = args.whose.client_env(global)?.walg();
    let patience = Patience::of_arguments(&args.arguments);
    settings.extend(patience.settings(|name| env::var_os(name).is_some()));
    settings.extend(data_directory());
    let program = Program {
        path: env::var_os("WALG").filter(|path| !path.is_empty()).unwrap_or_else(|| "wal-g".into()),
        arguments: args.arguments,
        settings,
    };
    if patience != Patience::Recovery {
        return become_program(program);
    }
    let status = super::block_on(run_and_wait(&program))?;
    Ok(recovery::finish(Fetcher::Walg, status, Mode::of_this_process()))
}

/// `PGDATA`, where nobody has set it and we are in it: PostgreSQL runs its commands there, but sets no variable.
///
/// wal-g notes below `PGDATA/pg_wal` which segments it has uploaded ahead of being asked. Without `PGDATA` it does so in
/// `/tmp`, for all clusters of the machine together, and one cluster's segment counts as uploaded when another's was.
fn data_directory() -> Option<(&'static str, String)> {
    if env::var_os("PGDATA").is_some_and(|data| !data.is_empty()) {
        return None;
    }
    let here = env::current_dir().ok()?;
    let is_data_directory = here.join("PG_VERSION").is_file() && here.join("pg_wal").is_dir();
    Some(("PGDATA", here.into_os_string().into_string().ok()?)).filter(|_| is_data_directory)
}

/// How long wal-g shall try before it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// `wal-push`: PostgreSQL itself tries again for ever, and waits for us when it stops. wal-g alone would go on for
    /// half an hour, and nobody would hear of it.
    Archiving,
    /// `wal-fetch`: long enough for a server to restart, and then PostgreSQL is stopped, which can go on later.
    Recovery,
    /// Base backups and the rest: wal-g's own.
    Own,
}

impl Patience {
    /// wal-g's command may come after flags of its own, and a mistyped flag before `wal-fetch` must stop recovery too: so
    /// any word decides, and not only the first.
    fn of_arguments(arguments: &[OsString]) -> Self {
        let has = |word: &str| arguments.iter().any(|argument| argument == OsStr::new(word));
        match (has("wal-fetch"), has("wal-push")) {
            (true, _) => Self::Recovery,
            (false, true) => Self::Archiving,
            (false, false) => Self::Own,
        }
    }

    /// wal-g's settings for it: retries, and milliseconds between retries of 503 (the delay doubles from the lower to
    /// the upper). One that is set already, under any of the names that wal-g reads, is left alone.
    fn settings(self, is_set: impl Fn(&str) -> bool) -> Vec<(&'static str, String)> {
        let (retries, delay_ms_min, delay_ms_max) = match self {
            Self::Archiving => (2, 200, 1000),
            Self::Recovery => (5, 500, 4000),
            Self::Own => return Vec::new(),
        };
        let settings = [
            ("WALG_S3_MAX_RETRIES", retries),
            ("WALG_S3_MIN_THROTTLING_RETRY_DELAY", delay_ms_min),
            ("WALG_S3_MAX_THROTTLING_RETRY_DELAY", delay_ms_max),
        ];
        let chosen_by_user = |name: &str| {
            let bare = name.trim_start_matches("WALG_");
            [bare.to_owned(), format!("WALG_{bare}"), format!("WALE_{bare}")].iter().any(|name| is_set(name))
        };
        let ours = settings.into_iter().filter(|(name, _)| !chosen_by_user(name));
        ours.map(|(name, value)| (name, value.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(patience: Patience, set: &[&str]) -> Vec<&'static str> {
        patience.settings(|name| set.contains(&name)).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn archiving_and_recovery_have_capped_retries_and_base_backups_have_not() {
        let of = |line: &str| Patience::of_arguments(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(names(of("wal-push"), &[]).len(), 3);
        assert_eq!(names(of("wal-fetch"), &[]).len(), 3);
        assert!(names(of("backup-push"), &[]).is_empty());
        assert!(names(of("delete retain FULL 7 --confirm"), &[]).is_empty());
        assert_eq!(of("--config x wal-fetch a b"), Patience::Recovery);
        assert_eq!(of("--bogus wal-fetch wal-push b"), Patience::Recovery);
    }

    #[test]
    fn a_cap_that_the_user_chose_stays_under_each_of_its_names() {
        for name in ["S3_MAX_RETRIES", "WALG_S3_MAX_RETRIES", "WALE_S3_MAX_RETRIES"] {
            assert!(!names(Patience::Archiving, &[name]).contains(&"WALG_S3_MAX_RETRIES"), "{name}");
        }
    }
}
