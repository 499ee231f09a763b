//! What PostgreSQL makes of an exit status, and what we therefore make of a fetching program's.
//!
//! A `restore_command` that exits with 0 has restored the file. Any other status up to 125 means "there is no more WAL":
//! recovery ends and PostgreSQL promotes, on a new timeline. Above 125, or killed by a signal, PostgreSQL stops, and can
//! be started again to go on. But wal-g exits with 1, barman-cloud with 2 to 4 and pgBackRest with 25 and more when the
//! store cannot be asked, so that an outage in the middle of recovery would silently cut off everything after it. Only the
//! one status by which each says "absent" may pass; all else becomes 255.
//!
//! A standby (`standby.signal` in the data directory) asks again for ever and must not be stopped: there, every status
//! passes through.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use clap::ValueEnum;
use rustix::process::Signal;

use crate::exit_code::ExitCode;
use crate::output;

/// On this status PostgreSQL stops and does not promote.
const STOP: ExitCode = ExitCode::Other(255);

/// A program that fetches WAL, by the status with which it says "not in the archive".
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fetcher {
    /// `wal-g wal-fetch`: 74.
    Walg,
    /// `barman-cloud-wal-restore`: 1.
    Barman,
    /// `pgbackrest archive-get`: 1.
    Pgbackrest,
}

impl Fetcher {
    /// The status by which it says that the file is not in the archive.
    pub(crate) fn absent(self) -> i32 {
        match self {
            Self::Walg => 74,
            Self::Barman | Self::Pgbackrest => 1,
        }
    }
}

/// Whether recovery ends with the archive, or goes on waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The end of the archive is the end of recovery: it must be the true end.
    UntilEnd,
    /// `standby.signal` is present: PostgreSQL asks again.
    Standby,
}

impl Mode {
    /// The mode of the server that runs us as its `restore_command`, which it does in its data directory. `PGDATA` is
    /// looked at when the current directory is none.
    pub(crate) fn of_this_process() -> Self {
        let here = PathBuf::from(".");
        let data_dir =
            if here.join("PG_VERSION").exists() { Some(here) } else { env::var_os("PGDATA").map(PathBuf::from) };
        data_dir.map_or(Self::UntilEnd, |dir| Self::of_data_dir(&dir))
    }

    fn of_data_dir(dir: &Path) -> Self {
        if dir.join("standby.signal").exists() { Self::Standby } else { Self::UntilEnd }
    }
}

/// What to exit with after the fetching program did. Where that stops PostgreSQL, its log says why.
pub(crate) fn finish(fetcher: Fetcher, status: ExitStatus, mode: Mode) -> ExitCode {
    let code = exit_code(fetcher, status, mode);
    if code == STOP {
        output::say(format_args!(
            "kheeper: the fetch failed ({status}) without saying that the file is not in the archive; exiting with 255, so that PostgreSQL stops here instead of ending recovery: start it again when the cause is gone"
        ));
    }
    code
}

fn exit_code(fetcher: Fetcher, status: ExitStatus, mode: Mode) -> ExitCode {
    match (mode, status.code()) {
        (_, Some(0)) => ExitCode::Success,
        // A signal's status would stop a standby, which must go on asking; but for the one that PostgreSQL sends itself.
        (Mode::Standby, None) if status.signal() != Some(Signal::TERM.as_raw()) => ExitCode::Other(1),
        (Mode::Standby, _) => passed_through(status),
        (Mode::UntilEnd, Some(code)) if code == fetcher.absent() => passed_through(status),
        (Mode::UntilEnd, _) => STOP,
    }
}

/// The status as a shell would give it on: the program's own, or 128 and the signal's number.
pub(crate) fn passed_through(status: ExitStatus) -> ExitCode {
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    let number = number.and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX);
    if number == 0 { ExitCode::Success } else { ExitCode::Other(number) }
}

/// Makes our own failures safe too: where recovery ran us, anything but success and a passed-through status stops it.
pub(crate) fn guard(outcome: ExitCode, arguments: &[OsString]) -> ExitCode {
    match outcome {
        ExitCode::Success | ExitCode::Other(_) => outcome,
        _ if is_restore_command(arguments) && Mode::of_this_process() == Mode::UntilEnd => STOP,
        _ => outcome,
    }
}

/// Whether this looks like a `restore_command`, well formed or not. Judged by words alone, since it must also hold for
/// command lines that did not parse.
fn is_restore_command(arguments: &[OsString]) -> bool {
    let has = |word: &str| arguments.iter().any(|argument| argument == OsStr::new(word));
    let recovery_flag = || arguments.iter().any(|argument| argument.to_string_lossy().starts_with("--recovery"));
    (has("walg") && has("wal-fetch")) || (has("exec") && recovery_flag())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn killed(signal: i32) -> ExitStatus {
        ExitStatus::from_raw(signal)
    }

    fn number(fetcher: Fetcher, status: ExitStatus, mode: Mode) -> u8 {
        exit_code(fetcher, status, mode).number()
    }

    #[test]
    fn only_absent_ends_recovery_and_all_else_stops_it() {
        for (fetcher, absent) in [(Fetcher::Walg, 74), (Fetcher::Barman, 1), (Fetcher::Pgbackrest, 1)] {
            for code in 0..=255 {
                let expected = if code == 0 || code == absent { code } else { 255 };
                assert_eq!(i32::from(number(fetcher, exited(code), Mode::UntilEnd)), expected, "{fetcher:?} {code}");
            }
            for signal in [1, 2, 9, 15] {
                assert_eq!(number(fetcher, killed(signal), Mode::UntilEnd), 255);
            }
        }
    }

    #[test]
    fn a_standby_is_never_stopped() {
        assert_eq!(number(Fetcher::Walg, exited(1), Mode::Standby), 1);
        assert_eq!(number(Fetcher::Walg, exited(74), Mode::Standby), 74);
        assert_eq!(number(Fetcher::Barman, exited(4), Mode::Standby), 4);
        assert_eq!(number(Fetcher::Walg, killed(15), Mode::Standby), 143);
        assert_eq!(
            number(Fetcher::Walg, killed(9), Mode::Standby),
            1,
            "the kernel killed it, and nobody asked us to end"
        );
    }

    #[test]
    fn standby_signal_is_what_makes_a_standby() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Mode::of_data_dir(dir.path()), Mode::UntilEnd);
        std::fs::write(dir.path().join("standby.signal"), "").unwrap();
        assert_eq!(Mode::of_data_dir(dir.path()), Mode::Standby);
    }

    #[test]
    fn our_own_failures_stop_recovery_too() {
        let arguments = |line: &str| -> Vec<OsString> { line.split(' ').map(OsString::from).collect() };
        for line in [
            "kheeper walg wal-fetch a b",
            "kheeper --bogus walg wal-fetch a b",
            "kheeper exec --recovery barman -- x",
            "kheeper exec --recovery=barmen -- x",
        ] {
            assert_eq!(guard(ExitCode::Usage, &arguments(line)), STOP, "{line}");
            assert_eq!(guard(ExitCode::Config, &arguments(line)), STOP, "{line}");
            assert_eq!(guard(ExitCode::Success, &arguments(line)), ExitCode::Success);
            assert_eq!(guard(ExitCode::Other(74), &arguments(line)), ExitCode::Other(74));
        }
        assert_eq!(guard(ExitCode::Usage, &arguments("kheeper walg wal-push a")), ExitCode::Usage);
    }
}
