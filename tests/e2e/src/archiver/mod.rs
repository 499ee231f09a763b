//! wal-g and barman-cloud behind one trait, so that every PostgreSQL case is written once.

mod barman;
mod walg;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use barman::Barman;
pub use walg::WalG;

use crate::cli::Cli;
use crate::command::{self, Done};
use crate::postgres::{Cluster, make_directory};
use crate::proxy::Proxy;
use crate::unix::database_account;
use crate::wait::secs;
use crate::world::{Host, World};

/// How long one run of an archiver may take.
const PATIENCE: Duration = secs(240);

/// A program that archives and restores PostgreSQL through a proxy.
pub trait Archiver: Sync {
    /// Its name, for messages.
    fn name(&self) -> &'static str;
    /// `archive_command`.
    fn archive_command(&self, site: &Site) -> String;
    /// `restore_command`.
    fn restore_command(&self, site: &Site) -> String;
    /// Takes a base backup of a running cluster.
    fn base_backup(&self, site: &Site, cluster: &Cluster);
    /// The names of the base backups, oldest first.
    fn backups(&self, site: &Site) -> Vec<String>;
    /// Deletes all base backups but the newest `count`, and the WAL that only they need.
    fn retain(&self, site: &Site, count: usize);
    /// Restores the newest base backup into the directory `data`, which is not there yet.
    fn restore_latest(&self, site: &Site, data: &Path);
    /// Archives one file, as PostgreSQL would.
    fn push(&self, site: &Site, file: &Path) -> Done;
    /// Fetches one segment, as PostgreSQL would in recovery.
    fn fetch(&self, site: &Site, segment: &str, to: &Path) -> Done;
    /// The path of the object that holds a segment's bytes as they are; `None` where what is stored is compressed.
    fn plain_object(&self, site: &Site, segment: &str) -> Option<String>;
    /// The exit code by which PostgreSQL learns that a segment is not there.
    fn absent_code(&self) -> i32;
}

/// Where an archiver runs: whose identity, through which proxy, on which host's backups.
#[derive(Debug, Clone)]
pub struct Site {
    /// `kheeper` with the identity of the place.
    pub cli: Cli,
    /// The proxy's endpoint.
    pub endpoint: String,
    /// Whose backups: `myorg/web-01`.
    pub namespace: String,
    /// Whether it has to be said whose backups are meant: an owner has none of their own, and a host that reads another's
    /// by a grant means those.
    pub is_owner: bool,
    /// A directory of the account that PostgreSQL runs as.
    pub home: PathBuf,
    /// Settings of the archiver's own.
    pub settings: Vec<(String, String)>,
}

impl Site {
    /// A host's own: its programs in a new directory of the world called `name`, through `proxy`.
    pub fn of_host(world: &World, host: &Host, proxy: &Proxy, name: &str) -> Self {
        let home = world.path(name);
        make_directory(&home);
        Self {
            cli: host.cli.clone(),
            endpoint: proxy.endpoint(),
            namespace: host.namespace(),
            is_owner: false,
            home,
            settings: Vec::new(),
        }
    }

    /// Somebody else's, who says whose backups are meant: an owner at their workstation, or a host with a grant.
    pub fn of_reader(world: &World, cli: &Cli, proxy: &Proxy, host: &Host, name: &str) -> Self {
        Self { cli: cli.clone(), is_owner: true, ..Self::of_host(world, host, proxy, name) }
    }

    /// From its next start on, `cluster` archives here, and restores from here.
    pub fn archive(&self, cluster: &mut Cluster, archiver: &dyn Archiver) {
        self.replay(cluster, archiver);
        cluster.set("archive_mode", "on");
        cluster.set("archive_command", &archiver.archive_command(self));
    }

    /// From its next start on, `cluster` restores from here, and archives nothing.
    pub fn replay(&self, cluster: &mut Cluster, archiver: &dyn Archiver) {
        cluster.set("archive_mode", "off");
        cluster.set("restore_command", &archiver.restore_command(self));
        cluster.set_environment(self.environment());
    }

    /// The environment of everything that runs here: where the proxy and the programs are. The rest is `kheeper`'s.
    pub fn environment(&self) -> Vec<(String, String)> {
        let bin = self.cli.program.parent().expect("the program lies in a directory").display().to_string();
        let mut environment = vec![
            ("KHEEPER_CONFIG".to_owned(), self.cli.config.display().to_string()),
            ("KHEEPER_ENDPOINT".to_owned(), self.endpoint.clone()),
            ("PATH".to_owned(), format!("{bin}:/usr/local/bin:/usr/bin:/bin")),
            ("HOME".to_owned(), self.home.display().to_string()),
        ];
        environment.extend(self.settings.iter().cloned());
        environment
    }

    /// Runs a shell command here, as the account PostgreSQL runs as and with nothing but this site's environment.
    pub fn run(&self, command: &str, more: &[(&str, &str)]) -> Done {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).env_clear().envs(self.environment()).envs(more.iter().copied());
        shell.current_dir(&self.home);
        if let Some(account) = database_account() {
            account.apply(&mut shell);
        }
        command::run(shell, PATIENCE)
    }

    /// `kheeper walg` or `kheeper exec`, which an owner has to tell whose backups are meant.
    fn kheeper(&self, command: &str) -> String {
        let whose = if self.is_owner { format!(" --host {}", self.namespace) } else { String::new() };
        format!("kheeper {command}{whose}")
    }
}

/// PostgreSQL's `%p` or `%f` replaced, the way PostgreSQL does it.
fn substitute(command: &str, p: &Path, f: &str) -> String {
    command.replace("%p", &p.display().to_string()).replace("%f", f)
}
