//! The program itself, offline: what it prints, and what it exits with.

mod contexts;
mod host_me;
mod recovery;
mod walg;

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A directory of contexts with a host's identity in `default` and a user's in `alice`. Neither has a key: nothing that
/// these tests run may need one.
pub(crate) struct Machine {
    dir: TempDir,
}

const HOST: &str = r#"{"version":1,"origin":"https://backup.example.com:443","kind":"host","org":"myorg","host":"web-01",
    "host_id":"hst_00000000000000000000000000000000","key_id":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}"#;
const USER: &str = r#"{"version":1,"origin":"https://backup.example.com:443","kind":"user",
    "user_id":"usr_00000000000000000000000000000000","key_id":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}"#;

impl Machine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (context, identity) in [("default", HOST), ("alice", USER)] {
            let context = dir.path().join("config").join(context);
            fs::create_dir_all(&context).expect("a context");
            fs::write(context.join("identity.json"), identity).expect("an identity");
        }
        fs::create_dir(dir.path().join("pgdata")).expect("a data directory");
        fs::write(dir.path().join("pgdata/PG_VERSION"), "15\n").expect("a data directory");
        Self { dir }
    }

    /// PostgreSQL's data directory, in which commands run, as PostgreSQL runs them.
    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("pgdata")
    }

    /// `kheeper` with these arguments, in an environment that holds nothing else.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kheeper"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("KHEEPER_CONFIG", self.dir.path().join("config"))
            .current_dir(self.data_dir());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Output {
        self.command(line).output().expect("kheeper runs")
    }

    /// The same with a shell script in wal-g's place. The program is a file of the repository: one written here could
    /// still be open for writing in a child of another test, and the kernel runs no such file.
    pub(crate) fn with_walg(&self, line: &str, script: &str) -> Command {
        let mut command = self.command(line);
        command.env("WALG", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/fake-wal-g")).env("FAKE_WALG", script);
        command
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}
