//! A host, its proxy, its owner's proxy, and clients that know nothing but what `kheeper hosts me --env=TOOL` prints.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::matrix::Wire;
use crate::world::Host;
use crate::{Proxy, World};

/// Variables that would tell a client something that is not kheeper's.
const OTHERS: [&str; 8] = ["AWS_", "RCLONE_", "RESTIC_", "MC_", "S3_", "LITESTREAM_", "PGBACKREST_", "SSL_CERT_"];

/// Takes from `command` what our own environment would tell an S3 client.
pub fn forget_others(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OTHERS.iter().any(|other| name.starts_with(other))) {
            command.env_remove(name);
        }
    }
}

/// Everything the cycle of one client needs.
#[derive(Debug)]
pub struct Scene {
    /// What the host's clients talk to.
    pub proxy: Proxy,
    /// What the owner's talk to, who reads what the host wrote.
    pub owner_proxy: Proxy,
    /// The host: `myorg/web-01`.
    pub host: Host,
    /// The rest of it.
    pub world: World,
    wire: Wire,
}

impl Scene {
    /// A world with one host, and a proxy each for it and for the owner. The proxies speak both on one port; clients are
    /// told of `wire`.
    pub fn start(wire: Wire) -> Self {
        Self::in_world(World::start(), wire)
    }

    /// The same in a world of the test's own.
    pub fn in_world(world: World, wire: Wire) -> Self {
        let host = world.host("web-01");
        let proxy = Proxy::start(&host.cli, &["--tls"]);
        let owner_proxy = Proxy::start(&world.alice, &["--tls"]);
        Self { proxy, owner_proxy, host, world, wire }
    }

    /// What the host's clients call their endpoint.
    pub fn host_endpoint(&self) -> String {
        self.endpoint(&self.proxy)
    }

    /// What the owner's call it.
    pub fn owner_endpoint(&self) -> String {
        self.endpoint(&self.owner_proxy)
    }

    /// What the clients of one more proxy that was started with `--tls` call their endpoint.
    pub fn endpoint(&self, proxy: &Proxy) -> String {
        let scheme = match self.wire {
            Wire::Plain => "http",
            Wire::Tls => "https",
        };
        format!("{scheme}://{}", proxy.address())
    }

    /// A path of the scene's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }

    /// What `kheeper hosts me --env=TOOL` prints for the host.
    pub fn host_settings(&self, tool: &str) -> String {
        let env = format!("--env={tool}");
        self.host.cli.ok(&["hosts", "me", &env, "--endpoint", &self.host_endpoint()]).stdout
    }

    /// What it prints for the owner, who has to say which host is meant.
    pub fn owner_settings(&self, tool: &str) -> String {
        self.owner_settings_at(tool, &self.owner_endpoint())
    }

    /// The same for another of the owner's proxies.
    pub fn owner_settings_at(&self, tool: &str, endpoint: &str) -> String {
        let (env, host) = (format!("--env={tool}"), self.host.namespace());
        self.world.alice.ok(&["hosts", "me", &env, "--host", &host, "--endpoint", endpoint]).stdout
    }

    /// `program` as the host runs it: with the variables of `tool`, and no others of that kind.
    pub fn host_client(&self, program: &Path, tool: &str) -> Command {
        self.client(program, &self.host_settings(tool))
    }

    /// `program` as the owner runs it.
    pub fn owner_client(&self, program: &Path, tool: &str) -> Command {
        self.client(program, &self.owner_settings(tool))
    }

    /// `program` with the variables of `settings`, at home in the scene's directory.
    pub fn client(&self, program: &Path, settings: &str) -> Command {
        let mut command = Command::new(program);
        forget_others(&mut command);
        command.envs(settings.lines().filter_map(|line| line.split_once('=')));
        let home = self.path("");
        command.env("HOME", &home).env("XDG_CACHE_HOME", home.join("cache")).current_dir(home);
        command
    }
}
