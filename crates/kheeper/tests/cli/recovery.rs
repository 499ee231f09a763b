//! What PostgreSQL sees of a `restore_command`: 0 restored, the tool's "absent", else 255, on which it stops.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Machine, stderr};

fn status(mut command: Command) -> Option<i32> {
    command.output().expect("runs").status.code()
}

#[test]
fn wal_fetch_exits_with_0_74_or_255() {
    let machine = Machine::new();
    for (script, expected) in
        [("exit 0", 0), ("exit 74", 74), ("exit 1", 255), ("exit 2", 255), ("exit 127", 255), ("kill -9 $$", 255)]
    {
        let command = machine.with_walg("walg wal-fetch 000000010000000000000001 pg_wal/x", script);
        assert_eq!(status(command), Some(expected), "{script}");
    }
}

#[test]
fn barman_exits_with_0_1_or_255() {
    let machine = Machine::new();
    for (code, expected) in [(0, 0), (1, 1), (2, 255), (3, 255), (4, 255)] {
        let mut command = machine.command("exec --recovery barman -- sh -c");
        command.arg(format!("exit {code}"));
        assert_eq!(status(command), Some(expected), "{code}");
    }
    let mut plain = machine.command("exec -- sh -c");
    plain.arg("exit 3");
    assert_eq!(status(plain), Some(3), "without --recovery the status comes through");
}

#[test]
fn a_failed_fetch_explains_itself_in_postgresqls_log() {
    let output = Machine::new().with_walg("walg wal-fetch a b", "exit 1").output().expect("runs");
    assert!(stderr(&output).contains("PostgreSQL stops here"), "{}", stderr(&output));
}

#[test]
fn a_standby_asks_again_and_is_not_stopped() {
    let machine = Machine::new();
    fs::write(machine.data_dir().join("standby.signal"), "").expect("a file");
    assert_eq!(status(machine.with_walg("walg wal-fetch a b", "exit 1")), Some(1));
    assert_eq!(status(machine.with_walg("walg wal-fetch a b", "exit 74")), Some(74));
    let mut elsewhere = machine.with_walg("walg wal-fetch a b", "exit 1");
    elsewhere.current_dir("/").env("PGDATA", machine.data_dir());
    assert_eq!(status(elsewhere), Some(1), "PGDATA counts where the current directory is none");
}

#[test]
fn our_own_failures_stop_recovery_and_never_end_it() {
    let machine = Machine::new();
    for line in [
        "--bogus walg wal-fetch a b",
        "walg --host nonsense wal-fetch a b",
        "--context nobody walg wal-fetch a b",
        "walg wal-fetch a b",
        "exec --recovery barmen -- true",
        "exec --recovery barman -- /nonexistent/program",
        "exec --recovery barman",
    ] {
        assert_eq!(status(machine.command(line)), Some(255), "{line}");
    }
    // A flag that only wal-g could know: wal-g refuses it with 1.
    assert_eq!(status(machine.with_walg("walg --bogus wal-fetch a b", "exit 1")), Some(255));
}

#[test]
fn a_signal_from_postgresql_ends_wal_g_and_then_us() {
    let machine = Machine::new();
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut command = machine.with_walg("walg wal-fetch a b", "echo started; exec sleep 600");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
        let mut started = [0; 8];
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut started).expect("wal-g has started");
        let pid = Pid::from_raw(child.id().try_into().expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("a signal");
        assert_eq!(child.wait().expect("ends").code(), Some(255), "{signal:?}");
        // The pipe ends when nobody holds its other end: wal-g has gone too.
        assert_eq!(stdout.read_to_end(&mut Vec::new()).expect("an end"), 0);
    }
}

#[test]
fn wal_push_is_wal_g_itself_so_that_signals_reach_it() {
    let machine = Machine::new();
    let mut command = machine.with_walg("walg wal-push a", "kill -TERM $$");
    assert_eq!(command.status().expect("runs").signal(), Some(15));
}
