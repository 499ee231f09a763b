//! What real clients make of a refusal, and of a store that is not there: their requests, counted at the proxy.
//!
//! A refusal (403, 501) is sent once; an absent store (503) is asked again, and the client says so at the end. Clients are
//! told to give up soon where they can be told, and what was counted is printed.

use std::path::PathBuf;
use std::process::Command;

use kheeper_e2e::wait::secs;
use kheeper_e2e::{Done, Proxy, Request, World, binaries, command};
use libtest_mimic::{Failed, Trial};

/// A client that is installed, and the commands that make it meet each answer.
#[derive(Debug, Clone, Copy)]
struct Client {
    name: &'static str,
    /// The option of `hosts me` that prints its environment.
    tool: &'static str,
    /// Further environment: soon to give up.
    env: &'static [(&'static str, &'static str)],
    /// Writes into another host's prefix: 403.
    foreign: &'static [&'static str],
    /// Writes what is refused for good: 501. Empty for a client that has no such option.
    unsupported: &'static [&'static str],
    /// Writes into its own prefix, for a store that is not there: 503. Empty for a client that cannot be told to give up.
    own: &'static [&'static str],
}

/// In arguments: the endpoint, and a small file.
const ENDPOINT: &str = "{endpoint}";
const FILE: &str = "{file}";
/// Its name, since barman takes nothing else for a segment.
const FILE_NAME: &str = "000000010000000000000001";

const AWS: Client = Client {
    name: "aws",
    tool: "--env=aws",
    env: &[("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"), ("AWS_MAX_ATTEMPTS", "3")],
    foreign: &[
        "--endpoint-url",
        ENDPOINT,
        "s3api",
        "put-object",
        "--bucket",
        "myorg",
        "--key",
        "web-02/x",
        "--body",
        FILE,
    ],
    unsupported: &[
        "--endpoint-url",
        ENDPOINT,
        "s3api",
        "put-object",
        "--bucket",
        "myorg",
        "--key",
        "web-01/x",
        "--body",
        FILE,
        "--server-side-encryption",
        "aws:kms",
    ],
    own: &["--endpoint-url", ENDPOINT, "s3api", "put-object", "--bucket", "myorg", "--key", "web-01/x", "--body", FILE],
};

const RCLONE: Client = Client {
    name: "rclone",
    tool: "--env=rclone",
    env: &[
        ("RCLONE_CONFIG", "/dev/null"),
        ("RCLONE_RETRIES", "1"),
        ("RCLONE_LOW_LEVEL_RETRIES", "3"),
        ("RCLONE_S3_NO_CHECK_BUCKET", "true"),
    ],
    foreign: &[
        "rcat",
        "--s3-endpoint",
        ENDPOINT,
        ":s3,provider=Minio,access_key_id=x,secret_access_key=y:myorg/web-02/x",
    ],
    unsupported: &[
        "copyto",
        "--s3-endpoint",
        ENDPOINT,
        "--s3-server-side-encryption",
        "aws:kms",
        FILE,
        ":s3,provider=Minio,access_key_id=x,secret_access_key=y:myorg/web-01/encrypted",
    ],
    own: &[
        "copyto",
        "--s3-endpoint",
        ENDPOINT,
        FILE,
        ":s3,provider=Minio,access_key_id=x,secret_access_key=y:myorg/web-01/x",
    ],
};

const WALG: Client = Client {
    name: "wal-g",
    tool: "--env",
    env: &[("S3_MAX_RETRIES", "3"), ("S3_MIN_THROTTLING_RETRY_DELAY", "50"), ("S3_MAX_THROTTLING_RETRY_DELAY", "100")],
    foreign: &["st", "put", "--no-compress", "--no-encrypt", "--force", FILE, "x"],
    unsupported: &["st", "put", "--no-compress", "--no-encrypt", "--force", FILE, "x"],
    own: &["st", "put", "--no-compress", "--no-encrypt", "--force", FILE, "x"],
};

const BARMAN: Client = Client {
    name: "barman-cloud-wal-archive",
    tool: "--env=barman",
    env: &[("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")],
    foreign: &["--endpoint-url", ENDPOINT, "s3://myorg/web-02", "main", FILE],
    unsupported: &["--endpoint-url", ENDPOINT, "--encryption", "aws:kms", "s3://myorg/web-01/kms", "main", FILE],
    own: &["--endpoint-url", ENDPOINT, "s3://myorg/web-01", "main", FILE],
};

const RESTIC: Client = Client {
    name: "restic",
    tool: "--env=restic",
    env: &[("RESTIC_PASSWORD", "password"), ("RESTIC_REPOSITORY", "s3:{endpoint}/myorg/web-02")],
    foreign: &["--no-cache", "cat", "config"],
    unsupported: &[],
    own: &[],
};

pub(crate) fn trials() -> Vec<Trial> {
    let installed = |client: &Client| program(client).is_some();
    let missing: Vec<&str> = [WALG].iter().filter(|client| !installed(client)).map(|client| client.name).collect();
    for name in missing {
        println!("WALG-NOT-RUN retries: no {name} in $WALG or on PATH");
    }
    let clients: Vec<Client> = [AWS, RCLONE, BARMAN, RESTIC, WALG]
        .into_iter()
        .filter(|client| client.name != "wal-g" || installed(client))
        .collect();
    let trial = |client: Client| {
        Trial::test(
            format!("retries::{}_gives_up_a_refusal_at_once_and_asks_again_for_a_503", client.name),
            move || steer(&client),
        )
    };
    clients.into_iter().map(trial).collect()
}

fn program(client: &Client) -> Option<PathBuf> {
    if client.name == "wal-g" { binaries::walg() } else { binaries::on_path(client.name) }
}

/// A host, its proxy, and a file to send.
struct Scene {
    client: Client,
    proxy: Proxy,
    world: World,
    environment: Vec<(String, String)>,
}

fn steer(client: &Client) -> Result<(), Failed> {
    let world = World::start();
    let host = world.host("web-01");
    world.host("web-02");
    let proxy = world.host_proxy(&host);
    let printed = host.cli.ok(&["hosts", "me", client.tool, "--endpoint", &proxy.endpoint()]).stdout;
    let environment = printed
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = if client.name == "rclone" { Vec::new() } else { environment.collect() };
    let mut scene = Scene { client: *client, proxy, world, environment };
    std::fs::write(scene.world.path(FILE_NAME), b"a small file").expect("our own directory");

    if !client.own.is_empty() {
        scene.run(client.own, &[]).ok();
    }
    let foreign: &[(&str, &str)] =
        if client.name == "wal-g" { &[("WALG_S3_PREFIX", "s3://myorg/web-02")] } else { &[] };
    let kms: &[(&str, &str)] =
        if client.name == "wal-g" { &[("S3_SSE", "aws:kms"), ("S3_SSE_KMS_ID", "some-key")] } else { &[] };
    let (refused, count) = scene.count("4xx", |scene| scene.run(client.foreign, foreign));
    println!("{}: 403 sent {count}x", client.name);
    assert_named(&refused, ["AccessDenied", "403", "Access Denied"]);
    // restic lists keys of two layouts before it looks for its configuration: three requests, each sent once.
    let requests = if client.name == "restic" { 3 } else { 1 };
    assert_eq!(count, requests, "a 403 is final: {refused}");
    if !client.unsupported.is_empty() {
        let (refused, count) = scene.count("5xx", |scene| scene.run(client.unsupported, kms));
        println!("{}: 501 sent {count}x", client.name);
        assert_named(&refused, ["NotImplemented", "501", "not implemented"]);
        assert_eq!(count, 1, "a 501 is final: {refused}");
    }
    if !client.own.is_empty() {
        scene.world.server.kill9();
        let (absent, count) = scene.count("5xx", |scene| scene.run(client.own, &[]));
        println!("{}: 503 sent {count}x", client.name);
        assert_named(&absent, ["ServiceUnavailable", "503", "Service Unavailable"]);
        assert!(count >= 2, "a 503 was sent {count} times: {absent}");
    }
    Ok(())
}

/// It failed, and says what it met.
fn assert_named(done: &Done, words: [&str; 3]) {
    assert!(!done.status.success(), "{words:?}: {done}");
    assert!(words.iter().any(|word| done.text().contains(word)), "it names what it met, {words:?}: {done}");
}

impl Scene {
    fn run(&self, args: &[&str], more: &[(&str, &str)]) -> Done {
        let program = program(&self.client).unwrap_or_else(|| panic!("{} is not installed", self.client.name));
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("RCLONE_")) {
            command.env_remove(name);
        }
        let file = self.world.path(FILE_NAME);
        for arg in args {
            match *arg {
                ENDPOINT => command.arg(self.proxy.endpoint()),
                FILE => command.arg(&file),
                arg => command.arg(arg),
            };
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let endpoint = self.proxy.endpoint();
        command.envs(self.client.env.iter().map(|(name, value)| (name, value.replace(ENDPOINT, &endpoint))));
        command.envs(more.iter().copied());
        command::run_with_input(command, b"a small file", secs(120))
    }

    /// What `act` did, and how many more answers of `class` the proxy has given since.
    fn count(&self, class: &str, act: impl FnOnce(&Self) -> Done) -> (Done, u64) {
        let before = self.answers(class);
        let done = act(self);
        (done, self.answers(class) - before)
    }

    fn answers(&self, class: &str) -> u64 {
        let metrics = Request::new("GET", "/-/metrics").send(self.proxy.address()).expect(200).text();
        let name = format!("kheeper_proxy_answers_total{{class=\"{class}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&*name));
        line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
    }
}
