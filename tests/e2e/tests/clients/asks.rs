//! One write by each client, for the store to refuse: what the clients make of it is in `refusals.rs` and `overload.rs`.

use std::process::Command;

use kheeper_e2e::toolbox::Client;
use kheeper_e2e::world::ORG;
use kheeper_e2e::{Scene, files};

use crate::s;

/// What a client is made to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Into its own folder.
    Own,
    /// Into another host's: 403.
    Foreign,
    /// With encryption by a key of Amazon's: 501, for good.
    Unsupported,
}

impl Ask {
    /// The folder that is written to.
    fn folder(self) -> &'static str {
        if self == Self::Foreign { "web-02" } else { "web-01" }
    }
}

/// How soon a client gives up, where it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// After about three tries.
    Short,
    /// As patient as it is by itself, and no less than ten tries.
    Own,
}

/// The command of one client.
pub(crate) type Write = fn(&Scene, &Client, Ask) -> Command;

/// barman takes nothing else for a segment.
const FILE_NAME: &str = "000000010000000000000001";

/// Puts the file there that everybody sends.
pub(crate) fn prepare(scene: &Scene, bytes: usize, seed: u64) {
    files::write(&scene.path("sent").join(FILE_NAME), &files::random_bytes(seed, bytes));
    let s3cfg = format!("{}max_retries = 2\n", scene.host_settings("s3cmd"));
    files::write(&scene.path("s3cfg"), s3cfg.as_bytes());
    files::write(&scene.path("rclone.conf"), scene.host_settings("rclone").as_bytes());
}

/// All of these are known to one client each.
pub(crate) fn patient(mut command: Command, patience: Patience) -> Command {
    if patience == Patience::Own {
        command.env("AWS_MAX_ATTEMPTS", "10");
        return command;
    }
    command.env("AWS_MAX_ATTEMPTS", "3").env("RCLONE_RETRIES", "1").env("RCLONE_LOW_LEVEL_RETRIES", "3");
    command.env("S3_MAX_RETRIES", "3").env("S3_MIN_THROTTLING_RETRY_DELAY", "50");
    command.env("S3_MAX_THROTTLING_RETRY_DELAY", "100");
    command
}

fn file(scene: &Scene) -> String {
    s(&scene.path("sent").join(FILE_NAME)).to_owned()
}

pub(crate) fn aws(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let mut aws = scene.host_client(&client.program, "aws");
    let (key, file) = (format!("{}/aws", ask.folder()), file(scene));
    aws.args(["--endpoint-url", &scene.host_endpoint(), "s3api", "put-object", "--bucket", ORG]);
    aws.args(["--key", &key, "--body", &file]);
    if ask == Ask::Unsupported {
        aws.args(["--server-side-encryption", "aws:kms"]);
    }
    aws
}

const BOTO3: &str = "import sys, boto3
more = {'ServerSideEncryption': 'aws:kms'} if sys.argv[4] == 'kms' else {}
boto3.client('s3').put_object(Bucket=sys.argv[1], Key=sys.argv[2], Body=open(sys.argv[3], 'rb'), **more)";

pub(crate) fn boto3(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let mut python = scene.host_client(&client.program, "aws");
    let kms = if ask == Ask::Unsupported { "kms" } else { "" };
    python.args(["-c", BOTO3, ORG, &format!("{}/boto3", ask.folder()), &file(scene), kms]);
    python
}

pub(crate) fn barman(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let mut barman = scene.host_client(&client.program, "barman");
    barman.args(["--endpoint-url", &scene.host_endpoint()]);
    if ask == Ask::Unsupported {
        barman.args(["--encryption", "aws:kms"]);
    }
    let folder = if ask == Ask::Unsupported { "kms" } else { "barman" };
    barman.args([&format!("s3://{ORG}/{}/{folder}", ask.folder()), "main", &file(scene)]);
    barman
}

pub(crate) fn rclone(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let mut rclone = scene.client(&client.program, "");
    rclone.arg("--config").arg(scene.path("rclone.conf"));
    if ask == Ask::Unsupported {
        rclone.args(["--s3-server-side-encryption", "aws:kms"]);
    }
    // Not looked for first: what is refused is the write.
    let there = format!("myorg-host:{ORG}/{}/rclone{}", ask.folder(), u8::from(ask == Ask::Unsupported));
    rclone.args(["copyto", "--ignore-times", "--no-check-dest", &file(scene), &there]);
    rclone
}

pub(crate) fn walg(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let mut walg = scene.host_client(&client.program, "walg");
    walg.env("WALG_S3_PREFIX", format!("s3://{ORG}/{}", ask.folder()));
    if ask == Ask::Unsupported {
        walg.env("S3_SSE", "aws:kms").env("S3_SSE_KMS_ID", "some-key");
    }
    walg.args(["st", "put", "--no-compress", "--no-encrypt", "--force", &file(scene), "x"]);
    walg
}

/// It has no option that makes it ask for what is never done here. In another host's folder it looks for a repository.
pub(crate) fn restic(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let mut restic = scene.host_client(&client.program, "restic");
    restic.env("RESTIC_PASSWORD", "correct horse").arg("--no-cache");
    if ask == Ask::Foreign {
        restic.env("RESTIC_REPOSITORY", format!("s3:{}/{ORG}/web-02", scene.host_endpoint()));
    }
    restic.args(["backup", &file(scene)]);
    restic
}

/// It sends whatever is 500 or more again: five times, or twice, as it is told here, in a version that can be told.
pub(crate) fn s3cmd(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let mut s3cmd = scene.client(&client.program, "");
    s3cmd.arg("-c").arg(scene.path("s3cfg")).arg("--no-progress");
    if ask == Ask::Unsupported {
        s3cmd.args(["--server-side-encryption", "--server-side-encryption-kms-id=some-key"]);
    }
    s3cmd.args(["put", &file(scene), &format!("s3://{ORG}/{}/s3cmd", ask.folder())]);
    s3cmd
}

pub(crate) fn s5cmd(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let mut s5cmd = scene.host_client(&client.program, "s5cmd");
    s5cmd.args(["--retry-count", "3", "cp"]);
    if ask == Ask::Unsupported {
        s5cmd.args(["--sse", "aws:kms", "--sse-kms-key-id", "some-key"]);
    }
    s5cmd.args([&file(scene), &format!("s3://{ORG}/{}/s5cmd", ask.folder())]);
    s5cmd
}

pub(crate) fn mc(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let mut mc = scene.host_client(&client.program, "mc");
    mc.arg("cp");
    if ask == Ask::Unsupported {
        mc.args(["--enc-kms", &format!("{ORG}/{ORG}=some-key")]);
    }
    mc.args([&file(scene), &format!("{ORG}/{ORG}/{}/mc", ask.folder())]);
    mc
}

/// It tries again whatever goes wrong, which is said to be three times here.
pub(crate) fn duplicity(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let mut duplicity = scene.host_client(&client.program, "duplicity");
    duplicity.args(["full", "--s3-endpoint-url", &scene.host_endpoint(), "--no-encryption"]);
    duplicity.args(["--num-retries", "3", "--backend-retry-delay", "1"]);
    if ask == Ask::Unsupported {
        duplicity.args(["--s3-use-server-side-kms-encryption", "--s3-kms-key-id", "some-key"]);
    }
    // A backup that was cut off would be taken up again.
    let archive = scene.path(&format!("archive-{ask:?}"));
    let there = format!("boto3+s3://{ORG}/{}/duplicity-{ask:?}", ask.folder());
    duplicity.arg("--archive-dir").arg(archive).arg(scene.path("sent")).arg(there);
    duplicity
}

/// A database of its own for each, since litestream keeps beside it how far it has come. What cannot be written at its end
/// it tries again every half second for 30 seconds, or as it is told here.
pub(crate) fn litestream(scene: &Scene, client: &Client, ask: Ask) -> Command {
    let database = scene.path(&format!("{ask:?}.db"));
    let fill = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('pragma journal_mode = wal');
db.execute('create table if not exists t (n integer)'); db.execute('insert into t values (1)'); db.commit()";
    let mut python = Command::new("python3");
    python.args(["-c", fill, s(&database)]);
    kheeper_e2e::command::run(python, kheeper_e2e::wait::secs(60)).ok();
    let (folder, endpoint) = (ask.folder(), scene.host_endpoint());
    let url = format!("s3://{ORG}/{folder}/litestream-{ask:?}?endpoint={endpoint}&forcePathStyle=true");
    let kms = if ask == Ask::Unsupported { "\n        sse-kms-key-id: some-key" } else { "" };
    let config = scene.path(&format!("{ask:?}.yml"));
    let text = format!(
        "shutdown-sync-timeout: 3s\ndbs:\n  - path: {}\n    replicas:\n      - url: {url}{kms}\n",
        database.display()
    );
    files::write(&config, text.as_bytes());
    let mut litestream = scene.host_client(&client.program, "litestream");
    litestream.args(["replicate", "-once", "-config", s(&config)]);
    litestream
}
