//! Accounts of this machine: PostgreSQL refuses to run as root, and the proxy can tell callers apart.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// An account to run a program as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

impl Account {
    /// The account called `name` in `/etc/passwd`.
    pub fn named(name: &str) -> Option<Self> {
        let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next()? == name;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            found.then_some(Self { uid, gid })
        })
    }

    /// Makes `command` run as this account.
    pub fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives `path` to this account.
    pub fn own(self, path: &Path) {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).expect("root may change owners");
    }
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a test that has to be root may go on. If not, `case` is named on standard output, past the capture of the test
/// runner: a test that tried nothing is no test that passed, and `./test` counts these lines.
#[must_use]
pub fn is_root_for(case: &str) -> bool {
    let is_root = is_root();
    if !is_root {
        note_not_run("ROOT", case);
    }
    is_root
}

/// Says that a case did not run, for want of something that `./test` cannot install.
pub fn note_not_run(want: &str, case: &str) {
    let _ = std::io::stdout().write_all(format!("\n{want}-NOT-RUN {case}\n").as_bytes());
}

/// The account PostgreSQL runs as: `postgres` when the tests run as root, otherwise whoever runs them (`None`).
pub fn database_account() -> Option<Account> {
    is_root().then(|| Account::named("postgres").expect("Debian's postgresql package makes the account postgres"))
}
