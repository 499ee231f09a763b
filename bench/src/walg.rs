//! `wal-g backup-push` of one database, through the proxy and into a local folder: the same wal-g, taking turns.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kheeper_e2e::archiver::Site;
use kheeper_e2e::postgres::{Cluster, make_directory};
use kheeper_e2e::{World, binaries, command, wait::secs};

use crate::case::MIB;
use crate::process_stat::{children_cpu_secs, cpu_secs, machine_cpu_secs};
use crate::syncs::{self, Calls};

/// One backup.
#[derive(Debug)]
pub(crate) struct Push {
    /// From wal-g's start to its end.
    pub(crate) wall: Duration,
    /// Processor seconds of each program.
    pub(crate) cpu: Vec<(&'static str, f64)>,
    /// And of everything else on the machine: PostgreSQL, the kernel's own threads, strangers.
    pub(crate) other_cpu: f64,
}

/// Both ways in the same round.
#[derive(Debug)]
pub(crate) struct Round {
    /// Through the proxy.
    pub(crate) proxy: Push,
    /// `WALG_FILE_PREFIX`.
    pub(crate) folder: Push,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// Bytes of the database's directory.
    pub(crate) database_bytes: u64,
    /// Bytes of one backup in the folder.
    pub(crate) backup_bytes: u64,
    /// Each round.
    pub(crate) rounds: Vec<Round>,
    /// Syncs of proxy and server during one more push, watched by strace.
    pub(crate) syncs: Option<Calls>,
}

/// Fills a database of `database_mib` and measures.
pub(crate) fn measure(database_mib: u64, rounds: usize) -> anyhow::Result<Pushed> {
    ensure!(binaries::walg().is_some(), "wal-g is neither $WALG nor on PATH");
    let dir = World::directory();
    let mut cluster = Cluster::create(&dir.path().join("pg"));
    cluster.set("max_wal_size", "256MB");
    cluster.start();
    eprintln!("filling {} MiB", database_mib);
    fill(&cluster, database_mib * MIB);
    let database_bytes = directory_bytes(&cluster.data)?;
    let mut done = Pushed { database_bytes, backup_bytes: 0, rounds: Vec::new(), syncs: None };
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        let (proxy, folder);
        if round % 2 == 0 {
            proxy = to_proxy(&cluster)?;
            folder = to_folder(&cluster, &dir.path().join("folder"), &mut done.backup_bytes)?;
        } else {
            folder = to_folder(&cluster, &dir.path().join("folder"), &mut done.backup_bytes)?;
            proxy = to_proxy(&cluster)?;
        }
        done.rounds.push(Round { proxy, folder });
    }
    done.syncs = count_syncs(&cluster)?;
    cluster.stop();
    Ok(done)
}

/// Digits that wal-g's lz4 cannot shorten: what is sent is as much as what is read.
fn fill(cluster: &Cluster, bytes: u64) {
    // Bytes that are stored as they are, are read where a piece of them is wanted, and not whole for every row.
    for table in ["filled", "pool"] {
        cluster.sql(&format!("create table {table} (what bytea); alter table {table} alter what set storage external"));
    }
    cluster.sql("insert into pool select string_agg(md5(random()::text)::bytea, '') from generate_series(1, 100000)");
    while cluster.sql("select pg_database_size('postgres')").parse().is_ok_and(|size: u64| size < bytes) {
        cluster.sql(
            "insert into filled select substr(what, 1 + (random() * 3000000)::int, 7900) from pool, generate_series(1, 10000)",
        );
    }
    cluster.sql("checkpoint");
}

/// A store of its own, a host on it, and the host's proxy.
struct Store {
    world: World,
    proxy: kheeper_e2e::Proxy,
    site: Site,
}

impl Store {
    fn start() -> Self {
        let world = World::start();
        let host = world.host("web-01");
        let proxy = world.host_proxy(&host);
        let home = world.path("home");
        make_directory(&home);
        let (endpoint, namespace) = (proxy.endpoint(), host.namespace());
        let site = Site { cli: host.cli.clone(), endpoint, namespace, is_owner: false, home, settings: Vec::new() };
        Self { world, proxy, site }
    }

    fn processes(&mut self) -> [(&'static str, u32); 2] {
        [("proxy", self.proxy.running().pid()), ("server", self.world.server.running().pid())]
    }

    fn push(&self, cluster: &Cluster) {
        push(&self.site, cluster, "set -a; eval \"$(kheeper hosts me --env)\";", &[]);
    }
}

fn to_proxy(cluster: &Cluster) -> anyhow::Result<Push> {
    let mut store = Store::start();
    let processes = store.processes();
    timed(&processes, || store.push(cluster))
}

fn to_folder(cluster: &Cluster, folder: &Path, bytes: &mut u64) -> anyhow::Result<Push> {
    make_directory(folder);
    let store = Store::start();
    let prefix = folder.display().to_string();
    let done = timed(&[], || push(&store.site, cluster, "", &[("WALG_FILE_PREFIX", &prefix)]))?;
    *bytes = directory_bytes(folder)?;
    std::fs::remove_dir_all(folder).context("failed to remove the folder")?;
    Ok(done)
}

fn push(site: &Site, cluster: &Cluster, before: &str, more: &[(&str, &str)]) {
    let socket = cluster.socket_dir().display().to_string();
    let mut env = vec![("PGHOST", socket.as_str()), ("PGUSER", "postgres")];
    env.extend(more);
    site.run(&format!("{before} exec wal-g backup-push {}", cluster.data.display()), &env).ok();
}

fn timed(processes: &[(&'static str, u32)], run: impl FnOnce()) -> anyhow::Result<Push> {
    rustix::fs::sync();
    let before: Vec<f64> = processes.iter().map(|(_, pid)| cpu_secs(*pid)).collect::<Result<_, _>>()?;
    let (walg, machine) = (children_cpu_secs()?, machine_cpu_secs()?);
    let begun = Instant::now();
    run();
    let wall = begun.elapsed();
    let machine = machine_cpu_secs()? - machine;
    let mut cpu = vec![("wal-g", children_cpu_secs()? - walg)];
    for ((name, pid), before) in processes.iter().zip(before) {
        cpu.push((*name, cpu_secs(*pid)? - before));
    }
    let used: f64 = cpu.iter().map(|(_, secs)| secs).sum();
    Ok(Push { wall, cpu, other_cpu: (machine - used).max(0.0) })
}

/// A pass of its own, since strace slows what it watches.
fn count_syncs(cluster: &Cluster) -> anyhow::Result<Option<Calls>> {
    let mut store = Store::start();
    let pids = store.processes().map(|(_, pid)| pid);
    syncs::during(&pids, || {
        store.push(cluster);
        Ok(())
    })
}

fn directory_bytes(dir: &Path) -> anyhow::Result<u64> {
    let mut du = Command::new("du");
    du.args(["-sb", "--"]).arg(dir);
    let said = command::run(du, secs(60));
    // Files of a running PostgreSQL come and go while du looks: its exit code then says so.
    said.stdout.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).context("du prints a number")
}
