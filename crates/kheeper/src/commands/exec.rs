//! `kheeper exec [--recovery TOOL] -- CMD…`, and how other programs are run.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::signal::unix::{self, SignalKind};

use super::whose::WhoseArgs;
use crate::cli::GlobalArgs;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output;
use crate::recovery::{self, Fetcher, Mode};

/// How long a program that was asked to end may take before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// A status of barman's that is not "absent" (its "general error").
const NOT_ABSENT: i32 = 4;

/// Settings of the AWS SDKs that would lead a program past the proxy, or make it ask for credentials.
const REMOVED: [&str; 8] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ENDPOINT_URL_S3",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
];

/// Flags of `kheeper exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// The program is PostgreSQL's restore_command: exit with 255, on which PostgreSQL stops instead of promoting,
    /// unless it says "done" or "not in the archive" in this tool's way.
    #[arg(long, value_name = "TOOL")]
    recovery: Option<Fetcher>,
    #[command(flatten)]
    whose: WhoseArgs,
    /// The program and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the program.
pub(crate) fn run(args: ExecArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let env = args.whose.client_env(global)?;
    let mut settings = env.walg();
    settings.extend(env.aws());
    let mut words = args.command.into_iter();
    let path = words.next().ok_or_else(|| Failure::usage("no program is named"))?;
    let program = Program { path, arguments: words.collect(), settings };
    let Some(fetcher) = args.recovery else { return become_program(program) };
    let mode = Mode::of_this_process();
    let status = super::block_on(run_and_confirm(program, fetcher, mode))?;
    Ok(recovery::finish(fetcher, status, mode))
}

/// Runs a fetching program, and asks barman twice before its word that there is no more WAL counts.
///
/// barman-cloud-wal-restore exits with 1 where the file is absent, and so does Python where it cannot even begin, for
/// instance without boto3 after an upgrade. With `--test` it only looks whether it can reach the archive.
async fn run_and_confirm(program: Program, fetcher: Fetcher, mode: Mode) -> anyhow::Result<ExitStatus> {
    let status = run_and_wait(&program).await?;
    let says_absent = mode == Mode::UntilEnd && fetcher == Fetcher::Barman && status.code() == Some(fetcher.absent());
    if !says_absent || Path::new(&program.path).file_name() != Some(OsStr::new("barman-cloud-wal-restore")) {
        return Ok(status);
    }
    let Program { path, mut arguments, settings } = program;
    arguments.insert(0, "--test".into());
    let reached = run_and_wait(&Program { path, arguments, settings }).await?;
    if reached.success() {
        return Ok(status);
    }
    output::say(format_args!(
        "kheeper: barman said that there is no such WAL, and then that it cannot ask ({reached})"
    ));
    // Whatever it was: not the one status that may end recovery.
    Ok(ExitStatus::from_raw(NOT_ABSENT << 8))
}

/// Another program, its arguments, and what it finds in its environment beside what we have in ours.
pub(crate) struct Program {
    /// A path, or a name to look for in `PATH`.
    pub(crate) path: OsString,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Variables that it gets, whatever they were.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        for name in REMOVED {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    fn did_not_start(&self, error: &io::Error) -> Failure {
        let path = self.path.to_string_lossy();
        let advice = match (error.kind(), path.as_ref()) {
            (io::ErrorKind::NotFound, "wal-g") => ": install wal-g, or set WALG to its path",
            (io::ErrorKind::NotFound, _) => ": is it installed, and on PATH?",
            _ => "",
        };
        Failure::new(ExitCode::Config, format!("failed to start {path}: {error}{advice}"))
    }
}

/// Becomes the program: it takes over the process, and with it every signal and the exit status.
pub(crate) fn become_program(program: Program) -> anyhow::Result<ExitCode> {
    let error = program.command().exec();
    Err(program.did_not_start(&error).into())
}

/// Runs the program to its end. The signals that ask us to end go on to it.
pub(crate) async fn run_and_wait(program: &Program) -> anyhow::Result<ExitStatus> {
    // Listening before the program starts: a signal in between must not be lost, nor end us alone.
    let mut terminate = unix::signal(SignalKind::terminate())?;
    let mut interrupt = unix::signal(SignalKind::interrupt())?;
    let mut quit = unix::signal(SignalKind::quit())?;
    let mut hangup = unix::signal(SignalKind::hangup())?;
    let mut command = tokio::process::Command::from(program.command());
    let mut child = command.spawn().map_err(|error| program.did_not_start(&error))?;
    let signal = tokio::select! {
        status = child.wait() => return Ok(status?),
        _ = terminate.recv() => Signal::TERM,
        _ = interrupt.recv() => Signal::INT,
        _ = quit.recv() => Signal::QUIT,
        _ = hangup.recv() => Signal::HUP,
    };
    end(&mut child, signal).await
}

async fn end(child: &mut Child, signal: Signal) -> anyhow::Result<ExitStatus> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself just now.
        let _ = kill_process(pid, signal);
    }
    if let Ok(status) = tokio::time::timeout(END_TIMEOUT, child.wait()).await {
        return Ok(status?);
    }
    output::say(format_args!("kheeper: the program did not end within {END_TIMEOUT:?} of a signal: killing it"));
    child.kill().await?;
    Ok(child.wait().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()], settings: Vec::new() }
    }

    #[tokio::test]
    async fn a_program_sees_its_settings_and_not_what_would_mislead_it() {
        let mut program = shell(r#"test "$AWS_ENDPOINT" = http://127.0.0.1:5000 && test -z "$AWS_PROFILE""#);
        program.settings = vec![("AWS_ENDPOINT", "http://127.0.0.1:5000".to_owned())];
        assert_eq!(run_and_wait(&program).await.unwrap().code(), Some(0));
    }

    #[tokio::test]
    async fn the_programs_status_comes_back() {
        assert_eq!(run_and_wait(&shell("exit 74")).await.unwrap().code(), Some(74));
        assert_eq!(run_and_wait(&shell("kill -9 $$")).await.unwrap().code(), None);
    }

    /// A program of barman's name that exits with 1, and with `reached` when it is asked whether it can reach the archive.
    fn barman(dir: &Path, reached: i32) -> Program {
        let path = dir.join("barman-cloud-wal-restore");
        // Another process writes it: a descriptor of ours could be open in a program that another test starts just then,
        // and a file that is open for writing cannot be run.
        let write = format!(
            "printf '#!/bin/sh\\ntest \"$1\" = --test && exit {reached}\\nexit 1\\n' >\"$0\" && chmod 755 \"$0\""
        );
        assert!(Command::new("/bin/sh").arg("-c").arg(write).arg(&path).status().unwrap().success());
        Program { path: path.into(), arguments: vec!["s3://myorg/web-01".into()], settings: Vec::new() }
    }

    #[tokio::test]
    async fn barmans_word_that_a_file_is_absent_counts_only_if_it_can_reach_the_archive() {
        let dir = tempfile::tempdir().unwrap();
        for (reached, mode, expected) in [
            (0, Mode::UntilEnd, 1),
            (1, Mode::UntilEnd, NOT_ABSENT),
            (2, Mode::UntilEnd, NOT_ABSENT),
            (1, Mode::Standby, 1),
        ] {
            let status = run_and_confirm(barman(dir.path(), reached), Fetcher::Barman, mode).await.unwrap();
            assert_eq!(status.code(), Some(expected), "--test exits with {reached}, {mode:?}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_says_what_to_do() {
        let program = Program { path: "/nonexistent/wal-g".into(), arguments: Vec::new(), settings: Vec::new() };
        let error = run_and_wait(&program).await.unwrap_err().to_string();
        assert!(error.contains("is it installed"), "{error}");
    }
}
