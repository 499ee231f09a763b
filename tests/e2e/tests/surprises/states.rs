//! The rows of the table of errors that are about the store: overloaded, damaged, full, or unable to commit.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use kheeper_e2e::http::Body;
use kheeper_e2e::s3::complete_body;
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::{Door, Request, Response, World, digest, files, unix};

use crate::steering::assert_is_s3s_error;
use crate::subject::Subject;

crate::cases! {
    0 => too_much_at_once_is_503_slow_down_and_over_when_it_is_less,
    0 => damaged_bytes_are_500_and_neither_absent_nor_inside_a_200,
    0 => a_full_store_is_507_and_a_used_up_quota_is_403,
    22 => what_could_not_be_committed_is_503_and_no_200_with_an_error_in_it,
}

/// The answer to `request` at a proxy, which has to be this one, as S3 writes it; HEAD sees the same, and no body.
#[track_caller]
fn expect_error(door: &Door, request: Request, status: u16, code: &str) -> Response {
    let path = request.target.split('?').next().unwrap_or_default().to_owned();
    let shown = format!("{} {}", request.method, request.target);
    let answer = request.send(door.address).expect_error(status, code);
    assert_is_s3s_error(&answer, &path, &shown);
    answer
}

/// All clients send it again: nothing was done, no time to wait is named, and the next one is served.
fn too_much_at_once_is_503_slow_down_and_over_when_it_is_less(_: &Subject) {
    let world = World::start_with(&["--upload-bytes-per-caller", "1MiB"]);
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let door = proxy.door();
    let bytes = files::random_bytes(1, 300_000);
    // A body of which half has come holds its place as long as it likes.
    let stalled =
        door.put_request(&host.path("stalled"), &[]).framed(Body::Declared { length: 1 << 20, bytes: vec![] });
    let mut stalled = stalled.open(door.address).expect("it listens");
    stalled.write_all(&bytes).expect("it reads");
    let put = || door.put_request(&host.path("a"), &bytes);
    let answer = wait::until("the caller's share to be used up", secs(60), || {
        let answer = put().send(door.address);
        (answer.status != 200).then_some(answer)
    });
    assert_is_s3s_error(&answer.expect_error(503, "SlowDown"), &host.path("a"), "PUT");
    let answer = expect_error(&door, put(), 503, "SlowDown");
    assert_eq!(answer.header("retry-after"), None, "wal-g would add it to its own back-off");
    drop(stalled);
    wait::until("the share to be free again", secs(60), || (put().send(door.address).status == 200).then_some(()));
    assert!(door.get(&host.path("a")).expect(200).body == bytes);
}

/// All clients send it again, wal-g fifteen times: right where an operator may put the bytes back, and never said of what
/// will be refused for good.
fn damaged_bytes_are_500_and_neither_absent_nor_inside_a_200(_: &Subject) {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let door = proxy.door();
    let (path, copy) = (host.path("a"), host.path("copy"));
    let bytes = files::random_bytes(1, 100_000);
    door.put(&path, &bytes).expect(200);
    let blob = only_blob(&world.server.data.join("blobs"));
    let whole = fs::read(&blob).expect("ours to read");
    let mut damaged = whole.clone();
    damaged[50] ^= 1;
    fs::write(&blob, damaged).expect("ours to write");

    let answer = expect_error(&door, door.request("GET", &path), 500, "InternalError");
    assert!(answer.text().contains("damaged"), "{answer}");
    // The object is there, and its HEAD says so.
    assert_eq!(door.head(&path).expect(200).header("content-length"), Some("100000"));
    // A copy that has to read the bytes fails before it has an answer, and stores nothing.
    let copying = |algorithm: &str| {
        let request = door.request("PUT", &copy).header("x-amz-copy-source", &path);
        request.header("x-amz-checksum-algorithm", algorithm).body("")
    };
    expect_error(&door, copying("SHA256"), 500, "InternalError");
    door.get(&copy).expect_error(404, "NoSuchKey");

    fs::write(&blob, whole).expect("ours to write");
    assert!(door.get(&path).expect(200).body == bytes, "it is tried again with success");
    copying("SHA256").send(door.address).expect(200);
}

fn only_blob(dir: &Path) -> PathBuf {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).expect("the data directory is ours to read") {
            let entry = entry.expect("a readable directory");
            let is_dir = entry.metadata().expect("it is there").is_dir();
            if is_dir { left.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    assert_eq!(found.len(), 1, "one blob: {found:?}");
    found.remove(0)
}

/// s3cmd gives up at 507, pgBackRest and botocore try again, which is right for a disk that its operator makes room on. A
/// quota is its owner's word and stays: 403, at which every client ends at once.
fn a_full_store_is_507_and_a_used_up_quota_is_403(_: &Subject) {
    if !unix::is_root_for("states::a_full_store_is_507_and_a_used_up_quota_is_403") {
        return;
    }
    let (world, disk) = World::start_on_disk("size=64m");
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let door = proxy.door();
    let put = |name: &str| door.put_request(&host.path(name), &files::random_bytes(1, 4 << 20));
    let full = (0..16).map(|n| put(&n.to_string()).send(door.address)).find(|answer| answer.status != 200);
    full.expect("64 MiB hold no 16 times 4 MiB").expect_error(507, "XKheeperStorageFull");
    expect_error(&door, put("more"), 507, "XKheeperStorageFull");
    door.head(&host.path("more")).expect(404);
    // What is there can be read and deleted, or nobody could ever make room.
    assert_eq!(door.get(&host.path("0")).expect(200).body.len(), 4 << 20);
    door.delete(&host.path("1")).expect(204);

    disk.remount("size=512m");
    door.put_into_new_room(&host.path("more"), &files::random_bytes(1, 4 << 20)).expect(200);
    world.alice.ok(&["hosts", "set", &host.namespace(), "--quota", "1MiB"]);
    expect_error(&door, put("again"), 403, "QuotaExceeded");
    assert_eq!(door.get(&host.path("more")).expect(200).body.len(), 4 << 20);
}

/// Four libraries take an error inside a 200 for a 5xx, and others for success. Here an answer begins once it is known.
fn what_could_not_be_committed_is_503_and_no_200_with_an_error_in_it(_: &Subject) {
    let mut world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let door = proxy.door();
    let armed = world.path("armed");
    world.server.set_environment(&[
        ("KHEEPER_FAILPOINTS", "index.commit=io"),
        ("KHEEPER_FAILPOINTS_WHILE", &armed.display().to_string()),
    ]);
    for (what, begin) in [("complete", begin_complete as Begin), ("copy", begin_copy)] {
        world.server.terminate();
        world.server.restart();
        let path = host.path(what);
        let request = begin(&door, &path);
        fs::write(&armed, b"").expect("our own directory");
        expect_error(&door, request.clone(), 503, "ServiceUnavailable");
        door.get(&path).expect_error(404, "NoSuchKey");
        fs::remove_file(&armed).expect("just written");
        // A failed sync stops writes until a restart; then the same request does what it says.
        world.server.terminate();
        world.server.restart();
        let answer = request.send(door.address).expect(200);
        assert!(answer.text().contains("Result") && !answer.text().contains("<Error>"), "{answer}");
        assert_eq!(door.get(&path).expect(200).body, b"the bytes", "{what}");
    }
}

/// Prepares an object at a path, and gives the request that will make it.
type Begin = fn(&Door, &str) -> Request;

fn begin_complete(door: &Door, path: &str) -> Request {
    let upload = door.create_upload(path);
    let part = door.part(path, &upload, 1, b"the bytes");
    assert_eq!(part, format!("\"{}\"", digest::md5_hex(b"the bytes")));
    door.request("POST", &format!("{path}?uploadId={upload}")).body(complete_body(&[(1, &part)]))
}

fn begin_copy(door: &Door, path: &str) -> Request {
    let source = format!("{path}-source");
    door.put(&source, b"the bytes").expect(200);
    door.request("PUT", path).header("x-amz-copy-source", &source).body("")
}
