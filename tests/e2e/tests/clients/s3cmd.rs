//! s3cmd: the distribution's and the newest.

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Done, Scene, command, files};

use crate::{BIG_BYTES, assert_same, s, sample};

#[test]
fn s3cmd_of_the_distribution_does_its_whole_cycle() {
    if let Some(client) = Client::distribution("s3cmd", &["--version"]) {
        cycle(&client, Wire::Plain);
    }
}

#[test]
fn the_newest_s3cmd_does_its_whole_cycle() {
    if let Some(client) = Client::installed("s3cmd", "s3cmd", &["--version"]) {
        cycle(&client, Wire::Plain);
        cycle(&client, Wire::Tls);
    }
}

struct S3cmd<'a> {
    client: &'a Client,
    scene: &'a Scene,
}

impl S3cmd<'_> {
    fn host(&self, args: &[&str]) -> Done {
        self.run("s3cfg-host", args)
    }

    fn owner(&self, args: &[&str]) -> Done {
        self.run("s3cfg-owner", args)
    }

    fn configure(&self) {
        files::write(&self.scene.path("s3cfg-host"), self.scene.host_settings("s3cmd").as_bytes());
        files::write(&self.scene.path("s3cfg-owner"), self.scene.owner_settings("s3cmd").as_bytes());
    }

    fn run(&self, config: &str, args: &[&str]) -> Done {
        let mut s3cmd = self.scene.client(&self.client.program, "");
        s3cmd.arg("-c").arg(self.scene.path(config)).args(["--no-progress", "--multipart-chunk-size-mb=5"]).args(args);
        command::run(s3cmd, secs(180))
    }
}

fn cycle(client: &Client, wire: Wire) {
    let scene = Scene::start(wire);
    let mut row = Row::begin(&client.name, &client.version, wire);
    let s3cmd = S3cmd { client, scene: &scene };
    s3cmd.configure();
    let (source, restored) = sample(&scene.path(""));
    std::fs::create_dir_all(&restored).expect("our own directory");
    let there = "s3://myorg/web-01/s3cmd/";

    s3cmd.host(&["sync", &format!("{}/", s(&source)), there]).ok();
    row.did("sync");
    let listed = s3cmd.host(&["ls", "--recursive", there]).ok().stdout;
    assert_eq!(listed.lines().count(), files::tree(&source).len(), "{listed}");
    assert!(listed.contains("dir/with space/and+plus.bin"), "{listed}");
    let info = s3cmd.host(&["info", &format!("{there}big.bin")]).ok().stdout;
    assert!(info.contains(&BIG_BYTES.to_string()), "{info}");
    row.did("ls and info");
    files::write(&source.join("readme.txt"), b"overwritten\n");
    s3cmd.host(&["put", s(&source.join("readme.txt")), &format!("{there}readme.txt")]).ok();
    row.did("overwrite");
    s3cmd.host(&["cp", &format!("{there}dir/64KiB"), "s3://myorg/web-01/moved/64KiB"]).ok();
    s3cmd.host(&["mv", "s3://myorg/web-01/moved/64KiB", &format!("{there}dir/64KiB")]).ok();
    row.did("copy and move");

    // It goes on where a broken download ended.
    let big = files::random_bytes(3, BIG_BYTES);
    let broken = scene.path("broken");
    files::write(&broken, &big[..1_000_000]);
    s3cmd.host(&["get", "--continue", &format!("{there}big.bin"), s(&broken)]).ok();
    assert!(std::fs::read(&broken).expect("it was fetched") == big);
    row.did("range");
    s3cmd.host(&["sync", there, &format!("{}/", s(&restored))]).ok();
    assert_same(&restored, &source);
    row.did("restore");
    let elsewhere = scene.path("elsewhere");
    std::fs::create_dir_all(&elsewhere).expect("our own directory");
    s3cmd.owner(&["sync", there, &format!("{}/", s(&elsewhere))]).ok();
    assert_same(&elsewhere, &source);
    s3cmd.owner(&["del", &format!("{there}empty")]).failed();
    row.did("owner reads");

    std::fs::remove_dir_all(source.join("dir")).expect("our own directory");
    s3cmd.host(&["sync", "--delete-removed", &format!("{}/", s(&source)), there]).ok();
    let again = scene.path("again");
    std::fs::create_dir_all(&again).expect("our own directory");
    s3cmd.host(&["sync", there, &format!("{}/", s(&again))]).ok();
    assert_same(&again, &source);
    row.did("prune and restore");
    s3cmd.host(&["del", "--recursive", "--force", there]).ok();
    assert_eq!(s3cmd.host(&["ls", "--recursive", there]).ok().stdout, "", "everything is deleted");
    row.did("del");
    let refused = s3cmd.host(&["put", s(&source.join("readme.txt")), "s3://myorg/web-02/stolen"]).failed();
    assert!(refused.text().contains("403"), "{refused}");
    row.did("refused elsewhere");
    row.green();
}
