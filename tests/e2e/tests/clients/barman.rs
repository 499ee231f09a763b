//! barman-cloud with a real PostgreSQL: the distribution's and the newest. More of what can go wrong is in `postgres.rs`.

use std::path::Path;
use std::process::Command;

use kheeper_e2e::archiver::{Archiver as _, Barman, Site};
use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::postgres::{Cluster, give_tree, make_directory};
use kheeper_e2e::toolbox::{self, Client};
use kheeper_e2e::unix::database_account;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Scene, command};

use crate::s;

#[test]
fn barman_cloud_of_the_distribution_does_its_whole_cycle() {
    if let Some(client) = Client::distribution("barman-cloud-backup", &["--version"]) {
        cycle(&client.named("barman-cloud"), |_| Barman::DISTRIBUTION);
    }
}

#[test]
fn the_newest_barman_cloud_does_its_whole_cycle() {
    if let Some(client) = Client::installed("barman", "barman-cloud-backup", &["--version"]) {
        cycle(&client.named("barman-cloud"), readable_by_postgres);
    }
}

/// A copy of it: a checkout may lie where the account that PostgreSQL runs as may not go.
fn readable_by_postgres(scene: &Scene) -> Barman {
    let copy = scene.path("barman");
    let mut cp = Command::new("cp");
    cp.arg("-r").arg(toolbox::installed("barman").expect("it said its version")).arg(&copy);
    cp.arg("--dereference");
    command::run(cp, secs(60)).ok();
    let libraries = std::fs::read_dir(copy.join("lib")).expect("a Python environment has one");
    let library = libraries.map(|entry| entry.expect("readable").path()).next().expect("of one Python");
    let packages = library.join("site-packages");
    let programs = format!("env PYTHONPATH={} /usr/bin/python3 {}/bin/barman-cloud-", s(&packages), s(&copy));
    Barman { programs: programs.leak() }
}

fn cycle(client: &Client, barman: impl Fn(&Scene) -> Barman) {
    let scene = Scene::start(Wire::Plain);
    let mut row = Row::begin(&client.name, &client.version, Wire::Plain);
    let barman = barman(&scene);
    let home = scene.path("home-web-01");
    make_directory(&home);
    let (endpoint, namespace) = (scene.host_endpoint(), scene.host.namespace());
    let site = Site { cli: scene.host.cli.clone(), endpoint, namespace, is_owner: false, home };
    let mut cluster = Cluster::create(&site.home);
    cluster.set("archive_mode", "on");
    cluster.set("archive_command", &barman.archive_command(&site));
    cluster.set("restore_command", &barman.restore_command(&site));
    cluster.set_environment(site.environment());
    cluster.start();

    for _ in 0..2 {
        cluster.insert(300);
        barman.base_backup(&site, &cluster);
    }
    row.did("two base backups");
    let before = barman.backups(&site);
    assert_eq!(before.len(), 2);
    row.did("list");
    barman.retain(&site, 1);
    assert_eq!(barman.backups(&site), before[1..]);
    row.did("prune");
    cluster.insert(300);
    cluster.archive_everything();
    row.did("WAL archive");
    let rows = cluster.rows();
    cluster.destroy();
    barman.restore_latest(&site, &cluster.data);
    cluster.begin_recovery();
    cluster.start();
    assert_eq!(cluster.rows(), rows);
    row.did("restore and recovery");
    cluster.stop();
    owner_restores(&scene, barman, &rows);
    row.did("owner restores");
    row.green();
}

/// On the workstation, as the account that the proxy there admits.
fn owner_restores(scene: &Scene, barman: Barman, rows: &str) {
    if let Some(account) = database_account() {
        give_tree(&scene.world.alice.config, account);
    }
    let cli = scene.world.alice.run_as(database_account());
    let proxy = kheeper_e2e::Proxy::start(&cli, &[]);
    let home = scene.path("home-workstation");
    make_directory(&home);
    let site = Site { cli, endpoint: proxy.endpoint(), namespace: scene.host.namespace(), is_owner: true, home };
    let mut replayed = Cluster::at(&site.home);
    barman.restore_latest(&site, &replayed.data);
    replayed.begin_recovery();
    replayed.set("archive_mode", "off");
    replayed.set("restore_command", &barman.restore_command(&site));
    replayed.set_environment(site.environment());
    replayed.start();
    assert_eq!(replayed.rows(), rows);
    replayed.stop();
    let stray: &Path = &site.home.join("000000010000000000000001");
    std::fs::write(stray, [0; 8192]).expect("our own directory");
    barman.push(&site, stray).failed();
}
