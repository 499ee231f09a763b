//! `kheeper`, as a person or a unit would call it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{self, Done};
use crate::process::Running;
use crate::unix::Account;
use crate::wait::secs;

/// How long any one command may take.
const LIMIT: Duration = secs(60);

/// The command line, with a configuration directory of its own.
#[derive(Debug, Clone)]
pub struct Cli {
    /// The program.
    pub program: PathBuf,
    /// `$KHEEPER_CONFIG`.
    pub config: PathBuf,
    /// The account it runs as; the tests' own where there is none.
    pub account: Option<Account>,
}

impl Cli {
    /// `kheeper` from `bin`, with the configuration directory `config`.
    pub fn new(bin: &Path, config: &Path) -> Self {
        Self { program: bin.join("kheeper"), config: config.to_owned(), account: None }
    }

    /// The same as another account.
    pub fn run_as(&self, account: Option<Account>) -> Self {
        Self { account, ..self.clone() }
    }

    /// The command, to add to. Nothing of the tests' own environment tells it who it is.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("KHEEPER_CONFIG", &self.config).env_remove("KHEEPER_CONTEXT");
        command.current_dir("/");
        if let Some(account) = self.account {
            account.apply(&mut command);
        }
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        command::run(self.command(args), LIMIT)
    }

    /// Runs it and checks that it succeeded.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Done {
        self.run(args).ok()
    }

    /// Runs it with `--json` and reads what it printed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        self.run(&args).json()
    }

    /// A token of its identity.
    #[track_caller]
    pub fn token(&self) -> String {
        self.ok(&["auth", "token"]).stdout.trim().to_owned()
    }

    /// The files of its default context.
    pub fn context_dir(&self) -> PathBuf {
        self.config.join("default")
    }

    /// Its private key.
    pub fn key_file(&self) -> PathBuf {
        self.context_dir().join("ed25519_private.pem")
    }

    /// Starts `kheeper auth login`, and the registration token it printed.
    pub fn begin_login(&self, user_id: &str, origin: &str, more: &[&str]) -> (Running, String) {
        let mut args = vec!["auth", "login", user_id, "--origin", origin];
        args.extend(more);
        let mut login = Running::start("kheeper auth login", self.command(&args));
        let token = login.wait_for_line("the registration token", secs(20), |line| {
            line.split_whitespace().find(|word| looks_like_a_jwt(word)).map(str::to_owned)
        });
        (login, token)
    }
}

fn looks_like_a_jwt(word: &str) -> bool {
    word.starts_with("eyJ") && word.split('.').count() == 3
}
