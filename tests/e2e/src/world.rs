//! A server, its owner, an org, and the hosts a test asks for.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::binaries;
use crate::cli::Cli;
use crate::filesystem::FileSystem;
use crate::postgres::give_tree;
use crate::proxy::Proxy;
use crate::s3::Door;
use crate::server::Server;
use crate::unix::database_account;
use crate::wait::secs;

/// The org of every world.
pub const ORG: &str = "myorg";

/// Everything one test needs, gone when it is dropped.
#[derive(Debug)]
pub struct World {
    /// The server.
    pub server: Server,
    /// The org's owner.
    pub alice: Cli,
    dir: TempDir,
}

/// A host that has joined.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The command line on it.
    pub cli: Cli,
}

impl Host {
    /// `myorg/web-01`.
    pub fn namespace(&self) -> String {
        format!("{ORG}/{}", self.name)
    }

    /// The path of `key` in its namespace.
    pub fn path(&self, key: &str) -> String {
        format!("/{ORG}/{}/{key}", self.name)
    }
}

impl World {
    /// A server with the org `myorg`, owned by alice.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with further options for the server.
    pub fn start_with(options: &[&str]) -> Self {
        let dir = Self::directory();
        let data = dir.path().join("data");
        Self::start_in(dir, &data, options)
    }

    /// An empty world's directory, with the programs in it, readable by every account of the machine.
    pub fn directory() -> TempDir {
        let dir =
            tempfile::Builder::new().prefix("kheeper-e2e-").tempdir().expect("the temporary directory is writable");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("our own directory");
        binaries::install(&dir.path().join("bin"));
        dir
    }

    /// The same on a data directory of the test's choice.
    pub fn start_in(dir: TempDir, data: &Path, options: &[&str]) -> Self {
        let server = Server::start(&dir.path().join("bin"), data, options);
        let alice = Cli::new(&dir.path().join("bin"), &dir.path().join("config-alice"));
        let world = Self { server, alice, dir };
        world.login("alice", &world.alice);
        world.alice.ok(&["orgs", "create", ORG]);
        world
    }

    /// The same with its data on a file system of its own in memory, which has the mount's `options`, such as `size=64m`. That is
    /// to be dropped first, so that it is unmounted before the world's directory is removed: last declared is first dropped.
    pub fn start_on_disk(options: &str) -> (Self, FileSystem) {
        let dir = Self::directory();
        let at = dir.path().join("disk");
        let disk = FileSystem::in_memory(&at, options);
        (Self::start_in(dir, &at.join("data"), &[]), disk)
    }

    /// A path of the world's own temporary directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory of the programs.
    pub fn bin(&self) -> PathBuf {
        self.path("bin")
    }

    /// A command line with a configuration directory of its own.
    pub fn cli(&self, name: &str) -> Cli {
        Cli::new(&self.bin(), &self.path(&format!("config-{name}")))
    }

    /// Creates a user, logs them in at `cli`, and returns their id.
    pub fn login(&self, name: &str, cli: &Cli) -> String {
        let id = self.create_user(name);
        let (mut login, token) = cli.begin_login(&id, &self.server.origin(), &[]);
        self.server.operator(&["keys", "register", &token, "--yes"]).ok();
        let status = login.wait(secs(30));
        assert!(status.success(), "{}", login.log());
        id
    }

    /// Creates a user without a key.
    pub fn create_user(&self, name: &str) -> String {
        text(&self.server.operator_json(&["users", "create", name])["id"])
    }

    /// Another user, with an org of their own.
    pub fn other_owner(&self, name: &str, org: &str) -> Cli {
        let cli = self.cli(name);
        self.login(name, &cli);
        cli.ok(&["orgs", "create", org]);
        cli
    }

    /// A join token for a new host.
    pub fn invite(&self, name: &str) -> String {
        let invitation = self.alice.json(&["hosts", "create", &format!("{ORG}/{name}")]);
        text(&invitation["join_token"])
    }

    /// A new host that has joined.
    pub fn host(&self, name: &str) -> Host {
        let token = self.invite(name);
        let cli = self.cli(name);
        cli.ok(&["hosts", "join", &token]);
        Host { name: name.to_owned(), cli }
    }

    /// A change of the index that no command makes, while the server is down.
    pub fn change_index(&mut self, sql: &str) {
        self.server.terminate();
        let mut python = std::process::Command::new("python3");
        python.args(["-c", "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"]);
        python.arg(self.server.data.join("index.db")).arg(sql);
        crate::command::run(python, secs(20)).ok();
        self.server.restart();
    }

    /// Alice at her workstation, as the account that PostgreSQL and its archivers run as there: her proxy admits nobody else.
    pub fn workstation(&self) -> Cli {
        if let Some(account) = database_account() {
            give_tree(&self.alice.config, account);
        }
        self.alice.run_as(database_account())
    }

    /// The same host as it is on a machine that knows the server by another origin.
    pub fn host_at(&self, host: &Host, name: &str, origin: &str) -> Host {
        let cli = self.cli(name);
        let dir = cli.context_dir();
        std::fs::create_dir_all(&dir).expect("our own directory");
        for file in ["identity.json", "ed25519_private.pem"] {
            std::fs::copy(host.cli.context_dir().join(file), dir.join(file)).expect("the host has joined");
        }
        let identity = dir.join("identity.json");
        let text = std::fs::read_to_string(&identity).expect("just copied");
        let mut json: Value = serde_json::from_str(&text).expect("an identity is JSON");
        assert!(json["origin"].is_string(), "{json}");
        json["origin"] = origin.into();
        std::fs::write(&identity, json.to_string()).expect("just copied");
        Host { name: host.name.clone(), cli }
    }

    /// A proxy with a host's identity.
    pub fn host_proxy(&self, host: &Host) -> Proxy {
        Proxy::start(&host.cli, &[])
    }

    /// A proxy with the owner's identity.
    pub fn owner_proxy(&self) -> Proxy {
        Proxy::start(&self.alice, &[])
    }

    /// The server itself, with a token of `cli`'s identity.
    pub fn direct(&self, cli: &Cli) -> Door {
        Door::direct(self.server.address(), &cli.token())
    }
}

/// The text of a JSON string.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string was expected, not {value}")).to_owned()
}
