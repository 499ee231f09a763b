//! `kheeper object-proxy`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use crate::cli::Cli;
use crate::http::Request;
use crate::process::Running;
use crate::s3::Door;
use crate::server::free_port;
use crate::wait::secs;

/// What the proxy says once it listens.
pub const ANNOUNCEMENT: &str = "kheeper object-proxy listening on ";

/// A proxy with the identity of the command line that started it.
#[derive(Debug)]
pub struct Proxy {
    cli: Cli,
    port: u16,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    running: Option<Running>,
}

impl Proxy {
    /// Starts a proxy with the identity of `cli` and further options, and waits until it listens.
    pub fn start(cli: &Cli, options: &[&str]) -> Self {
        Self::start_in(cli, options, &[])
    }

    /// The same, whose environment has more than ours.
    pub fn start_in(cli: &Cli, options: &[&str], environment: &[(&str, String)]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut proxy = Self { cli: cli.clone(), port: free_port(), options, environment, running: None };
        proxy.restart();
        proxy
    }

    /// The command that serves, to add to.
    pub fn command(&self) -> Command {
        let listen = self.address().to_string();
        let mut args = vec!["object-proxy", "--listen", &listen];
        args.extend(self.options.iter().map(String::as_str));
        let mut command = self.cli.command(&args);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Ends it, and starts it again on the same port.
    pub fn restart(&mut self) {
        self.running = None;
        let mut running = Running::start("kheeper object-proxy", self.command());
        running.wait_for_line("the announcement", secs(20), |line| line.contains(ANNOUNCEMENT).then_some(()));
        self.running = Some(running);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What clients call their endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The door that S3 clients go through.
    pub fn door(&self) -> Door {
        Door::proxy(self.address())
    }

    /// The certificate authority that its clients are told to trust, where it was started with `--tls`.
    pub fn authority(&self) -> PathBuf {
        let endpoint = format!("https://{}", self.address());
        let env = self.cli.ok(&["hosts", "me", "--env=sdk", "--endpoint", &endpoint]).stdout;
        let file = env.lines().find_map(|line| line.strip_prefix("AWS_CA_BUNDLE="));
        file.unwrap_or_else(|| panic!("no authority in\n{env}")).into()
    }

    /// How many answers of `class`, such as `4xx`, it has given so far: what a client sends again is counted again.
    #[track_caller]
    pub fn answers(&self, class: &str) -> u64 {
        let metrics = Request::new("GET", "/-/metrics").send(self.address()).expect(200).text();
        let name = format!("kheeper_proxy_answers_total{{class=\"{class}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&*name));
        line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
    }

    /// What `act` did, and how many more answers of `class` there are since: how often it was told so.
    #[track_caller]
    pub fn counting<T>(&self, class: &str, act: impl FnOnce() -> T) -> (T, u64) {
        let before = self.answers(class);
        let done = act();
        (done, self.answers(class) - before)
    }

    /// The running program.
    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("the proxy runs")
    }
}
