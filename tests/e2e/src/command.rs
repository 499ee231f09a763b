//! Programs that run to their end.

use std::io::{Read, Write as _};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::search::{self, Search};
use crate::wait;

/// What a program that has ended left behind.
#[derive(Debug, Clone)]
pub struct Done {
    /// The command, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Done {
    /// Its exit code; 256 when a signal ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(256)
    }

    /// Itself, after checking that it succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Itself, after checking that it failed.
    #[track_caller]
    pub fn failed(self) -> Self {
        assert!(!self.status.success(), "should have failed: {self}");
        self
    }

    /// Its standard output as JSON, after checking that it succeeded.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let done = self.ok();
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("not JSON: {error}: {done}"))
    }

    /// Both outputs together, for looking for a word.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}\nstdout: {}\nstderr: {}", self.command, self.status, self.stdout, self.stderr)
    }
}

/// Runs `command` to its end, which must come within `limit`.
pub fn run(command: Command, limit: Duration) -> Done {
    run_with_input(command, b"", limit)
}

/// Runs `command` with `input` on its standard input.
pub fn run_with_input(mut command: Command, input: &[u8], limit: Duration) -> Done {
    let name = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let searches = search::begin("a command", &mut command).map_or([None, None], |searches| searches.map(Some));
    let found: Vec<_> = searches.iter().flatten().map(Search::found).collect();
    let [search_stdout, search_stderr] = searches;
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
    let stdout = collect(child.stdout.take().expect("piped"), search_stdout);
    let stderr = collect(child.stderr.take().expect("piped"), search_stderr);
    // A program that does not read its input may be gone already.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let ended = wait::poll(limit, || child.try_wait().expect("a child can be waited for"));
    if ended.is_none() {
        let _ = child.kill();
    }
    let status = child.wait().expect("a child can be waited for");
    let done = Done {
        command: name,
        status,
        stdout: stdout.join().expect("reading a pipe"),
        stderr: stderr.join().expect("reading a pipe"),
    };
    search::judge(&found);
    assert!(ended.is_some(), "not done after {limit:?}: {done}");
    done
}

fn collect(mut pipe: impl Read + Send + 'static, search: Option<Search>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let Some(mut search) = search else { return String::from_utf8_lossy(&bytes).into_owned() };
        let mut seen = String::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if search.take(line) {
                seen.push_str(&String::from_utf8_lossy(line));
            }
        }
        search.end();
        seen
    })
}
