//! rclone: the distribution's and the newest, as the provider we recommend and as the one that lists the old way and
//! checks no multipart ETag.

use std::path::{Path, PathBuf};

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Done, Scene, command, files};

use crate::{assert_same, s, sample};

#[test]
fn rclone_of_the_distribution_does_its_whole_cycle() {
    if let Some(client) = Client::distribution("rclone", &["version"]) {
        cycle(&client, "Minio", Wire::Plain);
        cycle(&client, "Other", Wire::Plain);
    }
}

#[test]
fn the_newest_rclone_does_its_whole_cycle() {
    if let Some(client) = Client::installed("rclone", "rclone", &["version"]) {
        cycle(&client, "Minio", Wire::Plain);
        cycle(&client, "Minio", Wire::Tls);
        cycle(&client, "Other", Wire::Plain);
    }
}

struct Rclone<'a> {
    client: &'a Client,
    provider: &'a str,
    scene: &'a Scene,
}

impl Rclone<'_> {
    fn host(&self, args: &[&str]) -> Done {
        self.run("rclone-host.conf", args)
    }

    fn owner(&self, args: &[&str]) -> Done {
        self.run("rclone-owner.conf", args)
    }

    fn configure(&self) {
        let (host, owner) = (self.scene.host_settings("rclone"), self.scene.owner_settings("rclone"));
        assert!(host.contains("[myorg-host]\n"), "{host}");
        files::write(&self.scene.path("rclone-host.conf"), host.as_bytes());
        files::write(&self.scene.path("rclone-owner.conf"), owner.as_bytes());
    }

    fn run(&self, config: &str, args: &[&str]) -> Done {
        // An authority is no setting of a section: it stands in front, as a comment that says where to put it.
        let settings = std::fs::read_to_string(self.scene.path(config)).expect("it was configured");
        let trust = settings.lines().find_map(|line| line.strip_prefix("# in rclone's environment: "));
        let mut rclone = self.scene.client(&self.client.program, trust.unwrap_or_default());
        rclone.arg("--config").arg(self.scene.path(config)).args(["--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M"]);
        rclone.arg(format!("--s3-provider={}", self.provider)).args(args);
        command::run(rclone, secs(180))
    }
}

fn cycle(client: &Client, provider: &str, wire: Wire) {
    let scene = Scene::start(wire);
    let mut row = Row::begin(&format!("rclone, {provider}"), &client.version, wire);
    let rclone = Rclone { client, provider, scene: &scene };
    rclone.configure();
    let (source, restored) = sample(&scene.path(""));
    let there = "myorg-host:myorg/web-01/rclone";

    rclone.host(&["copy", s(&source), there]).ok();
    row.did("copy");
    let listed = rclone.host(&["lsf", "-R", "--files-only", there]).ok().stdout;
    assert_eq!(listed.lines().count(), files::tree(&source).len(), "{listed}");
    assert_eq!(rclone.host(&["lsf", "myorg-host:myorg"]).ok().stdout, "web-01/\n");
    row.did("ls");
    rclone.host(&["check", "--download", s(&source), there]).ok();
    row.did("check");
    files::write(&source.join("readme.txt"), b"overwritten, and longer\n");
    rclone.host(&["sync", s(&source), there]).ok();
    row.did("overwrite");
    // The time of a file is metadata, which a copy of an object onto itself changes.
    rclone.host(&["touch", "--timestamp", "2020-02-02T02:02:02", &format!("{there}/dir/64KiB")]).ok();
    let touched = rclone.host(&["lsf", "--format", "t", &format!("{there}/dir/64KiB")]).ok().stdout;
    assert!(touched.starts_with("2020-02-02"), "{touched}");
    row.did("touch");
    rclone.host(&["copyto", &format!("{there}/big.bin"), &format!("{there}/copy.bin")]).ok();
    rclone.host(&["deletefile", &format!("{there}/copy.bin")]).ok();
    row.did("server-side copy");
    let part = rclone.host(&["cat", "--offset", "11", "--count", "5", &format!("{there}/readme.txt")]).ok().stdout;
    assert_eq!(part, ", and");
    row.did("range");
    restores(&rclone, there, &source, &restored, &mut row);
    prunes(&rclone, there, &source, &mut row);
    row.green();
}

fn restores(rclone: &Rclone, there: &str, source: &Path, restored: &Path, row: &mut Row) {
    rclone.host(&["copy", there, s(restored)]).ok();
    assert_same(restored, source);
    row.did("restore");
    let elsewhere: PathBuf = rclone.scene.path("elsewhere");
    rclone.owner(&["copy", there, s(&elsewhere)]).ok();
    assert_same(&elsewhere, source);
    rclone.owner(&["deletefile", &format!("{there}/readme.txt")]).failed();
    row.did("owner reads");
}

fn prunes(rclone: &Rclone, there: &str, source: &Path, row: &mut Row) {
    std::fs::remove_dir_all(source.join("dir")).expect("our own directory");
    rclone.host(&["sync", s(source), there]).ok();
    let again = rclone.scene.path("again");
    rclone.host(&["copy", there, s(&again)]).ok();
    assert_same(&again, source);
    row.did("prune and restore");
    rclone.host(&["purge", there]).ok();
    assert_eq!(rclone.host(&["lsf", "-R", "myorg-host:myorg/web-01"]).ok().stdout.trim(), "");
    row.did("purge");
    rclone.host(&["copy", s(source), "myorg-host:myorg/web-02"]).failed();
    row.did("refused elsewhere");
}
