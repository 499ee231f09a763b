//! A private PostgreSQL cluster: no TCP port, its socket and data in the test's own directory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::command::{self, Done};
use crate::process::Running;
use crate::unix::{Account, database_account};
use crate::wait::{self, secs};

/// How long PostgreSQL may take to start, to recover, or to stop.
pub const PATIENCE: Duration = secs(180);

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its data directory.
    pub data: PathBuf,
    home: PathBuf,
    settings: BTreeMap<String, String>,
    environment: Vec<(String, String)>,
    running: Option<Running>,
}

impl Cluster {
    /// A new cluster below `home`, not started.
    pub fn create(home: &Path) -> Self {
        Self::create_with(home, &[])
    }

    /// The same, with further options for `initdb`.
    pub fn create_with(home: &Path, options: &[&str]) -> Self {
        let cluster = Self::at(home);
        let mut initdb = cluster.tool("initdb");
        initdb.args(options);
        initdb.args(["--auth=trust", "--username=postgres", "--no-sync", "--no-instructions", "-D"]);
        initdb.arg(&cluster.data);
        command::run(initdb, PATIENCE).ok();
        cluster
    }

    /// A cluster below `home` whose data directory something else will fill.
    pub fn at(home: &Path) -> Self {
        make_directory(home);
        let settings = [
            ("listen_addresses", ""),
            ("unix_socket_directories", &home.display().to_string()),
            ("shared_buffers", "32MB"),
            ("wal_level", "replica"),
            ("archive_timeout", "60"),
            // Connections are taken only once recovery is over: being ready means having been promoted.
            ("hot_standby", "off"),
            ("fsync", "off"),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { data: home.join("data"), home: home.to_owned(), settings, environment: Vec::new(), running: None }
    }

    /// Sets a configuration parameter for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// The environment its archive and restore commands will have.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
    }

    /// Starts it without waiting for it to accept connections.
    pub fn launch(&mut self) {
        let mut command = self.tool("postgres");
        command.arg("-D").arg(&self.data).env_clear().envs(self.environment.iter().cloned());
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        self.running = Some(Running::start("postgres", command));
    }

    /// Starts it, and waits until it accepts connections: until it has recovered and was promoted, if it had to. However many
    /// segments it recovers from, each must come within the limit.
    pub fn start(&mut self) {
        self.launch();
        let name = format!("PostgreSQL in {}", self.data.display());
        let mut restored = 0;
        loop {
            let so_far = wait::until(&name, PATIENCE, || {
                if let Some(status) = self.running().try_wait() {
                    panic!("{name} ended ({status}):\n{}", self.running().log());
                }
                if self.try_sql("select 1").status.success() {
                    return Some(None);
                }
                let so_far = self.running().log().matches("restored log file").count();
                (so_far > restored).then_some(Some(so_far))
            });
            match so_far {
                Some(so_far) => restored = so_far,
                None => return,
            }
        }
    }

    /// Starts it on a restored directory, so that it recovers from its archive.
    pub fn begin_recovery(&mut self) {
        std::fs::write(self.data.join("recovery.signal"), b"").expect("the data directory is ours to write");
        if let Some(account) = database_account() {
            account.own(&self.data.join("recovery.signal"));
        }
    }

    /// The running postmaster.
    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("PostgreSQL was started")
    }

    /// A fast shutdown.
    pub fn stop(&mut self) {
        self.running().signal(Signal::INT);
        self.running().wait(PATIENCE);
    }

    /// `kill -9` of all its processes at once; what its archive command has started lives on, as it would.
    pub fn kill9(&mut self) {
        self.signal_all(Signal::KILL);
        self.running().wait(PATIENCE);
    }

    /// Sends `signal` to the postmaster and to every process of its own.
    pub fn signal_all(&mut self, signal: Signal) {
        let pid = self.running().pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        self.running().signal(signal);
        for child in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(child, signal);
        }
    }

    /// Starts it after a `kill -9`, again and again while a process of its past still holds its memory.
    pub fn restart(&mut self) {
        wait::until("PostgreSQL to start again", PATIENCE, || {
            self.launch();
            wait::until("PostgreSQL to answer or to end", PATIENCE, || {
                let ended = self.running().try_wait();
                let log = self.running().log();
                assert!(ended.is_none() || log.contains("is still in use"), "PostgreSQL ended: {log}");
                let answers = ended.is_none() && self.client().try_sql("select 1").status.success();
                (answers || ended.is_some()).then_some(answers)
            })
            .then_some(())
        });
    }

    /// A client of it, which outlives its process.
    pub fn client(&self) -> Client {
        Client { home: self.home.clone() }
    }

    /// Ends it at once and destroys its data directory: the loss that backups are for.
    pub fn destroy(&mut self) {
        self.running().signal(Signal::QUIT);
        self.running().wait(PATIENCE);
        std::fs::remove_dir_all(&self.data).expect("the data directory is ours to remove");
    }

    /// The answer to `query`, unaligned, without its last newline.
    #[track_caller]
    pub fn sql(&self, query: &str) -> String {
        self.try_sql(query).ok().stdout.trim_end().to_owned()
    }

    fn try_sql(&self, query: &str) -> Done {
        self.client().try_sql(query)
    }

    /// Where its socket is: `PGHOST`.
    pub fn socket_dir(&self) -> &Path {
        &self.home
    }

    /// Inserts the next `count` rows of the table every test uses.
    pub fn insert(&self, count: u32) {
        self.sql("create table if not exists kept (n bigint generated always as identity, what text)");
        self.sql(&format!("insert into kept (what) select md5(g::text) from generate_series(1, {count}) g"));
    }

    /// How many rows there are, and a digest of all of them.
    pub fn rows(&self) -> String {
        self.sql("select count(*), md5(string_agg(n || what, ',' order by n)) from kept")
    }

    /// Ends the current segment and returns its name.
    pub fn switch_segment(&self) -> String {
        self.sql("select pg_walfile_name(pg_switch_wal())")
    }

    /// Whether PostgreSQL considers `name` (a segment or a history file) archived.
    pub fn is_archived(&self, name: &str) -> bool {
        let wal = self.data.join("pg_wal");
        let status = wal.join("archive_status");
        status.join(format!("{name}.done")).exists()
            || (!status.join(format!("{name}.ready")).exists() && !wal.join(name).exists())
    }

    /// What waits to be archived.
    pub fn waiting_segments(&self) -> Vec<String> {
        let status = std::fs::read_dir(self.data.join("pg_wal/archive_status")).expect("it is there");
        let names = status.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.strip_suffix(".ready").map(str::to_owned)).collect()
    }

    /// Waits until `name` is archived.
    pub fn wait_until_archived(&self, name: &str) {
        wait::until(&format!("the archiving of {name}"), PATIENCE, || self.is_archived(name).then_some(()));
    }

    /// Ends the current segment and waits until it is archived.
    pub fn archive_everything(&self) -> String {
        let segment = self.switch_segment();
        self.wait_until_archived(&segment);
        segment
    }

    /// The timeline it is on.
    pub fn timeline(&self) -> String {
        self.sql("select timeline_id from pg_control_checkpoint()")
    }

    /// What `pg_controldata` says about `field` of a cluster that does not run.
    pub fn control_data(&self, field: &str) -> String {
        let mut tool = self.tool("pg_controldata");
        tool.arg(&self.data).env("LC_ALL", "C");
        let output = command::run(tool, PATIENCE).ok().stdout;
        let line = output.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in {output}")).trim().to_owned()
    }

    fn tool(&self, name: &str) -> Command {
        tool(&self.home, name)
    }
}

/// Whoever has something to say to a cluster, whether it runs or not.
#[derive(Debug, Clone)]
pub struct Client {
    home: PathBuf,
}

impl Client {
    /// Runs `query`.
    pub fn try_sql(&self, query: &str) -> Done {
        let mut psql = self.program("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", query]);
        command::run(psql, PATIENCE)
    }

    /// A client program of PostgreSQL, told where the cluster is.
    pub fn program(&self, name: &str) -> Command {
        let mut command = tool(&self.home, name);
        command.args(["-U", "postgres", "-h"]).arg(&self.home);
        command
    }
}

fn tool(home: &Path, name: &str) -> Command {
    let mut command = Command::new(bin_dir().join(name));
    command.current_dir(home);
    if let Some(account) = database_account() {
        account.apply(&mut command);
    }
    command
}

/// Makes a directory that belongs to the account PostgreSQL runs as.
pub fn make_directory(path: &Path) {
    std::fs::create_dir_all(path).expect("the temporary directory is writable");
    if let Some(account) = database_account() {
        account.own(path);
    }
}

/// Gives everything below `path` to `account`.
pub fn give_tree(path: &Path, account: Account) {
    account.own(path);
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a readable directory") {
            give_tree(&entry.expect("a readable directory").path(), account);
        }
    }
}

/// The newest PostgreSQL of this machine.
fn bin_dir() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map(|entries| entries.flatten().collect::<Vec<_>>());
    let newest = versions.unwrap_or_default().into_iter().map(|entry| entry.file_name()).max_by_key(version);
    match newest {
        Some(version) => Path::new("/usr/lib/postgresql").join(version).join("bin"),
        None => PathBuf::from("/usr/bin"),
    }
}

fn version(name: &OsString) -> u32 {
    name.to_str().and_then(|name| name.parse().ok()).unwrap_or(0)
}
