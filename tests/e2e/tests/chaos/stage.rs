//! A cluster under load that archives over a line that can be cut, to a server on a disk that can be filled.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use kheeper_e2e::archiver::{Archiver, Site};
use kheeper_e2e::filesystem::FileSystem;
use kheeper_e2e::postgres::{Client, Cluster, PATIENCE, give_tree, make_directory};
use kheeper_e2e::server::OWN_ORIGIN;
use kheeper_e2e::unix::database_account;
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::{Line, Proxy, Running, World, digest, files};

/// Room for the store; what is not used takes no memory.
const DISK_SIZE: &str = "3g";

/// All that takes part.
pub(crate) struct Stage {
    pub(crate) archiver: &'static dyn Archiver,
    pub(crate) cluster: Cluster,
    pub(crate) site: Site,
    pub(crate) proxy: Proxy,
    pub(crate) line: Line,
    /// Unmounted before the world's directory goes.
    pub(crate) disk: Disk,
    pub(crate) world: World,
}

/// The store's disk.
pub(crate) struct Disk {
    at: PathBuf,
    mounted: FileSystem,
}

/// What clients of the database did.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// Those that PostgreSQL has acknowledged.
    acknowledged: BTreeSet<u64>,
    /// The last one that was tried.
    tried: u64,
}

/// What the archive command has seen.
#[derive(Debug)]
pub(crate) struct Archived {
    /// The SHA-256 of every segment that it reported as archived.
    pub(crate) digests: BTreeMap<String, String>,
    /// How often it failed.
    pub(crate) failures: usize,
}

impl Stage {
    /// A running cluster with a base backup; its segments have 1 MiB, so that many are archived.
    pub(crate) fn set(archiver: &'static dyn Archiver) -> Self {
        let dir = World::directory();
        let at = dir.path().join("disk");
        let disk = Disk { mounted: FileSystem::in_memory(&at, &format!("size={DISK_SIZE},mode=700")), at: at.clone() };
        let line = Line::new();
        let origin = line.origin();
        let world = World::start_in(dir, &at.join("data"), &["--origin", &origin, "--origin", OWN_ORIGIN]);
        // Declared after the world, so that it is unmounted before the world's directory is removed.
        let disk = disk;
        line.lead_to(world.server.address());
        let host = world.host("web-01");
        let proxy = world.host_proxy(&host);
        let settings = vec![("WALG_PG_WAL_SIZE".to_owned(), "1".to_owned())];
        let site = Site { settings, ..Site::of_host(&world, &host, &proxy, "home") };
        let mut cluster = Cluster::create_with(&site.home, &["--wal-segsize=1"]);
        // What is there before the base backup need not be archived.
        site.replay(&mut cluster, archiver);
        cluster.start();
        cluster.sql("create table committed (n bigint primary key, what text)");
        let mut pgbench = cluster.client().program("pgbench");
        pgbench.args(["-i", "-q", "postgres"]);
        kheeper_e2e::command::run(pgbench, PATIENCE).ok();
        cluster.stop();
        site.archive(&mut cluster, archiver);
        cluster.set("archive_timeout", "3");
        cluster.set("archive_command", &journalled(&site, &archiver.archive_command(&site)));
        cluster.start();
        archiver.base_backup(&site, &cluster);
        Self { archiver, cluster, site, proxy, line, disk, world }
    }

    /// What the archive command has written down.
    pub(crate) fn archived(&self) -> Archived {
        let read = |name: &str| std::fs::read_to_string(self.site.home.join(name)).unwrap_or_default();
        let mut digests = BTreeMap::new();
        for line in read("archived").lines() {
            let (segment, sha256) = line.split_once(' ').expect("a name and a digest");
            let before = digests.insert(segment.to_owned(), sha256.to_owned());
            assert!(before.is_none_or(|before| before == sha256), "{segment} was archived twice, with other bytes");
        }
        Archived { digests, failures: read("refused").lines().count() }
    }

    /// Checks that what PostgreSQL takes for archived is in the store as it was.
    pub(crate) fn check_store(&self, archived: &Archived) {
        let status = std::fs::read_dir(self.cluster.data.join("pg_wal/archive_status")).expect("it is there");
        for entry in status.flatten() {
            let name = entry.file_name().into_string().expect("names of segments are plain");
            let Some(segment) = name.strip_suffix(".done") else { continue };
            assert!(archived.digests.contains_key(segment), "{segment} is marked done, and no command said so");
        }
        let fetched = self.site.home.join("fetched");
        make_directory(&fetched);
        for (segment, sha256) in &archived.digests {
            let bytes = match self.archiver.plain_object(&self.site, segment) {
                Some(path) => self.proxy.door().get(&path).expect(200).body,
                None => {
                    let to = fetched.join(segment);
                    self.archiver.fetch(&self.site, segment, &to).ok();
                    std::fs::read(&to).expect("it was fetched")
                }
            };
            assert_eq!(&digest::sha256_hex(&bytes), sha256, "{segment} in the store is not what was archived");
        }
        let (org, host) = self.site.namespace.split_once('/').expect("org and host");
        let sizes = self.proxy.door().sizes(org, &format!("{host}/"));
        assert!(sizes.len() >= archived.digests.len() && !sizes.contains(&0), "an object is empty: {sizes:?}");
        self.world.server.operator(&["fsck", "--read-data"]).ok();
    }

    /// The database as it is, for comparison with what comes back.
    pub(crate) fn contents(&self) -> String {
        self.cluster.sql(
            "select (select count(*) || md5(string_agg(n || what, ',' order by n)) from committed), \
             (select md5(string_agg(a::text, ',' order by aid)) from pgbench_accounts a), \
             (select count(*) || '/' || sum(delta) from pgbench_history)",
        )
    }
}

impl Committed {
    /// Commits one row after the other, and remembers which ones PostgreSQL has acknowledged.
    pub(crate) fn go_on(this: &Mutex<Self>, client: &Client, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let n = {
                let mut this = this.lock().expect("no holder panics");
                this.tried += 1;
                this.tried
            };
            let insert = format!("insert into committed values ({n}, md5('{n}')) returning n");
            if client.try_sql(&insert).stdout.trim() == n.to_string() {
                this.lock().expect("no holder panics").acknowledged.insert(n);
            } else {
                wait_for(client, stop);
            }
        }
    }

    /// Checks that every acknowledged row is there, and none that nobody wrote.
    pub(crate) fn check(&self, cluster: &Cluster) {
        let rows: BTreeSet<u64> =
            cluster.sql("select n from committed").lines().map(|n| n.parse().expect("a number")).collect();
        let lost: Vec<&u64> = self.acknowledged.difference(&rows).collect();
        assert!(lost.is_empty(), "committed and lost: {lost:?}");
        assert!(rows.iter().all(|n| (1..=self.tried).contains(n)), "rows that nobody wrote");
    }

    /// How many PostgreSQL has acknowledged.
    pub(crate) fn count(&self) -> usize {
        self.acknowledged.len()
    }
}

/// pgbench, again and again, since it ends with the database.
pub(crate) fn load(client: &Client, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut pgbench = client.program("pgbench");
        // Not as fast as it can: archiving must be able to keep up where a start of the archiver takes a second.
        pgbench.args(["-n", "-c", "2", "-R", "15", "-T", "86400", "postgres"]);
        let mut running = Running::start("pgbench", pgbench);
        let over = || (stop.load(Ordering::Relaxed) || running.try_wait().is_some()).then_some(());
        wait::until("the end of pgbench", secs(86_400), over);
        wait_for(client, stop);
    }
}

fn wait_for(client: &Client, stop: &AtomicBool) {
    wait::until("the database", PATIENCE * 2, || {
        (stop.load(Ordering::Relaxed) || client.try_sql("select 1").status.success()).then_some(())
    });
}

/// `archive_command` in a script that writes down what it has archived, and that it failed.
fn journalled(site: &Site, archive_command: &str) -> String {
    let script = site.home.join("archive.sh");
    let home = site.home.display();
    let command = archive_command.replace("%p", "\"$1\"");
    let text = format!(
        "sum=$(sha256sum < \"$1\") || exit 1\n\
         {command} || {{ code=$?; echo \"$2 $code\" >> {home}/refused; exit $code; }}\n\
         echo \"$2 ${{sum%% *}}\" >> {home}/archived\n"
    );
    files::write(&script, text.as_bytes());
    if let Some(account) = database_account() {
        give_tree(&script, account);
    }
    format!("sh {} %p %f", script.display())
}

impl Disk {
    /// Leaves `bytes_left` bytes on it.
    pub(crate) fn fill(&self, bytes_left: u64) {
        // It becomes smaller, which takes no memory; again when somebody wrote meanwhile.
        wait::until("the disk to be full", secs(10), || {
            let stat = rustix::fs::statvfs(&self.at).expect("it is mounted");
            let used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize;
            self.mounted.try_resize(used + bytes_left + 4096).then_some(())
        });
    }

    /// Gives back what [`Disk::fill`] took.
    pub(crate) fn free(&self) {
        self.mounted.remount(&format!("size={DISK_SIZE}"));
    }
}
