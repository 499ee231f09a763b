//! aws cli: version 1 from PyPI, and the distribution's version 2.

use std::path::Path;

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Done, Scene, command, files};

use crate::{BIG_BYTES, assert_same, s, sample};

#[test]
fn aws_cli_1_does_its_whole_cycle() {
    if let Some(client) = Client::installed("awscli-1", "aws", &["--version"]) {
        let client = client.named("aws cli 1");
        cycle(&client, Wire::Plain);
        cycle(&client, Wire::Tls);
    }
}

#[test]
fn aws_cli_2_of_the_distribution_does_its_whole_cycle() {
    if let Some(client) = Client::distribution("aws", &["--version"]) {
        let client = client.named("aws cli 2");
        cycle(&client, Wire::Plain);
        cycle(&client, Wire::Tls);
    }
}

struct Aws<'a> {
    client: &'a Client,
    scene: &'a Scene,
}

impl Aws<'_> {
    /// Versions before 2.13 and 1.29 do not read the endpoint from the environment.
    fn host(&self, args: &[&str]) -> Done {
        let mut aws = self.scene.host_client(&self.client.program, "aws");
        aws.args(["--endpoint-url", &self.scene.host_endpoint()]).args(args);
        command::run(aws, secs(180))
    }

    fn owner(&self, args: &[&str]) -> Done {
        let mut aws = self.scene.owner_client(&self.client.program, "aws");
        aws.args(["--endpoint-url", &self.scene.owner_endpoint()]).args(args);
        command::run(aws, secs(180))
    }

    /// `aws s3 cp` within the bucket, which version 2 accompanies with calls about tags.
    fn copy(&self, from: &str, to: &str) {
        let mut args = vec!["s3", "cp", from, to];
        if self.client.version.starts_with("2.") {
            args.extend(["--copy-props", "none"]);
        }
        self.host(&args).ok();
    }
}

fn cycle(client: &Client, wire: Wire) {
    let scene = Scene::start(wire);
    let mut row = Row::begin(&client.name, &client.version, wire);
    let aws = Aws { client, scene: &scene };
    let (source, restored) = sample(&scene.path(""));
    let there = "s3://myorg/web-01/aws/";

    aws.host(&["s3", "sync", s(&source), there]).ok();
    row.did("sync");
    let listed = aws.host(&["s3", "ls", "--recursive", there]).ok().stdout;
    assert_eq!(listed.lines().count(), files::tree(&source).len(), "{listed}");
    assert!(listed.contains("dir/with space/and+plus.bin"), "{listed}");
    assert!(aws.host(&["s3", "ls", "s3://myorg"]).ok().stdout.contains("PRE web-01/"));
    row.did("ls");
    assert_eq!(aws.host(&["s3", "sync", s(&source), there, "--size-only"]).ok().stdout, "", "nothing is left to send");
    files::write(&source.join("readme.txt"), b"overwritten\n");
    aws.host(&["s3", "cp", s(&source.join("readme.txt")), &format!("{there}readme.txt")]).ok();
    row.did("overwrite");

    // The big one is copied in parts, each by the store itself.
    aws.copy(&format!("{there}big.bin"), "s3://myorg/web-01/copied/big.bin");
    aws.host(&["s3", "mv", &format!("{there}dir/64KiB"), "s3://myorg/web-01/moved/64KiB"]).ok();
    aws.host(&["s3", "mv", "s3://myorg/web-01/moved/64KiB", &format!("{there}dir/64KiB")]).ok();
    row.did("copy and move");
    range(&aws, &scene.path("range"));
    row.did("range");
    aws.host(&["s3", "sync", there, s(&restored)]).ok();
    assert_same(&restored, &source);
    aws.host(&["s3", "cp", "s3://myorg/web-01/copied/big.bin", s(&scene.path("copied"))]).ok();
    assert!(std::fs::read(scene.path("copied")).expect("it was fetched") == files::random_bytes(3, BIG_BYTES));
    row.did("restore");
    let elsewhere = scene.path("elsewhere");
    aws.owner(&["s3", "sync", there, s(&elsewhere)]).ok();
    assert_same(&elsewhere, &source);
    aws.owner(&["s3", "rm", &format!("{there}empty")]).failed();
    row.did("owner reads");

    aws.host(&["s3", "rm", "--recursive", &format!("{there}dir/")]).ok();
    let left = aws.host(&["s3", "ls", "--recursive", there]).ok().stdout;
    assert_eq!(left.lines().count(), 3, "{left}");
    std::fs::remove_dir_all(source.join("dir")).expect("our own directory");
    let again = scene.path("again");
    aws.host(&["s3", "sync", there, s(&again)]).ok();
    assert_same(&again, &source);
    row.did("prune and restore");
    aws.host(&["s3", "rm", "--recursive", there]).ok();
    assert_eq!(aws.host(&["s3", "ls", "--recursive", there]).stdout, "", "everything is deleted");
    row.did("rm");
    let refused = aws.host(&["s3", "cp", s(&source.join("empty")), "s3://myorg/web-02/empty"]).failed();
    assert!(refused.stderr.contains("AccessDenied"), "{refused}");
    row.did("refused elsewhere");
    row.green();
}

fn range(aws: &Aws, to: &Path) {
    let get =
        ["s3api", "get-object", "--bucket", "myorg", "--key", "web-01/aws/big.bin", "--range", "bytes=100-8388700"];
    aws.host(&[&get[..], &[s(to)]].concat()).ok();
    assert!(std::fs::read(to).expect("it was fetched") == files::random_bytes(3, BIG_BYTES)[100..=8_388_700]);
}
