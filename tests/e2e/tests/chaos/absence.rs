//! 404 means that there is nothing, and never that something is wrong: whoever is told 404 in recovery takes it for the
//! end of the archive.

use kheeper_e2e::filesystem::FileSystem;
use kheeper_e2e::line::Mode;
use kheeper_e2e::server::OWN_ORIGIN;
use kheeper_e2e::wait::{secs, until};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Line, Proxy, World, files, unix};
use rustix::process::Signal;

/// What may be said of a key that is there, and of one that is not.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// Reading is not concerned: 200 and 404.
    Known,
    /// What there is, is known, and cannot be read: 500, 200 to a HEAD, and 404.
    Unreadable,
    /// Whether there is anything cannot be told: this, of both.
    Unknown(u16),
}

/// Everything a fault can be done to.
struct Stage {
    proxy: Proxy,
    line: Line,
    host: Host,
    disk: FileSystem,
    world: World,
}

/// A fault, its doing, what is to be expected meanwhile, and its undoing.
type Row = (&'static str, fn(&mut Stage), Expected, fn(&mut Stage));

const LAST: &str = "key revoked";

const ROWS: &[Row] = &[
    ("nothing", |_| {}, Expected::Known, |_| {}),
    ("server killed", |s| s.world.server.kill9(), Expected::Unknown(503), |s| s.world.server.restart()),
    ("server frozen", |s| freeze(s, Signal::STOP), Expected::Unknown(503), |s| freeze(s, Signal::CONT)),
    ("connections reset", |s| s.line.cut(), Expected::Known, |_| {}),
    ("line refuses", refuse, Expected::Unknown(503), |s| s.line.set(Mode::Open)),
    ("line silent", |s| s.line.set(Mode::Silent), Expected::Unknown(503), |s| s.line.set(Mode::Open)),
    ("disk full", |s| s.disk.remount("size=4m"), Expected::Known, |s| s.disk.remount("size=64m")),
    ("index overwritten", overwrite_index, Expected::Unknown(503), restore_index),
    ("blobs out of reach", |s| move_data(s, "blobs", "away"), Expected::Unreadable, |s| move_data(s, "away", "blobs")),
    ("quota used up", |s| quota(s, "1"), Expected::Known, |s| quota(s, "none")),
    // Nothing brings the key back.
    (LAST, revoke, Expected::Unknown(403), |_| {}),
];

fn freeze(stage: &mut Stage, signal: Signal) {
    stage.world.server.running().signal(signal);
}

fn move_data(stage: &mut Stage, from: &str, to: &str) {
    let data = &stage.world.server.data;
    std::fs::rename(data.join(from), data.join(to)).expect("both on one disk");
}

/// The index and its log.
fn index_files() -> impl Iterator<Item = (String, String)> {
    ["", "-wal", "-shm"].into_iter().map(|end| (format!("index.db{end}"), format!("kept{end}")))
}

fn overwrite_index(stage: &mut Stage) {
    stage.world.server.kill9();
    index_files().for_each(|(index, kept)| move_data(stage, &index, &kept));
    std::fs::write(stage.world.server.data.join("index.db"), [7; 8192]).expect("our own directory");
    stage.world.server.start_and_die();
}

fn restore_index(stage: &mut Stage) {
    index_files().for_each(|(index, kept)| move_data(stage, &kept, &index));
    stage.world.server.restart();
}

fn refuse(stage: &mut Stage) {
    stage.line.set(Mode::Refusing);
    stage.line.cut();
}

fn quota(stage: &mut Stage, bytes: &str) {
    stage.world.alice.ok(&["hosts", "set", "myorg/web-01", "--quota", bytes]);
}

fn revoke(stage: &mut Stage) {
    stage.world.alice.ok(&["hosts", "revoke", "myorg/web-01"]);
    let (door, path) = (stage.proxy.door(), stage.host.path("present"));
    until("the revocation to count", secs(6), || (door.get(&path).status == 403).then_some(()));
}

#[test]
fn a_404_says_that_there_is_nothing_and_no_fault_does() {
    if !unix::is_root_for("a_404_says_that_there_is_nothing_and_no_fault_does") {
        return;
    }
    let dir = World::directory();
    let at = dir.path().join("disk");
    let disk = FileSystem::in_memory(&at, "size=64m,mode=700");
    let line = Line::new();
    let world = World::start_in(dir, &at.join("data"), &["--origin", &line.origin(), "--origin", OWN_ORIGIN]);
    line.lead_to(world.server.address());
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let mut stage = Stage { proxy, line, host, disk, world };
    let bytes = files::random_bytes(1, 300_000);
    let (present, absent) = (stage.host.path("present"), stage.host.path("absent"));
    stage.proxy.door().put(&present, &bytes).expect(200);
    for (fault, inflict, expected, heal) in ROWS {
        inflict(&mut stage);
        let (read, known, is_not) = match expected {
            Expected::Known => (200, 200, 404),
            Expected::Unreadable => (500, 200, 404),
            Expected::Unknown(status) => (*status, *status, *status),
        };
        // All at once, since each may wait for as long as the proxy has patience.
        let door = &stage.proxy.door();
        std::thread::scope(|scope| {
            for (method, path, status) in [
                ("GET", &present, read),
                ("HEAD", &present, known),
                ("GET", &absent, is_not),
                ("HEAD", &absent, is_not),
            ] {
                let bytes = &bytes;
                scope.spawn(move || {
                    let answer = door.request(method, path).send(door.address);
                    assert_eq!(answer.status, status, "{fault}: {method} {path}: {answer}");
                    assert!(status != 200 || method == "HEAD" || answer.body == *bytes, "{fault}: other bytes");
                });
            }
        });
        heal(&mut stage);
        let readable = || (stage.proxy.door().get(&present).status == 200).then_some(());
        if *fault != LAST {
            until("all to be well again", secs(10), readable);
        }
    }
}
