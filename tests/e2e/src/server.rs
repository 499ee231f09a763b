//! `kheeper-server`, on a data directory of its own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::Rng as _;

use crate::command::{self, Done};
use crate::http::Request;
use crate::process::Running;
use crate::wait::{self, secs};

/// What the server says once it listens.
pub const ANNOUNCEMENT: &str = "kheeper-server listening on ";

/// Among a server's options, stands for its own origin, which is not known before it has a port.
pub const OWN_ORIGIN: &str = "{origin}";

/// A server that can be stopped, killed and started again on the same directory and port.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    address: SocketAddr,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    running: Option<Running>,
}

impl Server {
    /// Starts the server of `bin` on `data`, with further options.
    pub fn start(bin: &Path, data: &Path, options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self {
            program: bin.join("kheeper-server"),
            data: data.to_owned(),
            address: (Ipv4Addr::LOCALHOST, free_port()).into(),
            options,
            environment: Vec::new(),
            running: None,
        };
        server.restart();
        server
    }

    /// The command that serves, to add to.
    pub fn serve_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--data").arg(&self.data).arg("--listen").arg(self.address().to_string());
        command.args(self.options.iter().map(|option| option.replace(OWN_ORIGIN, &self.origin()))).current_dir("/");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What its environment has more than ours, from the next start on.
    pub fn set_environment(&mut self, variables: &[(&str, &str)]) {
        self.environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    }

    /// Starts it in the expectation that it ends by itself before it listens.
    pub fn start_and_die(&mut self) {
        self.running = None;
        let mut running = Running::start("kheeper-server", self.serve_command());
        let status = running.wait(secs(30));
        assert!(!status.success() && !running.log().contains(ANNOUNCEMENT), "{}", running.log());
    }

    /// Starts it again after it has ended, and waits until it listens.
    pub fn restart(&mut self) {
        self.start_within(secs(30));
    }

    /// Starts it again after it has ended, and waits until it says that it is ready, which must come within `limit`.
    pub fn restart_ready_within(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        self.start_within(limit);
        let address = self.address();
        let left = deadline.saturating_duration_since(Instant::now());
        wait::until("the server to be ready", left, || {
            let ready = Request::new("GET", "/-/readyz").try_send(address).is_ok_and(|answer| answer.status == 200);
            ready.then_some(())
        });
    }

    /// Starts it again and kills it at some moment of its start: after `moment`, unless it listens before.
    pub fn start_and_kill9(&mut self, moment: Duration) {
        self.running = None;
        let mut running = Running::start("kheeper-server", self.serve_command());
        wait::poll(moment, || running.log().contains(ANNOUNCEMENT).then_some(()));
        running.kill9();
        self.running = Some(running);
    }

    fn start_within(&mut self, limit: Duration) {
        self.running = None;
        let mut running = Running::start("kheeper-server", self.serve_command());
        running.wait_for_line("the announcement", limit, |line| line.contains(ANNOUNCEMENT).then_some(()));
        self.running = Some(running);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens from the next start on.
    pub fn listen_on(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// Its further options from the next start on.
    pub fn set_options(&mut self, options: &[&str]) {
        self.options = options.iter().map(|option| (*option).to_owned()).collect();
    }

    /// Its origin.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The running program.
    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("the server runs")
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        self.running().kill9();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.running().terminate(secs(40))
    }

    /// An operator's command on its data directory.
    pub fn operator(&self, args: &[&str]) -> Done {
        let mut command = Command::new(&self.program);
        command.args(args).arg("--data").arg(&self.data).current_dir("/");
        command::run(command, secs(60))
    }

    /// Waits until what failed has left nothing behind: fsck finds nothing wrong, and no blob that nothing refers to.
    #[track_caller]
    pub fn expect_nothing_left_over(&self) {
        wait::until("every blob to be referred to", secs(60), || {
            let fsck = self.operator_json(&["fsck", "--read-data"]);
            (fsck["orphan_blobs"] == 0).then_some(())
        });
    }

    /// An operator's command, and the record it printed.
    #[track_caller]
    pub fn operator_json(&self, args: &[&str]) -> serde_json::Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        self.operator(&args).json()
    }
}

/// A port that nothing listens on and that the kernel does not give to outgoing connections, so that a server that was
/// killed finds it free again. No other test takes it while this process runs, whichever process that one is in.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let dir = std::env::temp_dir().join(format!("kheeper-e2e-ports-{}", rustix::process::getuid().as_raw()));
    std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
    loop {
        let port = rand::rng().random_range(12_000..30_000);
        let path = dir.join(port.to_string());
        let claim = File::options().create(true).truncate(false).write(true).open(path).expect("our own directory");
        // The lock ends with this process, however it ends.
        if claim.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            TAKEN.lock().expect("no holder panics").push(claim);
            return port;
        }
    }
}
