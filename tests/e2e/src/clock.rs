//! Programs whose clock is off.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Cli;
use crate::process::Running;
use crate::proxy::ANNOUNCEMENT;
use crate::s3::Door;
use crate::server::{Server, free_port};
use crate::wait::secs;

/// Debian's package libfaketime, to be preloaded; the programs are linked dynamically, or it would not reach them.
pub fn libfaketime() -> String {
    let libraries = std::fs::read_dir("/usr/lib").expect("a Linux").flatten().map(|entry| entry.path());
    let found = libraries.map(|dir| dir.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
    found.as_deref().and_then(Path::to_str).expect("./test installs libfaketime").to_owned()
}

/// Makes `command` see a clock that is `offset` off, for instance `+7200` seconds.
pub fn shift(command: &mut Command, offset: &str) {
    command.env("LD_PRELOAD", libfaketime()).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// A clock in a file, for programs that are to live by one clock which the test moves.
#[derive(Debug)]
pub struct MovedClock {
    file: PathBuf,
    minutes: u64,
}

impl MovedClock {
    /// One that shows the right time, in a file of its own.
    pub fn new(file: PathBuf) -> Self {
        std::fs::write(&file, "+0").expect("our own directory");
        Self { file, minutes: 0 }
    }

    /// How far ahead of the right time it is, in minutes.
    pub fn minutes(&self) -> u64 {
        self.minutes
    }

    /// Sets it so far ahead of the right time.
    pub fn set(&mut self, minutes: u64) {
        self.minutes = minutes;
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("+{}", minutes * 60)).expect("our own directory");
        std::fs::rename(new, &self.file).expect("our own directory");
    }

    /// What makes a program live by it. Monotonic time, which deadlines are counted in, passes as ever.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", libfaketime()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// Starts a running server again, by this clock.
    pub fn restart(&self, server: &mut Server) {
        server.terminate();
        let variables = self.variables();
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        server.set_environment(&variables);
        server.restart();
    }

    /// A proxy that lives by it, and its door.
    pub fn proxy(&self, cli: &Cli, args: &[&str]) -> (Running, Door) {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut command = cli.command(&[&["object-proxy", "--listen", &listen], args].concat());
        command.envs(self.variables());
        let mut proxy = Running::start("kheeper object-proxy", command);
        proxy.wait_for_line("the announcement", secs(20), |line| line.contains(ANNOUNCEMENT).then_some(()));
        (proxy, Door::proxy(listen.parse().expect("an address")))
    }
}
