//! The client matrix: which real client, of which version, went through which door, what it did, and whether that worked.
//!
//! Each cycle of a client is one [`Row`]. Rows are lines appended to the file that `$KHEEPER_MATRIX` names, else to
//! `target/matrix`; `./test` prints them as a table at its end. A test that panics leaves a red row, which says what was
//! the last thing to succeed.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::command::Done;

/// How a client reaches the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `http://`.
    Plain,
    /// `https://`, with the proxy's own certificate.
    Tls,
}

impl Wire {
    /// As the table has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "TLS",
        }
    }
}

/// One cycle of one client. Green once [`Row::green`] is called, red if it is dropped before.
#[derive(Debug)]
pub struct Row {
    client: String,
    version: String,
    wire: Wire,
    done: Vec<String>,
    begun: Instant,
    green: bool,
}

impl Row {
    /// Begins the cycle of `client`, which calls itself `version`.
    pub fn begin(client: &str, version: &str, wire: Wire) -> Self {
        let (client, version) = (client.to_owned(), version.trim().to_owned());
        Self { client, version, wire, done: Vec::new(), begun: Instant::now(), green: false }
    }

    /// Notes a step that has just succeeded.
    pub fn did(&mut self, step: &str) {
        self.done.push(step.to_owned());
    }

    /// Notes the steps of a program of ours in another language, which prints a line `did STEP` after each of them, and
    /// checks that it succeeded.
    #[track_caller]
    pub fn follow(&mut self, program: Done) {
        self.done.extend(program.stdout.lines().filter_map(|line| line.strip_prefix("did ")).map(str::to_owned));
        program.ok();
    }

    /// Ends the cycle: everything in it held.
    pub fn green(mut self) {
        assert!(!self.done.is_empty(), "a cycle without a step proves nothing");
        self.green = true;
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let last = self.done.last().map_or("the very start", String::as_str);
        let result = if self.green {
            format!("green in {:.1} s", self.begun.elapsed().as_secs_f64())
        } else {
            format!("RED after {last}")
        };
        append(&[&self.client, &self.version, self.wire.as_str(), &self.done.join(", "), &result]);
    }
}

/// Notes a client that could not run here, and why; on standard output too, past the capture of the test runner.
pub fn absent(client: &str, why: &str) {
    not_run(client, "-", "-", why);
}

/// Notes that a client which is here cannot be reached over `wire`.
pub fn cannot_speak(client: &str, version: &str, wire: Wire, why: &str) {
    not_run(client, version, wire.as_str(), why);
}

fn not_run(client: &str, version: &str, wire: &str, why: &str) {
    append(&[client, version, wire, "-", &format!("NOT RUN: {why}")]);
    let _ = std::io::stdout().write_all(format!("\nCLIENT-NOT-RUN {client}: {why}\n").as_bytes());
}

/// Appends one line in one write, so that lines of tests that run at the same time do not mix.
fn append(cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace(['\t', '\n'], " ")).collect();
    let line = cells.join("\t") + "\n";
    let path = file();
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.write_all(line.as_bytes()).expect("the matrix can be written");
}

fn file() -> PathBuf {
    std::env::var_os("KHEEPER_MATRIX").map_or_else(|| target().join("matrix"), PathBuf::from)
}

/// The workspace's `target/`.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tests/e2e lies in the workspace").join("target")
}
