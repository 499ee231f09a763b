//! 404 means that there is nothing, and never that something is wrong: whoever is told 404 in recovery takes it for the
//! end of the archive.

use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use kheeper_e2e::filesystem::FileSystem;
use kheeper_e2e::line::Mode;
use kheeper_e2e::server::{self, OWN_ORIGIN};
use kheeper_e2e::wait::{secs, until};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, Line, Proxy, Running, World, command, files, unix};
use rustix::process::Signal;

use crate::partition::join;

/// What may be said of a key that is there, and of one that is not.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// Reading is not concerned: 200 and 404.
    Known,
    /// What there is, is known, and cannot be read: 500 or an answer that is cut off, 200 to a HEAD, and 404.
    Unreadable,
    /// As if nothing were, or 503 because there is no room for a request.
    Refused,
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
    /// Connections that take up the server's descriptors.
    crowd: Vec<TcpStream>,
    /// A write that is under way.
    write: Option<JoinHandle<()>>,
}

/// A fault, its doing, what is to be expected meanwhile, and its undoing.
type Row = (&'static str, fn(&mut Stage), Expected, fn(&mut Stage));

const LAST: &str = "key revoked";
/// Bytes of the object that is there: some chunks of a blob.
const BYTES: u64 = 300_000;

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
    ("disk without inodes", |s| set_inodes(s, 0), Expected::Known, |s| set_inodes(s, 10_000)),
    ("error of the disk in a read", |s| fail(s, "blob.read=io"), Expected::Unreadable, |s| fail(s, "")),
    ("a byte at the beginning changed", |s| flip(s, 200), Expected::Unreadable, |s| flip(s, 200)),
    ("a byte at the end changed", |s| flip(s, BYTES - 200), Expected::Unreadable, |s| flip(s, BYTES - 200)),
    ("blobs read-only", make_read_only, Expected::Known, make_writable),
    ("descriptors exhausted", crowd, Expected::Refused, disperse),
    ("a sync takes its time", sync_slowly, Expected::Known, end_slow_sync),
    ("a sync of the index failed", fail_a_commit, Expected::Known, |s| fail(s, "")),
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

/// So many inodes more than are in use.
fn set_inodes(stage: &mut Stage, more: u64) {
    let space = rustix::fs::statvfs(&stage.world.server.data).expect("it is mounted");
    stage.disk.remount(&format!("nr_inodes={}", space.f_files - space.f_ffree + more));
}

/// Starts the server again, with these failpoints.
fn fail(stage: &mut Stage, failpoints: &str) {
    stage.world.server.kill9();
    stage.world.server.set_environment(&[("KHEEPER_FAILPOINTS", failpoints)]);
    stage.world.server.restart();
}

/// The blobs, of which there is one.
fn blob_of(directory: &Path) -> Option<PathBuf> {
    std::fs::read_dir(directory)
        .expect("it can be listed")
        .flatten()
        .find_map(|entry| if entry.path().is_dir() { blob_of(&entry.path()) } else { Some(entry.path()) })
}

/// Damages a byte; once more mends it.
fn flip(stage: &mut Stage, at: u64) {
    let blob = blob_of(&stage.world.server.data.join("blobs")).expect("there is one");
    let file = std::fs::File::options().read(true).write(true).open(blob).expect("ours");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("it is longer");
    file.write_all_at(&[!byte[0]], at).expect("there is room");
}

fn mount(args: &[&str], at: &Path) {
    let mut mount = Command::new(args[0]);
    mount.args(&args[1..]).arg(at);
    command::run(mount, secs(20)).ok();
}

/// A file system that is mounted over itself, and takes no writes there.
fn make_read_only(stage: &mut Stage) {
    let blobs = stage.world.server.data.join("blobs");
    stage.world.server.kill9();
    mount(&["mount", "--bind", blobs.to_str().expect("plain")], &blobs);
    mount(&["mount", "-o", "remount,bind,ro"], &blobs);
    stage.world.server.restart();
    let body = files::random_bytes(3, 50_000);
    stage.proxy.door().put(&stage.host.path("refused"), &body).expect_error(503, "ServiceUnavailable");
}

fn make_writable(stage: &mut Stage) {
    stage.world.server.kill9();
    mount(&["umount"], &stage.world.server.data.join("blobs"));
    stage.world.server.restart();
}

fn set_descriptors(stage: &mut Stage, soft: u64) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &stage.world.server.running().pid().to_string(), &format!("--nofile={soft}:4096")]);
    command::run(prlimit, secs(10)).ok();
}

fn crowd(stage: &mut Stage) {
    set_descriptors(stage, 64);
    let address = stage.world.server.address();
    stage.crowd = (0..80).filter_map(|_| TcpStream::connect(address).ok()).collect();
    let descriptors = format!("/proc/{}/fd", stage.world.server.running().pid());
    until("no descriptor to be free", secs(20), || {
        std::fs::read_dir(&descriptors).is_ok_and(|open| open.count() >= 64).then_some(())
    });
}

fn disperse(stage: &mut Stage) {
    stage.crowd.clear();
    set_descriptors(stage, 4096);
}

fn sync_slowly(stage: &mut Stage) {
    fail(stage, "blob.sync=wait");
    let (door, path) = (stage.proxy.door(), stage.host.path("slow"));
    stage.write = Some(std::thread::spawn(move || drop(door.put(&path, &files::random_bytes(2, 50_000)).expect(200))));
}

fn end_slow_sync(stage: &mut Stage) {
    stage.write.take().expect("it was begun").join().expect("it was stored");
    stage.proxy.door().delete(&stage.host.path("slow")).expect(204);
    fail(stage, "");
}

fn fail_a_commit(stage: &mut Stage) {
    fail(stage, "index.committed=io");
    let (door, path) = (stage.proxy.door(), stage.host.path("never-synced"));
    door.put(&path, b"small").expect_error(503, "ServiceUnavailable");
    door.put(&path, b"small").expect_error(503, "ServiceUnavailable");
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
    let mut stage = Stage { proxy, line, host, disk, world, crowd: Vec::new(), write: None };
    let bytes = files::random_bytes(1, BYTES as usize);
    let (present, absent) = (stage.host.path("present"), stage.host.path("absent"));
    stage.proxy.door().put(&present, &bytes).expect(200);
    for (fault, inflict, expected, heal) in ROWS {
        inflict(&mut stage);
        ask(fault, *expected, &stage.proxy.door(), (&present, &absent), &bytes);
        heal(&mut stage);
        let readable = || (stage.proxy.door().get(&present).status == 200).then_some(());
        if *fault != LAST {
            until("all to be well again", secs(10), readable);
        }
    }
}

/// Asks for what is there and what is not, all at once, since each may wait for as long as the proxy has patience.
fn ask(fault: &str, expected: Expected, door: &Door, (present, absent): (&str, &str), bytes: &[u8]) {
    let (read, known, is_not): (&[u16], &[u16], &[u16]) = match &expected {
        Expected::Known => (&[200], &[200], &[404]),
        Expected::Unreadable => (&[500], &[200], &[404]),
        Expected::Refused => (&[200, 503], &[200, 503], &[404, 503]),
        Expected::Unknown(status) => (&[*status], &[*status], &[*status]),
    };
    std::thread::scope(|scope| {
        for (method, path, statuses) in
            [("GET", present, read), ("HEAD", present, known), ("GET", absent, is_not), ("HEAD", absent, is_not)]
        {
            scope.spawn(move || {
                let answer = match door.request(method, path).try_send(door.address) {
                    Ok(answer) => answer,
                    // An answer that ends before its length has come says that it is not whole.
                    Err(_) if matches!(expected, Expected::Unreadable) && read == statuses => return,
                    Err(error) => panic!("{fault}: {method} {path}: {error}"),
                };
                assert!(statuses.contains(&answer.status), "{fault}: {method} {path}: {answer}");
                assert!(answer.status != 200 || method == "HEAD" || answer.body == *bytes, "{fault}: other bytes");
            });
        }
    });
}

#[test]
fn a_server_that_shows_another_certificate_is_503_for_what_is_there_and_what_is_not() {
    let dir = World::directory();
    let port = server::free_port();
    let serve = |data: &str| {
        let mut serve = Command::new(dir.path().join("bin/kheeper-server"));
        serve.args(["serve", "--tls-self-signed", "--listen", &format!("127.0.0.1:{port}")]);
        serve.arg("--data").arg(dir.path().join(data));
        let mut server = Running::start("kheeper-server", serve);
        server.wait_for_line("the announcement", secs(30), |line| line.contains(server::ANNOUNCEMENT).then_some(()));
        server
    };
    let mut server = serve("data");
    let log = server.log();
    let pin =
        log.split_once("sha256:").map(|(_, digits)| format!("sha256:{}", &digits[..64])).expect("it says its pin");
    let proxy = Proxy::start(&join(dir.path(), &format!("https://127.0.0.1:{port}"), &pin), &[]);
    let (door, paths, bytes) =
        (proxy.door(), ("/myorg/web-01/present", "/myorg/web-01/absent"), files::random_bytes(1, BYTES as usize));
    door.put(paths.0, &bytes).expect(200);
    ask("nothing", Expected::Known, &door, paths, &bytes);
    // Whoever took the address over has a certificate too.
    server.kill9();
    let other = serve("other");
    ask("another certificate", Expected::Unknown(503), &door, paths, &bytes);
    drop(other);
    let _server = serve("data");
    until("all to be well again", secs(10), || (door.get(paths.0).status == 200).then_some(()));
}
