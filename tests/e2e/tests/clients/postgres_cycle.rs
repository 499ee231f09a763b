//! What an archiver of PostgreSQL does in the matrix. More of what can go wrong is in `postgres.rs`.

use std::path::Path;

use kheeper_e2e::Scene;
use kheeper_e2e::archiver::{Archiver, Site};
use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::postgres::Cluster;
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::world::ORG;

/// Makes a base backup whose compressed form is still sent in parts.
const MANY_ROWS: u32 = 120_000;

/// Backs up, prunes, archives, loses and restores a cluster as a host, and restores it again as the owner.
pub(crate) fn cycle<A: Archiver>(client: &Client, wire: Wire, archiver: impl Fn(&Scene) -> A) {
    let scene = Scene::start(wire);
    let mut row = Row::begin(&client.name, &client.version, wire);
    let archiver = archiver(&scene);
    let site = Site::of_host(&scene.world, &scene.host, &scene.proxy, "home-web-01");
    // The smallest parts there are, so that a small cluster's base backup is sent in some of them.
    let settings = vec![("WALG_S3_MAX_PART_SIZE".to_owned(), (5 << 20).to_string())];
    let site = Site { endpoint: scene.host_endpoint(), settings, ..site };
    let mut cluster = Cluster::create(&site.home);
    site.archive(&mut cluster, &archiver);
    cluster.start();

    for _ in 0..2 {
        cluster.insert(MANY_ROWS);
        archiver.base_backup(&site, &cluster);
    }
    row.did(&format!("two base backups, in {} parts", parts_of_base_backups(&scene)));
    let before = archiver.backups(&site);
    assert_eq!(before.len(), 2);
    row.did("list");
    archiver.retain(&site, 1);
    assert_eq!(archiver.backups(&site), before[1..]);
    row.did("prune");
    cluster.insert(300);
    let segment = cluster.archive_everything();
    let keys = scene.proxy.door().keys(ORG, "web-01/", 1000);
    assert!(keys.iter().any(|key| key.contains(&segment)), "{segment} is archived, and the store has {keys:?}");
    row.did("WAL archive");
    let rows = cluster.rows();
    cluster.destroy();
    archiver.restore_latest(&site, &cluster.data);
    cluster.begin_recovery();
    cluster.start();
    assert_eq!(cluster.rows(), rows);
    row.did("restore and recovery");
    cluster.stop();
    owner_restores(&scene, &archiver, &rows);
    row.did("owner restores");
    row.green();
}

/// How many parts there are of what was sent in more than one: its ETag says so.
fn parts_of_base_backups(scene: &Scene) -> u32 {
    let door = scene.proxy.door();
    let keys = door.keys(ORG, "web-01/", 1000);
    let parts = keys.iter().filter(|key| key.contains("/base")).filter_map(|key| {
        let head = door.head(&format!("/{ORG}/{key}")).expect(200);
        head.header("etag")?.trim_matches('"').rsplit_once('-')?.1.parse::<u32>().ok()
    });
    let parts = parts.filter(|parts| *parts > 1).sum();
    assert!(parts >= 4, "each of two base backups is sent in parts: {keys:?}");
    parts
}

/// On the workstation, as the account that the proxy there admits.
fn owner_restores(scene: &Scene, archiver: &impl Archiver, rows: &str) {
    let cli = scene.world.workstation();
    let proxy = kheeper_e2e::Proxy::start(&cli, &["--tls"]);
    let site = Site::of_reader(&scene.world, &cli, &proxy, &scene.host, "home-workstation");
    let site = Site { endpoint: scene.endpoint(&proxy), ..site };
    let mut replayed = Cluster::at(&site.home);
    archiver.restore_latest(&site, &replayed.data);
    replayed.begin_recovery();
    site.replay(&mut replayed, archiver);
    replayed.start();
    assert_eq!(replayed.rows(), rows);
    replayed.stop();
    let stray: &Path = &site.home.join("000000010000000000000001");
    std::fs::write(stray, [0; 8192]).expect("our own directory");
    archiver.push(&site, stray).failed();
}
