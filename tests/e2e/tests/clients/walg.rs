//! wal-g with a real PostgreSQL, where there is a wal-g. More of what can go wrong is in `postgres.rs`.

use std::fs;
use std::path::Path;

use kheeper_e2e::archiver::{Site, WalG};
use kheeper_e2e::matrix::Wire;
use kheeper_e2e::postgres::make_directory;
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::{secs, until};
use kheeper_e2e::world::ORG;
use kheeper_e2e::{World, files};

use crate::postgres_cycle::cycle;

#[test]
fn wal_g_does_its_whole_cycle() {
    if let Some(client) = Client::walg() {
        cycle(&client, Wire::Plain, |_| WalG);
        cycle(&client, Wire::Tls, |_| WalG);
    }
}

/// wal-g pushes waiting segments ahead of being asked, and notes which. Two clusters of one machine and account have
/// segments of the same names, and nobody has set `PGDATA` for them.
#[test]
fn what_one_cluster_has_pushed_ahead_is_not_taken_for_archived_in_another() {
    let Some(_walg) = Client::walg() else { return };
    const ASKED: &str = "000000010000000000000001";
    const AHEAD: &str = "000000010000000000000002";
    let world = World::start();
    let proxies: Vec<_> =
        ["web-01", "web-02"].map(|name| world.host(name)).map(|host| (world.host_proxy(&host), host)).into();
    let sites = proxies.iter().map(|(proxy, host)| Site::of_host(&world, host, proxy, &format!("home-{}", host.name)));
    let [first, second] = &sites.collect::<Vec<_>>()[..] else { unreachable!("two of them") };
    for site in [first, second] {
        make_cluster(&site.home, &[ASKED, AHEAD]);
    }
    let push =
        |site: &Site, segment: &str| site.run(&format!("cd data && kheeper walg wal-push pg_wal/{segment}"), &[]).ok();

    let note = first.home.join("data/pg_wal/walg_data/walg_archive_status").join(AHEAD);
    until("a segment to be pushed ahead", secs(60), || {
        push(first, ASKED);
        note.exists().then_some(())
    });
    push(second, AHEAD);
    let keys = proxies[1].0.door().keys(ORG, "web-02/", 1000);
    assert!(keys.iter().any(|key| key.contains(AHEAD)), "it was said to be archived, and there is {keys:?}");
}

/// What wal-g sees of a cluster: segments that wait to be archived.
fn make_cluster(home: &Path, segments: &[&str]) {
    let wal = home.join("data/pg_wal");
    for directory in [home.join("data"), wal.clone(), wal.join("archive_status")] {
        make_directory(&directory);
    }
    fs::write(home.join("data/PG_VERSION"), "15\n").expect("our own directory");
    for (seed, segment) in segments.iter().enumerate() {
        fs::write(wal.join(segment), files::random_bytes(seed as u64, 16 << 20)).expect("our own directory");
        fs::write(wal.join(format!("archive_status/{segment}.ready")), "").expect("our own directory");
    }
}
