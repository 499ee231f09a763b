//! What the exit status says, by class. Scripts may rely on these; `kheeper --help` lists them.
//!
//! The classes above 63 are those of `sysexits.h`. 74 is never ours: to PostgreSQL's recovery, as to wal-g, it means "this
//! file is not in the archive" (see [`crate::recovery`]).

use std::io;
use std::process;

use kheeper_identity::{ContextError, TrustError};

use crate::error::{ControlError, Failure};

/// What [`ExitCode`] means, for the end of `kheeper --help`.
pub(crate) const HELP: &str = "\
Exit status:
  0   done
  1   failed for a reason that none of the others is
  2   the command line is wrong
  3   `hosts list --stale`: a host has been silent for too long
  4   there is no such org, host or user
  5   the server refuses because of what is there: a name taken, a token used, backups in the way
  6   not built yet
  69  the server cannot be reached, or cannot answer now
  73  a file or directory cannot be written
  76  what answers is not to be trusted, or not a kheeper server
  77  denied: no permission, or a key or token that is not valid (any more)
  78  the configuration is wrong: no identity, a damaged one, a key that others can read
  255 `walg wal-fetch`, `exec --recovery`: PostgreSQL must stop and not promote
`walg` and `exec` pass the other program's status through, but for what `docs/postgresql.md` says of recovery.";

/// The process's exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// Done.
    Success,
    /// Failed for a reason that no other class fits.
    Failure,
    /// The command line is wrong.
    Usage,
    /// A host has been silent for too long.
    Stale,
    /// There is no such thing on the server.
    NotFound,
    /// The server refuses because of what is there.
    Conflict,
    /// The command is designed and not built yet.
    NotBuilt,
    /// The server cannot be reached, or cannot answer now.
    Unavailable,
    /// A file or directory cannot be written.
    CannotWrite,
    /// The other end is not to be trusted.
    Untrusted,
    /// No permission.
    Denied,
    /// The configuration or the identity is wrong: starting again will not help.
    Config,
    /// Another program's own status, or one that [`crate::recovery`] made of it.
    Other(u8),
}

impl ExitCode {
    /// The status as a number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Stale => 3,
            Self::NotFound => 4,
            Self::Conflict => 5,
            Self::NotBuilt => 6,
            Self::Unavailable => 69,
            Self::CannotWrite => 73,
            Self::Untrusted => 76,
            Self::Denied => 77,
            Self::Config => 78,
            Self::Other(status) => status,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}

/// The class of an error: that of the innermost cause which has one.
pub(crate) fn of(error: &anyhow::Error) -> ExitCode {
    error.chain().filter_map(class_of).last().unwrap_or(ExitCode::Failure)
}

fn class_of(cause: &(dyn std::error::Error + 'static)) -> Option<ExitCode> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.code);
    }
    if let Some(error) = cause.downcast_ref::<ContextError>() {
        return Some(match error {
            ContextError::Write { .. } => ExitCode::CannotWrite,
            ContextError::Exists { .. } => ExitCode::Conflict,
            ContextError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => ExitCode::Denied,
            _ => ExitCode::Config,
        });
    }
    if cause.is::<TrustError>() {
        return Some(ExitCode::Config);
    }
    cause.downcast_ref::<ControlError>().map(ControlError::exit_code)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_class_survives_added_context() {
        let error = ContextError::NoConfigDir;
        let result: anyhow::Result<()> = Err(error).context("failed to do it");
        assert_eq!(of(&result.unwrap_err()), ExitCode::Config);
        assert_eq!(of(&anyhow::anyhow!("whatever")), ExitCode::Failure);
    }

    #[test]
    fn no_class_of_ours_reads_as_absent_from_the_archive() {
        for code in [
            ExitCode::Failure,
            ExitCode::Usage,
            ExitCode::Stale,
            ExitCode::NotFound,
            ExitCode::Conflict,
            ExitCode::NotBuilt,
            ExitCode::Unavailable,
            ExitCode::CannotWrite,
            ExitCode::Untrusted,
            ExitCode::Denied,
            ExitCode::Config,
        ] {
            assert_ne!(code.number(), 74);
            assert!(HELP.lines().any(|line| line.trim_start().starts_with(&format!("{} ", code.number()))), "{code:?}");
        }
    }
}
