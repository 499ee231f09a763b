//! Programs whose clock is off.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Server;

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

/// A clock that a test moves while programs live by it.
#[derive(Debug)]
pub struct MovedClock {
    file: PathBuf,
    minutes: u64,
}

/// How far it goes between two commits: less than the hour that is taken for a jump.
const STEP_MINUTES: u64 = 50;

impl MovedClock {
    /// One that shows the true time, in `file`.
    pub fn new(file: &Path) -> Self {
        let clock = Self { file: file.to_owned(), minutes: 0 };
        clock.write();
        clock
    }

    fn write(&self) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("+{}", self.minutes * 60)).expect("our own directory");
        std::fs::rename(new, &self.file).expect("our own directory");
    }

    /// What makes a program live by it. Monotonic time, which deadlines are counted in, passes as ever.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", libfaketime()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// Starts a running server again, by this clock.
    pub fn restart(&self, server: &mut Server) {
        server.terminate();
        server.set_environment(&self.variables().each_ref().map(|(name, value)| (*name, value.as_str())));
        server.restart();
    }

    /// How many minutes it is ahead of the true time.
    pub fn minutes(&self) -> u64 {
        self.minutes
    }

    /// Sets it so many minutes ahead of the true time.
    pub fn set(&mut self, minutes: u64) {
        self.minutes = minutes;
        self.write();
    }

    /// Lets time pass, with a commit at each step.
    pub fn pass_until(&mut self, minutes: u64, mut commit: impl FnMut()) {
        while self.minutes < minutes {
            self.set(minutes.min(self.minutes + STEP_MINUTES));
            commit();
        }
    }
}
