//! Accounts of this machine: PostgreSQL refuses to run as root, and the proxy can tell callers apart.

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

/// The account PostgreSQL runs as: `postgres` when the tests run as root, otherwise whoever runs them (`None`).
pub fn database_account() -> Option<Account> {
    is_root().then(|| Account::named("postgres").expect("Debian's postgresql package makes the account postgres"))
}
