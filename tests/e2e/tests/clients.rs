//! aws cli, rclone and restic, each backing up, listing, deleting and restoring through a host's proxy.

use std::path::{Path, PathBuf};
use std::process::Command;

use kheeper_e2e::wait::secs;
use kheeper_e2e::world::Host;
use kheeper_e2e::{Done, Proxy, World, binaries, command, files};

/// Big enough to be sent in parts by every client that sends parts.
const BIG_BYTES: usize = 21 << 20;

/// A host, its proxy, and a directory for the client.
struct Scene {
    proxy: Proxy,
    host: Host,
    world: World,
}

impl Scene {
    fn start() -> Self {
        let world = World::start();
        let host = world.host("web-01");
        let proxy = world.host_proxy(&host);
        Self { proxy, host, world }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }

    /// A client program with the environment that `kheeper hosts me --env=TOOL` prints, and no other credentials.
    fn client(&self, program: &str, tool: &str) -> Command {
        let program = binaries::on_path(program).unwrap_or_else(|| panic!("{program} is not installed"));
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("RCLONE_")) {
            command.env_remove(name);
        }
        let printed = self.host.cli.ok(&["hosts", "me", tool, "--endpoint", &self.proxy.endpoint()]).stdout;
        if tool != "--env=rclone" {
            command.envs(printed.lines().filter_map(|line| line.split_once('=')));
        }
        command.env("HOME", self.path("")).current_dir(self.path(""));
        command
    }

    fn aws(&self, args: &[&str]) -> Done {
        let mut aws = self.client("aws", "--env=aws");
        // pyenv's shims look for their files at home.
        if let Some(home) = std::env::var_os("HOME") {
            aws.env("HOME", home);
        }
        aws.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        aws.args(["--endpoint-url", &self.proxy.endpoint(), "s3"]).args(args);
        command::run(aws, secs(180))
    }
}

fn aws_is_version_2() -> bool {
    let aws = binaries::on_path("aws").expect("the aws cli is installed");
    let mut version = Command::new(aws);
    version.arg("--version");
    command::run(version, secs(60)).ok().stdout.contains("aws-cli/2.")
}

fn s(path: &Path) -> &str {
    path.to_str().expect("our paths are text")
}

#[test]
fn aws_cli_backs_up_lists_deletes_and_restores() {
    let scene = Scene::start();
    let (source, restored) = (scene.path("source"), scene.path("restored"));
    files::sample_tree(&source, BIG_BYTES);
    let there = "s3://myorg/web-01/aws/";

    scene.aws(&["sync", s(&source), there]).ok();
    let listed = scene.aws(&["ls", "--recursive", there]).ok().stdout;
    assert_eq!(listed.lines().count(), files::tree(&source).len(), "{listed}");
    assert!(listed.contains("dir/with space/and+plus.bin"), "{listed}");
    assert!(scene.aws(&["ls", "s3://myorg"]).ok().stdout.contains("PRE web-01/"));
    assert_eq!(scene.aws(&["sync", s(&source), there, "--size-only"]).ok().stdout, "", "nothing is left to send");

    // The big one is copied in parts, each by the store itself. Version 2 would ask for the source's tags, which is 501.
    let big = format!("{there}big.bin");
    let mut copy = vec!["cp", &big, "s3://myorg/web-01/copied/big.bin"];
    if aws_is_version_2() {
        copy.extend(["--copy-props", "none"]);
    }
    scene.aws(&copy).ok();
    scene.aws(&["cp", "s3://myorg/web-01/copied/big.bin", s(&scene.path("copied-big"))]).ok();
    assert!(std::fs::read(scene.path("copied-big")).expect("it was fetched") == files::random_bytes(3, BIG_BYTES));
    scene.aws(&["cp", &format!("{there}dir/64KiB"), "s3://myorg/web-01/copied/64KiB"]).ok();
    scene.aws(&["mv", &format!("{there}readme.txt"), "s3://myorg/web-01/moved/readme.txt"]).ok();
    scene.aws(&["cp", "s3://myorg/web-01/moved/readme.txt", &format!("{there}readme.txt")]).ok();
    scene.aws(&["sync", there, s(&restored)]).ok();
    assert_eq!(files::tree(&restored), files::tree(&source));
    scene.aws(&["cp", "s3://myorg/web-01/copied/64KiB", s(&scene.path("copied"))]).ok();
    assert!(std::fs::read(scene.path("copied")).expect("it was fetched") == files::random_bytes(2, 64 * 1024));

    scene.aws(&["rm", "--recursive", there]).ok();
    let gone = scene.aws(&["ls", "--recursive", there]);
    assert_eq!(gone.stdout, "", "everything is deleted");
    let refused = scene.aws(&["cp", s(&source.join("empty")), "s3://myorg/web-02/empty"]).failed();
    assert!(refused.stderr.contains("AccessDenied"), "{refused}");
}

#[test]
fn rclone_backs_up_lists_deletes_and_restores() {
    let scene = Scene::start();
    let (source, restored) = (scene.path("source"), scene.path("restored"));
    files::sample_tree(&source, BIG_BYTES);
    let config = scene.path("rclone.conf");
    let section = scene.host.cli.ok(&["hosts", "me", "--env=rclone", "--endpoint", &scene.proxy.endpoint()]).stdout;
    assert!(section.starts_with("[myorg-host]\n"), "{section}");
    std::fs::write(&config, &section).expect("our own directory");

    // What we recommend, and the provider that lists the old way and checks no multipart ETag.
    for provider in [None, Some("Other")] {
        let rclone = |args: &[&str]| {
            let mut rclone = scene.client("rclone", "--env=rclone");
            rclone.arg("--config").arg(&config).args(["--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M"]);
            rclone.args(provider.map(|provider| format!("--s3-provider={provider}"))).args(args);
            command::run(rclone, secs(180))
        };
        let there = "myorg-host:myorg/web-01/rclone";
        rclone(&["copy", s(&source), there]).ok();
        let listed = rclone(&["lsf", "-R", "--files-only", there]).ok().stdout;
        assert_eq!(listed.lines().count(), files::tree(&source).len(), "{listed}");
        rclone(&["check", "--download", s(&source), there]).ok();
        // The time of a file is metadata, which a copy of an object onto itself changes.
        rclone(&["touch", "--timestamp", "2020-02-02T02:02:02", &format!("{there}/readme.txt")]).ok();
        let touched = rclone(&["lsf", "--format", "t", &format!("{there}/readme.txt")]).ok().stdout;
        assert!(touched.starts_with("2020-02-02"), "{touched}");
        rclone(&["copyto", &format!("{there}/big.bin"), &format!("{there}/copy.bin")]).ok();
        rclone(&["deletefile", &format!("{there}/copy.bin")]).ok();
        rclone(&["copy", there, s(&restored)]).ok();
        assert_eq!(files::tree(&restored), files::tree(&source));
        rclone(&["purge", there]).ok();
        assert_eq!(rclone(&["lsf", "-R", "myorg-host:myorg/web-01"]).ok().stdout.trim(), "");
        rclone(&["copy", s(&source), "myorg-host:myorg/web-02"]).failed();
        std::fs::remove_dir_all(&restored).expect("our own directory");
    }
}

#[test]
fn restic_backs_up_lists_forgets_and_restores() {
    let scene = Scene::start();
    let (source, restored) = (scene.path("source"), scene.path("restored"));
    files::sample_tree(&source, BIG_BYTES);
    let restic = |args: &[&str]| {
        let mut restic = scene.client("restic", "--env=restic");
        restic.env("RESTIC_PASSWORD", "correct horse").env("XDG_CACHE_HOME", scene.path("cache"));
        restic.args(args);
        command::run(restic, secs(180))
    };
    restic(&["init"]).ok();
    restic(&["backup", s(&source)]).ok();
    files::write(&source.join("later.bin"), &files::random_bytes(9, 3 << 20));
    restic(&["backup", s(&source)]).ok();
    let snapshots: serde_json::Value = restic(&["snapshots", "--json"]).json();
    assert_eq!(snapshots.as_array().map(Vec::len), Some(2));

    restic(&["forget", "--keep-last", "1", "--prune"]).ok();
    let snapshots: serde_json::Value = restic(&["snapshots", "--json"]).json();
    assert_eq!(snapshots.as_array().map(Vec::len), Some(1));
    restic(&["check", "--read-data"]).ok();
    restic(&["restore", "latest", "--target", s(&restored)]).ok();
    let below = source.strip_prefix("/").expect("an absolute path");
    assert_eq!(files::tree(&restored.join(below)), files::tree(&source));

    // Its owner restores it elsewhere, without a lock, since owners write nothing.
    let owner = scene.world.owner_proxy();
    let repository = format!("s3:{}/myorg/web-01", owner.endpoint());
    let elsewhere = scene.path("elsewhere");
    restic(&["-r", &repository, "--no-lock", "restore", "latest", "--target", s(&elsewhere)]).ok();
    assert_eq!(files::tree(&elsewhere.join(below)), files::tree(&source));
}
