//! A program that keeps running until the test ends it.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::search::{self, Search};
use crate::wait;

/// Lines of a program's output that are shown when a test fails.
const TAIL_LINES: usize = 60;

/// In which the kernel counts processor time for everybody else (USER_HZ), on every machine that Rust runs on.
const TICKS_PER_SEC: f64 = 100.0;

type Lines = Arc<Mutex<Vec<String>>>;

/// How long what a program has written may take to be read once it has ended: what it started may hold its outputs open.
const LAST_WORDS: Duration = wait::secs(3);

/// A running child. Dropping it kills it, shows the end of its log if the test is failing, and fails the test if a secret
/// was found in what it wrote ([`search`]).
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    lines: Lines,
    readers: [JoinHandle<()>; 2],
    found: Vec<Arc<Mutex<Vec<String>>>>,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts `command`; `name` is what messages call it.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let searches = search::begin(name, &mut command).map_or([None, None], |searches| searches.map(Some));
        let found = searches.iter().flatten().map(Search::found).collect();
        let [search_stdout, search_stderr] = searches;
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let lines = Lines::default();
        let stdout = collect(child.stdout.take().expect("piped"), Arc::clone(&lines), search_stdout);
        let stderr = collect(child.stderr.take().expect("piped"), Arc::clone(&lines), search_stderr);
        Self { name: name.to_owned(), child, lines, readers: [stdout, stderr], found, ended: None }
    }

    /// What `pick` finds in a line of the output, so far or within `limit`. Panics if the program ends first.
    pub fn wait_for_line<T>(&mut self, what: &str, limit: Duration, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let mut seen = 0;
        let found = wait::poll(limit, || {
            // Asked before looking: what the program wrote before it ended is looked at once more.
            let ended = self.try_wait().filter(|_| self.readers.iter().all(JoinHandle::is_finished));
            let found = {
                let lines = self.lines.lock().expect("no reader panics");
                let new = lines[seen..].iter().find_map(|line| pick(line));
                seen = lines.len();
                new
            };
            found.map(Ok).or_else(|| ended.map(Err))
        });
        match found {
            Some(Ok(found)) => found,
            Some(Err(status)) => panic!("{} ended ({status}) before {what}:\n{}", self.name, self.log()),
            None => panic!("{}: {what} did not come in {limit:?}:\n{}", self.name, self.log()),
        }
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        self.lines.lock().expect("no reader panics").join("\n")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`, unless it has ended already.
    pub fn signal(&mut self, signal: Signal) {
        if self.try_wait().is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid");
            kill_process(pid, signal).expect("a child that was not waited for can be signalled");
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.wait(wait::secs(10));
    }

    /// SIGTERM, and how it ended within `limit`.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended
    }

    /// How it ended, within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait::until(&format!("the end of {name}"), limit, || self.try_wait())
    }

    /// The time of a processor that it has taken, in the kernel and outside.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it is running");
        // The name, in parentheses, may hold anything; what follows are numbers, the state being the third field.
        let (_, fields) = stat.rsplit_once(')').expect("proc(5)");
        let ticks = |number: usize| -> u64 {
            fields.split_whitespace().nth(number - 3).and_then(|ticks| ticks.parse().ok()).expect("proc(5)")
        };
        Duration::from_secs_f64((ticks(14) + ticks(15)) as f64 / TICKS_PER_SEC)
    }

    /// The most memory it ever held (VmHWM), in bytes.
    pub fn memory_peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says VmHWM");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kib * 1024
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let skip = log.lines().count().saturating_sub(TAIL_LINES);
            let tail: Vec<&str> = log.lines().skip(skip).collect();
            eprintln!("--- last lines of {} ---\n{}\n---", self.name, tail.join("\n"));
        }
        if !self.found.is_empty() {
            wait::poll(LAST_WORDS, || self.readers.iter().all(JoinHandle::is_finished).then_some(()));
            search::judge(&self.found);
        }
    }
}

fn collect(pipe: impl Read + Send + 'static, lines: Lines, mut search: Option<Search>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if search.as_mut().is_none_or(|search| search.take(&line)) {
                lines.lock().expect("no reader panics").push(String::from_utf8_lossy(&line).into_owned());
            }
        }
        if let Some(search) = search {
            search.end();
        }
    })
}
