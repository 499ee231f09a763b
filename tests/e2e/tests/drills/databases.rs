//! PostgreSQL: the archive is destroyed with the host's own key; the database is restored from before the attack.

use kheeper_e2e::archiver::{Archiver, Barman, Site, WalG};
use kheeper_e2e::binaries::walg_is_here;
use kheeper_e2e::postgres::Cluster;
use kheeper_e2e::unix::database_account;
use kheeper_e2e::{Proxy, World};

use crate::attack::{Moment, destroy_everything, its_deletes_and_overwrites_are_in_the_log};

#[test]
fn a_database_archived_by_barman_is_restored_from_before_the_attack() {
    restored_from_before_the_attack(&Barman::DISTRIBUTION);
}

#[test]
fn a_database_archived_by_wal_g_is_restored_from_before_the_attack() {
    if walg_is_here("a_database_archived_by_wal_g_is_restored_from_before_the_attack") {
        restored_from_before_the_attack(&WalG);
    }
}

#[test]
fn barman_archives_no_other_file_under_a_name_that_is_kept() {
    a_name_takes_one_content(&Barman::DISTRIBUTION);
}

#[test]
fn wal_g_archives_no_other_file_under_a_name_that_is_kept() {
    if walg_is_here("wal_g_archives_no_other_file_under_a_name_that_is_kept") {
        a_name_takes_one_content(&WalG);
    }
}

fn restored_from_before_the_attack(archiver: &'static dyn Archiver) {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let site = Site::of_host(&world, &host, &proxy, "home");
    let mut cluster = Cluster::create(&site.home);
    site.archive(&mut cluster, archiver);
    cluster.start();
    cluster.insert(500);
    archiver.base_backup(&site, &cluster);
    cluster.insert(500);
    cluster.archive_everything();
    let rows = cluster.rows();
    let backups = archiver.backups(&site);
    cluster.destroy();
    let before = Moment::now();
    destroy_everything(&proxy.door(), &host);
    its_deletes_and_overwrites_are_in_the_log(&world, &host);
    before.wait_until_past(&world.alice);

    let owner = world.workstation();
    let past = Proxy::start(&owner, &["--at", &before.0]);
    replay(archiver, &Site::of_reader(&world, &owner, &past, &host, "home-past"), &rows, &backups);

    owner.ok(&["objects", "restore", "--at", &before.0, &host.namespace()]);
    let present = Proxy::start(&owner, &[]);
    replay(archiver, &Site::of_reader(&world, &owner, &present, &host, "home-present"), &rows, &backups);
}

fn replay(archiver: &dyn Archiver, site: &Site, rows: &str, backups: &[String]) {
    assert_eq!(archiver.backups(site), backups);
    let mut replayed = Cluster::at(&site.home);
    archiver.restore_latest(site, &replayed.data);
    replayed.begin_recovery();
    site.replay(&mut replayed, archiver);
    replayed.start();
    assert_eq!(replayed.rows(), rows);
    replayed.stop();
}

fn a_name_takes_one_content(archiver: &'static dyn Archiver) {
    let world = World::start();
    let host = world.host("web-01");
    world.alice.ok(&["hosts", "set", &host.namespace(), "--no-overwrite"]);
    let proxy = world.host_proxy(&host);
    let segment = |name: &str, seed: u64| {
        let site = Site::of_host(&world, &host, &proxy, name);
        let file = site.home.join("000000010000000000000007");
        kheeper_e2e::files::write(&file, &kheeper_e2e::files::random_bytes(seed, 16 << 20));
        if let Some(account) = database_account() {
            account.own(&file);
        }
        (site, file)
    };
    let (first_site, first) = segment("cluster-1", 1);
    archiver.push(&first_site, &first).ok();
    let stored = proxy.door().keys("myorg", "web-01/", 1000);
    // PostgreSQL may archive a segment twice.
    let (again_site, again) = segment("cluster-1-again", 1);
    archiver.push(&again_site, &again).ok();
    // Another cluster that archives under the same prefix is told so.
    let (second_site, second) = segment("cluster-2", 2);
    archiver.push(&second_site, &second).failed();
    assert_eq!(proxy.door().keys("myorg", "web-01/", 1000), stored);
    let fetched = first_site.home.join("fetched");
    archiver.fetch(&first_site, "000000010000000000000007", &fetched).ok();
    assert!(std::fs::read(&fetched).expect("fetched") == std::fs::read(&again).expect("ours"), "the first one stays");
}
