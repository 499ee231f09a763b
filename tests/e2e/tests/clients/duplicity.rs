//! duplicity: the distribution's and the newest, both by way of boto3.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Done, Scene, command, files};

use crate::{assert_same, s, sample};

#[test]
fn duplicity_of_the_distribution_does_its_whole_cycle() {
    if let Some(client) = Client::distribution("duplicity", &["--version"]) {
        cycle(&client, Wire::Plain);
        cycle(&client, Wire::Tls);
    }
}

#[test]
fn the_newest_duplicity_does_its_whole_cycle() {
    if let Some(client) = Client::installed("duplicity", "duplicity", &["--version"]) {
        cycle(&client, Wire::Plain);
        cycle(&client, Wire::Tls);
    }
}

fn cycle(client: &Client, wire: Wire) {
    let scene = Scene::start(wire);
    let mut row = Row::begin(&client.name, &client.version, wire);
    let (source, restored) = sample(&scene.path(""));
    let there = "boto3+s3://myorg/web-01/duplicity";
    let host = |args: &[&str]| {
        run(scene.host_client(&client.program, "duplicity"), &scene.host_endpoint(), s(&scene.path("host")), args)
    };
    let owner = |args: &[&str]| {
        let (program, endpoint) = (&client.program, scene.owner_endpoint());
        run(scene.owner_client(program, "duplicity"), &endpoint, s(&scene.path("owner")), args)
    };

    host(&["full", s(&source), there]).ok();
    row.did("full backup");
    change(&source.join("readme.txt"), b"changed\n");
    files::write(&source.join("later.bin"), &files::random_bytes(9, 1 << 20));
    host(&["incr", s(&source), there]).ok();
    row.did("incremental backup");
    let status = host(&["collection-status", there]).ok().stdout;
    assert!(status.contains("Incremental"), "{status}");
    let listed = host(&["list-current-files", there]).ok().stdout;
    assert!(listed.contains("later.bin"), "{listed}");
    row.did("list");
    let one = scene.path("one");
    host(&["restore", file_to_restore(client), "readme.txt", there, s(&one)]).ok();
    assert_eq!(std::fs::read(&one).expect("it was restored"), b"changed\n");
    row.did("partial restore");
    host(&["verify", "--compare-data", there, s(&source)]).ok();
    row.did("verify");

    host(&["full", s(&source), there]).ok();
    host(&["remove-all-but-n-full", "1", "--force", there]).ok();
    let status = host(&["collection-status", there]).ok().stdout;
    assert!(!status.contains("Incremental"), "{status}");
    row.did("remove old");
    host(&["restore", there, s(&restored)]).ok();
    assert_same(&restored, &source);
    row.did("restore");
    let elsewhere = scene.path("elsewhere");
    owner(&["restore", there, s(&elsewhere)]).ok();
    assert_same(&elsewhere, &source);
    row.did("owner restores");
    row.green();
}

/// Writes a file with a time of its own: duplicity takes a file for the same one whose time is the same second, and on a
/// fast machine the first backup is done within it.
fn change(file: &Path, content: &[u8]) {
    files::write(file, content);
    let file = File::options().write(true).open(file).expect("it was written just now");
    file.set_modified(SystemTime::now() + secs(2)).expect("our own file");
}

/// Both go on for minutes at a failure if they are not told otherwise.
fn run(mut duplicity: Command, endpoint: &str, archive: &str, args: &[&str]) -> Done {
    duplicity.args(args).args(["--s3-endpoint-url", endpoint, "--no-encryption"]);
    // A volume is sent in parts.
    duplicity.args(["--volsize", "8", "--s3-multipart-chunk-size", "5"]);
    duplicity.args(["--archive-dir", archive, "--num-retries", "1"]);
    command::run(duplicity, secs(180))
}

/// What the option is called since version 2.
fn file_to_restore(client: &Client) -> &'static str {
    if client.version.starts_with("0.") { "--file-to-restore" } else { "--path-to-restore" }
}
