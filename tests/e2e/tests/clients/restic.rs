//! restic: the distribution's and the newest.

use std::path::Path;
use std::process::Command;

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Done, Scene, command, files};

use crate::refusals::{FORBIDDEN, assert_named};
use crate::{assert_same, s, sample};

#[test]
fn restic_of_the_distribution_does_its_whole_cycle() {
    if let Some(client) = Client::distribution("restic", &["version"]) {
        cycle(&client, Wire::Plain);
    }
}

#[test]
fn the_newest_restic_does_its_whole_cycle() {
    if let Some(client) = Client::installed("restic", "restic", &["version"]) {
        cycle(&client, Wire::Plain);
        cycle(&client, Wire::Tls);
    }
}

fn run(mut restic: Command, args: &[&str]) -> Done {
    restic.env("RESTIC_PASSWORD", "correct horse").args(args);
    command::run(restic, secs(180))
}

fn cycle(client: &Client, wire: Wire) {
    let scene = Scene::start(wire);
    let mut row = Row::begin("restic", &client.version, wire);
    let (source, restored) = sample(&scene.path(""));
    let restic = |args: &[&str]| run(scene.host_client(&client.program, "restic"), args);
    let snapshots = || restic(&["snapshots", "--json"]).json().as_array().map(Vec::len);

    restic(&["init"]).ok();
    row.did("init");
    restic(&["backup", s(&source)]).ok();
    row.did("backup (no parts: its packs are below 200 MiB)");
    files::write(&source.join("later.bin"), &files::random_bytes(9, 3 << 20));
    files::write(&source.join("readme.txt"), b"changed\n");
    restic(&["backup", s(&source)]).ok();
    assert_eq!(snapshots(), Some(2));
    row.did("second backup and list");

    let readme = source.join("readme.txt");
    assert_eq!(restic(&["dump", "latest", s(&readme)]).ok().stdout, "changed\n");
    row.did("partial restore");
    restic(&["forget", "--keep-last", "1", "--prune"]).ok();
    assert_eq!(snapshots(), Some(1));
    row.did("forget and prune");
    restic(&["check", "--read-data"]).ok();
    row.did("check every byte");
    restic(&["restore", "latest", "--target", s(&restored)]).ok();
    assert_same(&restored.join(below_root(&source)), &source);
    row.did("restore");

    // Its owner restores it elsewhere, without a lock, since owners write nothing.
    let owner = |args: &[&str]| run(scene.owner_client(&client.program, "restic"), args);
    let elsewhere = scene.path("elsewhere");
    owner(&["--no-lock", "restore", "latest", "--target", s(&elsewhere)]).ok();
    assert_same(&elsewhere.join(below_root(&source)), &source);
    row.did("owner restores");
    // What version 0.14 makes of it takes three quarters of a minute, and is a test of its own.
    if !client.version.starts_with("0.14") {
        let (refused, count) = scene.owner_proxy.counting("4xx", || owner(&["backup", s(&source)]));
        assert_named(&refused, FORBIDDEN);
        assert_eq!(count, 1, "a 403 is final: {refused}");
        row.did("owner is refused to write (1x sent)");
    }
    row.green();
}

/// Version 0.14 takes the refusal for a passing trouble: it tries eleven times within three quarters of a minute, and removes
/// what it did not write each time.
#[test]
fn an_owner_is_refused_to_write_with_restic_of_the_distribution() {
    let Some(client) = Client::distribution("restic", &["version"]) else { return };
    let scene = Scene::start(Wire::Plain);
    let mut row = Row::begin("restic", &client.version, Wire::Plain);
    let file = scene.path("file");
    files::write(&file, b"a small file");
    run(scene.host_client(&client.program, "restic"), &["init"]).ok();
    let write = || run(scene.owner_client(&client.program, "restic"), &["backup", s(&file)]);
    let (refused, count) = scene.owner_proxy.counting("4xx", write);
    assert_named(&refused, FORBIDDEN);
    assert!(count <= 22, "a 403 was sent {count} times: {refused}");
    row.did(&format!("owner is refused to write ({count}x sent)"));
    row.green();
}

fn below_root(path: &Path) -> &Path {
    path.strip_prefix("/").expect("an absolute path")
}
