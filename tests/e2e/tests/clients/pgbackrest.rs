//! pgBackRest with a real PostgreSQL: full and differential backups, expiry, verification, restore, and what recovery is
//! told when the store cannot be asked. Debian's speaks nothing but TLS.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use kheeper_e2e::archiver::Site;
use kheeper_e2e::matrix::{self, Row, Wire};
use kheeper_e2e::postgres::{Cluster, make_directory};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::unix::database_account;
use kheeper_e2e::{Done, Proxy, Scene};

use crate::refusals::{FORBIDDEN, Requests, UNSUPPORTED, assert_named};

/// The first version that has plain endpoints.
const PLAIN_SINCE: (u32, u32) = (2, 58);
/// Makes a file whose compressed form is still sent in parts.
const MANY_ROWS: u32 = 250_000;

#[test]
fn pgbackrest_does_its_whole_cycle_over_tls() {
    if let Some(client) = Client::distribution("pgbackrest", &["version"]) {
        cycle(&client, Wire::Tls);
    }
}

#[test]
fn pgbackrest_does_its_whole_cycle_over_a_plain_connection_where_it_can() {
    let Some(client) = Client::distribution("pgbackrest", &["version"]) else { return };
    let mut numbers = client.version.split('.').map(|number| number.parse().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= PLAIN_SINCE {
        return cycle(&client, Wire::Plain);
    }
    let why = format!("it has plain endpoints from {}.{} on", PLAIN_SINCE.0, PLAIN_SINCE.1);
    matrix::cannot_speak("pgBackRest", &client.version, Wire::Plain, &why);
}

/// pgBackRest's side of a host: its settings, and PostgreSQL's account to run it as.
struct Stanza {
    site: Site,
    config: PathBuf,
}

impl Stanza {
    fn new(scene: &Scene, client: &Client, cluster: &Cluster) -> Self {
        let home = cluster.socket_dir().to_owned();
        let site = Site {
            cli: scene.host.cli.clone(),
            endpoint: scene.host_endpoint(),
            namespace: scene.host.namespace(),
            is_owner: false,
            home,
            settings: Vec::new(),
        };
        let config = write_config(&site.home, &scene.host_settings("pgbackrest"), &cluster.data);
        std::os::unix::fs::symlink(&client.program, scene.world.bin().join("pgbackrest")).expect("our own directory");
        Self { site, config }
    }

    fn command(&self, args: &str) -> String {
        format!("pgbackrest --config={} --stanza=main {args}", self.config.display())
    }

    #[track_caller]
    fn ok(&self, args: &str) -> Done {
        self.site.run(&self.command(args), &[]).ok()
    }

    /// What each backup is called, oldest first: `20261122-210000F`, and `…F_20261122-210100D` for a differential one.
    fn backups(&self) -> Vec<String> {
        let info = self.ok("info --output=json").json();
        let backups = info[0]["backup"].as_array().cloned().unwrap_or_default();
        backups.iter().filter_map(|backup| backup["label"].as_str()).map(str::to_owned).collect()
    }

    /// How PostgreSQL asks for a segment, so that an outage stops it and is not taken for the end of the archive.
    fn restore_command(&self, file: &str, to: &str) -> String {
        format!("kheeper exec --recovery pgbackrest -- {}", self.command(&format!("archive-get {file} {to}")))
    }
}

fn write_config(home: &Path, repository: &str, data: &Path) -> PathBuf {
    let file = home.join("pgbackrest.conf");
    let home = home.display();
    let text = format!(
        "[global]\n{repository}\nrepo1-retention-full=9\nlog-path={home}\nlock-path={home}/lock\nspool-path={home}\n\
         log-level-console=warn\nlog-level-file=off\nstart-fast=y\nprocess-max=2\n\
         [main]\npg1-path={}\npg1-socket-path={home}\npg1-user=postgres\n",
        data.display()
    );
    std::fs::write(&file, text).expect("our own directory");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("our own file");
    file
}

fn cycle(client: &Client, wire: Wire) {
    let mut scene = Scene::start(wire);
    let mut row = Row::begin("pgBackRest", &client.version, wire);
    let mut cluster = Cluster::create(&scene.path("pg"));
    let stanza = Stanza::new(&scene, client, &cluster);
    cluster.set("archive_mode", "on");
    cluster.set("archive_command", &stanza.command("archive-push %p"));
    cluster.set("restore_command", &stanza.restore_command("%f", "%p"));
    cluster.set_environment(stanza.site.environment());
    cluster.start();

    stanza.ok("stanza-create");
    stanza.ok("check");
    row.did("stanza-create and archive-push");
    cluster.insert(MANY_ROWS);
    stanza.ok("backup --type=full");
    row.did("full backup");
    cluster.insert(500);
    stanza.ok("backup --type=diff");
    let first = stanza.backups();
    assert!(first.len() == 2 && first[1].starts_with(&first[0]) && first[1].ends_with('D'), "{first:?}");
    row.did("differential backup and info");

    cluster.insert(500);
    cluster.archive_everything();
    let rows = cluster.rows();
    lose_and_restore(&mut cluster, &stanza, &rows);
    row.did("restore");

    stanza.ok("backup --type=full --no-expire-auto");
    stanza.ok("expire --repo1-retention-full=1");
    let kept = stanza.backups();
    assert!(kept.len() == 1 && !first.contains(&kept[0]), "of {first:?} and a newer one, {kept:?} are left");
    row.did("expire");
    let verified = stanza.ok("verify --output=text --log-level-console=info").text();
    assert!(!verified.contains("ERROR") && !verified.contains("invalid: "), "{verified}");
    row.did("verify");

    cluster.insert(500);
    let segment = cluster.archive_everything();
    let rows = cluster.rows();
    lose_and_restore(&mut cluster, &stanza, &rows);
    row.did("restore after expire");
    refused(&scene, &stanza, &mut row);
    cluster.stop();

    owner_restores(&scene, &rows);
    row.did("owner restores and replays");

    let before = scene.proxy.answers("5xx");
    what_recovery_is_told(&mut scene, &stanza, &segment);
    let count = scene.proxy.answers("5xx") - before;
    assert!(count >= 2, "a 503 was sent {count} times");
    row.did(&format!("an outage is asked again ({count}x), and stops recovery"));
    row.green();
}

fn lose_and_restore(cluster: &mut Cluster, stanza: &Stanza, rows: &str) {
    cluster.destroy();
    make_directory(&cluster.data);
    std::fs::set_permissions(&cluster.data, std::fs::Permissions::from_mode(0o700)).expect("our own directory");
    stanza.ok("restore");
    cluster.start();
    assert_eq!(cluster.rows(), rows);
}

/// How often a refusal is sent: pgBackRest goes on after whatever is 500 or more until its `io-timeout`.
fn refused(scene: &Scene, stanza: &Stanza, row: &mut Row) {
    let create = |path: &str| {
        stanza.site.run(&stanza.command(&format!("--repo1-path={path} --io-timeout=3 stanza-create")), &[])
    };
    let (done, count) = scene.proxy.counting("4xx", || create("/web-02/pgbackrest"));
    assert_named(&done, FORBIDDEN);
    Requests::Once(1).check(403, count, &done);
    row.did("a 403 ends it (1x sent)");
    let (done, count) = scene.proxy.counting("5xx", || create("/web-01/kms --repo1-s3-kms-key-id=some-key"));
    assert_named(&done, UNSUPPORTED);
    Requests::UpTo(30).check(501, count, &done);
    row.did(&format!("a 501 ends it with io-timeout ({count}x sent in 3 s)"));
}

/// On a workstation: a cluster that has every row, and archives nothing.
fn owner_restores(scene: &Scene, rows: &str) {
    let cli = scene.world.workstation();
    let proxy = Proxy::start(&cli, &["--tls"]);
    let site = Site::of_reader(&scene.world, &cli, &proxy, &scene.host, "home-workstation");
    let mut replayed = Cluster::at(&site.home);
    make_directory(&replayed.data);
    std::fs::set_permissions(&replayed.data, std::fs::Permissions::from_mode(0o700)).expect("our own directory");
    let settings = scene.owner_settings_at("pgbackrest", &scene.endpoint(&proxy));
    let stanza = Stanza { config: write_config(&site.home, &settings, &replayed.data), site };
    stanza.ok("restore");
    replayed.set("archive_mode", "off");
    replayed.set_environment(stanza.site.environment());
    replayed.start();
    assert_eq!(replayed.rows(), rows);
    replayed.stop();
    stanza.ok("stop");
    let refused = stanza.site.run(&stanza.command("stanza-delete --force"), &[]);
    assert_named(&refused, FORBIDDEN);
}

fn what_recovery_is_told(scene: &mut Scene, stanza: &Stanza, segment: &str) {
    let to = stanza.site.home.join("segment");
    let fetch = |file: &str| {
        let command = stanza.restore_command(file, &to.display().to_string());
        stanza.site.run(&command, &[("PGBACKREST_IO_TIMEOUT", "3")])
    };
    fetch(segment).ok();
    let absent = fetch("0000000100000000000000FF");
    assert_eq!(absent.code(), 1, "{absent}");
    scene.world.server.kill9();
    let failed = fetch("0000000100000000000000FF");
    assert_eq!(failed.code(), 255, "{failed}");
    assert!(database_account().is_none() || to.exists());
}
