//! A real PostgreSQL, archived by real archivers through the proxy, pruned, lost, and restored.
//!
//! Every case runs with barman-cloud, and with wal-g where there is one; without it each prints a line that begins with
//! `WALG-NOT-RUN`, which `./test` counts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use kheeper_e2e::archiver::{Archiver, Barman, Site, WalG};
use kheeper_e2e::postgres::{Cluster, PATIENCE, give_tree, make_directory};
use kheeper_e2e::unix::database_account;
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Proxy, World, command, files};
use rustix::process::Signal;

/// How long one run of an archiver may take while the server says nothing: tries that the proxy ends after fifty seconds, and
/// pauses between them.
const FROZEN_PATIENCE: Duration = secs(150);

/// The same cases for both archivers.
macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        mod barman {
            $(#[test]
            fn $case() {
                super::$case(&super::Barman::DISTRIBUTION);
            })*
        }
        mod walg {
            $(#[test]
            fn $case() {
                if kheeper_e2e::binaries::walg_is_here(stringify!($case)) {
                    super::$case(&super::WalG);
                }
            })*
        }
    };
}

cases! {
    archived_pruned_lost_and_restored_twice_on_the_same_host,
    the_owner_restores_onto_another_host_and_that_host_is_refused_the_first_ones_data,
    a_dead_server_fails_the_archiver_and_every_segment_is_kept_until_it_is_back,
    a_frozen_server_fails_the_archiver_which_never_hangs_and_goes_on_when_it_thaws,
    a_server_killed_in_the_middle_of_recovery_stops_postgresql_which_finishes_later,
    a_key_revoked_in_the_middle_of_recovery_stops_postgresql_and_a_rejoined_host_finishes,
    a_granted_host_restores_through_its_own_proxy_and_is_refused_when_the_grant_is_gone,
    a_grant_that_ends_in_the_middle_of_recovery_stops_postgresql_and_another_grant_finishes_it,
    a_missing_segment_is_absent_and_every_other_failure_is_fatal,
}

/// A host with a running cluster that archives through its proxy.
struct Scene {
    archiver: &'static dyn Archiver,
    cluster: Cluster,
    site: Site,
    proxy: Proxy,
    host: Host,
    world: World,
}

impl Scene {
    fn start(archiver: &'static dyn Archiver) -> Self {
        Self::start_with(archiver, &[])
    }

    /// The same, with settings of the archivers' own.
    fn start_with(archiver: &'static dyn Archiver, settings: &[(&str, &str)]) -> Self {
        let world = World::start();
        let host = world.host("web-01");
        let proxy = world.host_proxy(&host);
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let site = Site { settings, ..Site::of_host(&world, &host, &proxy, "home-web-01") };
        let mut cluster = Cluster::create(&site.home);
        site.archive(&mut cluster, archiver);
        cluster.start();
        Self { archiver, cluster, site, proxy, host, world }
    }

    /// Restores the newest base backup over the lost cluster, ready to recover.
    fn restore(&mut self) {
        self.archiver.restore_latest(&self.site, &self.cluster.data);
        self.cluster.begin_recovery();
    }

    /// A backup, then segments with rows in each; then the loss, and a restore that stops at a gate in the middle.
    fn recover_up_to_a_gate(&mut self) -> (Gate, String) {
        let (segments, rows) = self.back_up_and_lose();
        (self.restore_up_to_a_gate(&segments), rows)
    }

    /// A backup, then segments with rows in each; then the loss of it all. Returns the segments and the rows.
    fn back_up_and_lose(&mut self) -> (Vec<String>, String) {
        self.cluster.insert(100);
        self.archiver.base_backup(&self.site, &self.cluster);
        let segments: Vec<String> = (0..5)
            .map(|_| {
                self.cluster.insert(1000);
                self.cluster.switch_segment()
            })
            .collect();
        for segment in &segments {
            self.cluster.wait_until_archived(segment);
        }
        let rows = self.cluster.rows();
        self.cluster.destroy();
        (segments, rows)
    }

    /// Another host takes over, and reads what is the first one's: it has to say so.
    fn move_to(&mut self, host: &Host, proxy: &Proxy) {
        self.site = Site::of_reader(&self.world, &host.cli, proxy, &self.host, &format!("home-{}", host.name));
        self.cluster = Cluster::at(&self.site.home);
        self.site.replay(&mut self.cluster, self.archiver);
    }

    /// A grant for web-02 to read web-01, and its id.
    fn grant(&self, duration: &str) -> String {
        let create = ["grants", "create", "myorg/web-01", "--to", "web-02", "--read", "--for", duration];
        self.world.alice.json(&create)["id"].as_str().expect("a grant has an id").to_owned()
    }

    fn restore_up_to_a_gate(&mut self, segments: &[String]) -> Gate {
        self.restore();
        let gate = Gate::before(&self.site.home, &segments[2]);
        self.cluster.set("restore_command", &gate.guard(&self.archiver.restore_command(&self.site)));
        self.cluster.launch();
        gate.wait_until_reached();
        gate
    }

    /// Checks that PostgreSQL gave up instead of taking the failure for the end of its WAL.
    fn assert_stopped_without_promotion(&mut self) {
        let postgres = self.cluster.running();
        let status = wait::until("PostgreSQL to stop", PATIENCE, || {
            let ended = postgres.try_wait();
            assert!(!postgres.log().contains("selected new timeline"), "it promotes itself: {}", postgres.log());
            ended
        });
        assert!(!status.success(), "PostgreSQL ended well: {}", postgres.log());
        assert_eq!(self.cluster.control_data("Database cluster state"), "in archive recovery");
        assert_eq!(self.cluster.control_data("Latest checkpoint's TimeLineID"), "1");
        assert!(!self.cluster.data.join("pg_wal/00000002.history").exists());
    }

    fn assert_recovered(&mut self, rows: &str, timeline: &str) {
        assert_eq!(self.cluster.rows(), rows);
        self.cluster.sql("checkpoint");
        assert_eq!(self.cluster.timeline(), timeline);
    }
}

/// Holds recovery before one segment until the test lets it go on.
struct Gate {
    dir: PathBuf,
}

impl Gate {
    fn before(home: &Path, segment: &str) -> Self {
        let dir = home.join("gate");
        make_directory(&dir);
        let mut mkfifo = Command::new("mkfifo");
        mkfifo.arg(dir.join("go"));
        command::run(mkfifo, secs(5)).ok();
        let script = format!(
            "if [ \"$1\" = {segment} ] && [ ! -e {0}/reached ]; then : > {0}/reached; read -r _ < {0}/go; fi\n",
            dir.display()
        );
        fs::write(dir.join("gate.sh"), script).expect("the directory is ours");
        if let Some(account) = database_account() {
            give_tree(&dir, account);
        }
        Self { dir }
    }

    fn guard(&self, restore_command: &str) -> String {
        format!("sh {}/gate.sh %f; {restore_command}", self.dir.display())
    }

    fn wait_until_reached(&self) {
        let reached = self.dir.join("reached");
        wait::until("recovery to reach the gate", PATIENCE, || reached.exists().then_some(()));
    }

    fn open(&self) {
        fs::write(self.dir.join("go"), "go\n").expect("recovery reads the other end");
    }
}

fn archived_pruned_lost_and_restored_twice_on_the_same_host(archiver: &'static dyn Archiver) {
    let mut scene = Scene::start(archiver);
    for _ in 0..3 {
        scene.cluster.insert(500);
        scene.archiver.base_backup(&scene.site, &scene.cluster);
    }
    let before = scene.archiver.backups(&scene.site);
    assert_eq!(before.len(), 3);
    scene.archiver.retain(&scene.site, 2);
    assert_eq!(scene.archiver.backups(&scene.site), before[1..], "the oldest goes, the newest stay");

    scene.cluster.insert(500);
    scene.cluster.archive_everything();
    let rows = scene.cluster.rows();
    scene.cluster.destroy();

    scene.restore();
    scene.cluster.start();
    scene.assert_recovered(&rows, "2");

    // The new timeline is archived beside the old one, and a second loss goes along it to a third.
    scene.cluster.insert(500);
    scene.cluster.archive_everything();
    scene.cluster.wait_until_archived("00000002.history");
    let rows = scene.cluster.rows();
    scene.cluster.destroy();
    scene.restore();
    scene.cluster.start();
    scene.assert_recovered(&rows, "3");
    scene.cluster.stop();
}

fn the_owner_restores_onto_another_host_and_that_host_is_refused_the_first_ones_data(archiver: &'static dyn Archiver) {
    let mut scene = Scene::start(archiver);
    scene.cluster.insert(800);
    scene.archiver.base_backup(&scene.site, &scene.cluster);
    scene.cluster.insert(800);
    let segment = scene.cluster.archive_everything();
    let rows = scene.cluster.rows();
    scene.cluster.destroy();

    let owner = scene.world.workstation();
    let owner_proxy = Proxy::start(&owner, &[]);
    let workstation = Site::of_reader(&scene.world, &owner, &owner_proxy, &scene.host, "home-workstation");
    let mut replayed = Cluster::at(&workstation.home);
    archiver.restore_latest(&workstation, &replayed.data);
    replayed.begin_recovery();
    workstation.replay(&mut replayed, archiver);
    replayed.start();
    assert_eq!(replayed.rows(), rows);
    replayed.stop();
    let stray = workstation.home.join(&segment);
    files::write(&stray, &[0; 8192]);
    archiver.push(&workstation, &stray).failed();

    // On to web-02, whose own archive begins with a base backup.
    let web_02 = scene.world.host("web-02");
    let proxy_02 = scene.world.host_proxy(&web_02);
    let site_02 = Site::of_host(&scene.world, &web_02, &proxy_02, "home-web-02");
    let mut moved = Cluster::at(&site_02.home);
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(&replayed.data).arg(&moved.data);
    command::run(copy, PATIENCE).ok();
    site_02.archive(&mut moved, archiver);
    moved.start();
    assert_eq!(moved.rows(), rows);
    archiver.base_backup(&site_02, &moved);
    assert_eq!(archiver.backups(&site_02).len(), 1);

    // And web-02 may not read what is web-01's: refused, which is not the same as absent.
    let key = format!("/{}/anything", scene.host.namespace());
    proxy_02.door().get(&key).expect_error(403, "AccessDenied");
    proxy_02.door().get("/myorg?list-type=2&prefix=web-01/").expect_error(403, "AccessDenied");
    let refused = proxy_02.door().head(&key);
    assert_eq!(refused.status, 403);
    moved.stop();
}

/// Ends three segments with rows in them.
fn three_segments(cluster: &Cluster) -> Vec<String> {
    let one = |_| {
        cluster.insert(300);
        cluster.switch_segment()
    };
    (0..3).map(one).collect()
}

#[track_caller]
fn assert_kept(cluster: &Cluster, segments: &[String]) {
    for segment in segments {
        assert!(!cluster.is_archived(segment), "{segment} is not archived");
        assert!(cluster.data.join("pg_wal").join(segment).exists(), "{segment} is kept");
    }
}

fn a_dead_server_fails_the_archiver_and_every_segment_is_kept_until_it_is_back(archiver: &'static dyn Archiver) {
    let mut scene = Scene::start(archiver);
    scene.cluster.insert(300);
    scene.archiver.base_backup(&scene.site, &scene.cluster);
    let archived = scene.cluster.archive_everything();

    scene.world.server.kill9();
    let failed_before = failed_count(&scene.cluster);
    let kept = three_segments(&scene.cluster);
    wait::until("PostgreSQL to count a failed archiving", PATIENCE, || {
        (failed_count(&scene.cluster) > failed_before).then_some(())
    });
    assert_kept(&scene.cluster, &kept);
    let pushed = scene.archiver.push(&scene.site, &scene.cluster.data.join("pg_wal").join(&kept[0])).failed();
    let named = pushed.text().contains("503") || pushed.text().contains("ServiceUnavailable");
    assert!(named, "the archiver names the reason: {pushed}");

    scene.world.server.restart();
    for segment in &kept {
        scene.cluster.wait_until_archived(segment);
    }
    // PostgreSQL may archive a segment twice: the same bytes again are a success.
    let again = scene.cluster.data.join("pg_wal").join(kept.last().expect("three of them"));
    let copy = scene.site.home.join(again.file_name().expect("a segment has a name"));
    fs::copy(&again, &copy).expect("PostgreSQL keeps its newest segments");
    give_tree_to_database(&copy);
    scene.archiver.push(&scene.site, &copy).ok();
    let rows = scene.cluster.rows();
    scene.cluster.destroy();
    scene.restore();
    scene.cluster.start();
    scene.assert_recovered(&rows, "2");
    drop(archived);
}

/// It takes connections, since the kernel does, and says nothing: worse than a server that is not there.
fn a_frozen_server_fails_the_archiver_which_never_hangs_and_goes_on_when_it_thaws(archiver: &'static dyn Archiver) {
    // Two tries each, as there is nothing to see in more of them; by themselves it is three of wal-g and five of barman.
    let mut scene = Scene::start_with(archiver, &[("WALG_S3_MAX_RETRIES", "1"), ("AWS_MAX_ATTEMPTS", "2")]);
    scene.cluster.insert(300);
    scene.archiver.base_backup(&scene.site, &scene.cluster);
    scene.cluster.archive_everything();

    scene.world.server.running().signal(Signal::STOP);
    let failed_before = failed_count(&scene.cluster);
    let kept = three_segments(&scene.cluster);
    let (cluster, site) = (&scene.cluster, &scene.site);
    let began = Instant::now();
    let pushed = thread::scope(|scope| {
        let by_hand = scope.spawn(|| archiver.push(site, &cluster.data.join("pg_wal").join(&kept[0])).failed());
        wait::until("PostgreSQL to count a failed archiving", FROZEN_PATIENCE, || {
            (failed_count(cluster) > failed_before).then_some(())
        });
        println!("{}: PostgreSQL counted a failure after {:?}", archiver.name(), began.elapsed());
        by_hand.join().expect("the push ends, and not well")
    });
    println!("{}: a push by hand had ended after {:?}", archiver.name(), began.elapsed());
    let named = pushed.text().contains("503") || pushed.text().contains("ServiceUnavailable");
    assert!(named, "the archiver names the reason: {pushed}");
    let oldest = cluster.waiting_segments().into_iter().min();
    assert_eq!(Some(cluster.sql("select last_failed_wal from pg_stat_archiver")), oldest);
    assert_kept(cluster, &kept);

    scene.world.server.running().signal(Signal::CONT);
    for segment in &kept {
        scene.cluster.wait_until_archived(segment);
    }
    let archived = scene.cluster.sql("select last_archived_wal from pg_stat_archiver");
    assert!(archived >= kept[2], "{archived} is the last one archived, and {} was before it", kept[2]);
    let rows = scene.cluster.rows();
    scene.cluster.destroy();
    scene.restore();
    scene.cluster.start();
    scene.assert_recovered(&rows, "2");
    scene.cluster.stop();
    scene.world.server.operator(&["fsck", "--read-data"]).ok();
}

fn a_server_killed_in_the_middle_of_recovery_stops_postgresql_which_finishes_later(archiver: &'static dyn Archiver) {
    let mut scene = Scene::start(archiver);
    let (gate, rows) = scene.recover_up_to_a_gate();
    scene.world.server.kill9();
    gate.open();
    scene.assert_stopped_without_promotion();

    scene.world.server.restart();
    scene.cluster.start();
    scene.assert_recovered(&rows, "2");
}

fn a_key_revoked_in_the_middle_of_recovery_stops_postgresql_and_a_rejoined_host_finishes(
    archiver: &'static dyn Archiver,
) {
    let mut scene = Scene::start(archiver);
    let (gate, rows) = scene.recover_up_to_a_gate();
    let name = scene.host.namespace();
    scene.world.alice.ok(&["hosts", "revoke", &name]);
    wait::until("the revocation to count", secs(6), || {
        (scene.proxy.door().get("/myorg?list-type=2&prefix=web-01/").status == 403).then_some(())
    });
    gate.open();
    scene.assert_stopped_without_promotion();

    let invitation = scene.world.alice.json(&["hosts", "rejoin", &name]);
    let token = invitation["join_token"].as_str().expect("a rejoin gives a token");
    scene.host.cli.ok(&["hosts", "join", token, "--replace"]);
    scene.proxy.restart();
    scene.cluster.start();
    scene.assert_recovered(&rows, "2");

    // Until somebody says so, a host that came back writes nothing over what it may still have to restore.
    wait::until("archiving to be refused", PATIENCE, || (failed_count(&scene.cluster) > 0).then_some(()));
    assert!(!scene.cluster.is_archived("00000002.history"));
    scene.host.cli.ok(&["hosts", "resume"]);
    scene.cluster.wait_until_archived("00000002.history");
    scene.cluster.stop();
}

fn a_granted_host_restores_through_its_own_proxy_and_is_refused_when_the_grant_is_gone(
    archiver: &'static dyn Archiver,
) {
    let mut scene = Scene::start(archiver);
    let (segments, rows) = scene.back_up_and_lose();
    let web_02 = scene.world.host("web-02");
    let proxy_02 = scene.world.host_proxy(&web_02);
    scene.move_to(&web_02, &proxy_02);
    let stray = scene.site.home.join("stray");
    let before = archiver.fetch(&scene.site, &segments[0], &stray);
    assert_eq!(before.code(), 255, "without a grant nothing is read, and nothing is absent: {before}");

    let grant = scene.grant("1h");
    wait::until("the grant to count", secs(6), || {
        (proxy_02.door().get("/myorg?list-type=2&prefix=web-01/").status == 200).then_some(())
    });
    if archiver.name() == "wal-g" {
        // The plain program on the new machine, with that machine's own settings but for whose backups they are.
        let fetch =
            format!("WALG_S3_PREFIX=s3://myorg/web-01 wal-g backup-fetch {} LATEST", scene.cluster.data.display());
        scene.site.run(&format!("set -a; eval \"$(kheeper hosts me --env)\"; {fetch}"), &[]).ok();
        scene.cluster.begin_recovery();
    } else {
        scene.restore();
    }
    scene.cluster.start();
    scene.assert_recovered(&rows, "2");
    // It may read and nothing else.
    let segment = scene.site.home.join(&segments[0]);
    files::write(&segment, &[0; 8192]);
    archiver.push(&scene.site, &segment).failed();
    proxy_02.door().put("/myorg/web-01/stray", b"x").expect_error(403, "AccessDenied");

    scene.world.alice.ok(&["grants", "delete", &grant]);
    wait::until("the end of the grant", secs(6), || {
        (proxy_02.door().get("/myorg?list-type=2&prefix=web-01/").status == 403).then_some(())
    });
    let after = archiver.fetch(&scene.site, &segments[0], &stray);
    assert_eq!(after.code(), 255, "{after}");
    scene.cluster.stop();
}

fn a_grant_that_ends_in_the_middle_of_recovery_stops_postgresql_and_another_grant_finishes_it(
    archiver: &'static dyn Archiver,
) {
    let mut scene = Scene::start(archiver);
    let (segments, rows) = scene.back_up_and_lose();
    let web_02 = scene.world.host("web-02");
    let proxy_02 = scene.world.host_proxy(&web_02);
    scene.move_to(&web_02, &proxy_02);
    let long = scene.grant("1h");
    let gate = scene.restore_up_to_a_gate(&segments);
    // From here on it has seconds, which run out by themselves.
    scene.grant("3s");
    scene.world.alice.ok(&["grants", "delete", &long]);
    wait::until("the end of the grant", secs(10), || {
        (proxy_02.door().get("/myorg?list-type=2&prefix=web-01/").status == 403).then_some(())
    });
    gate.open();
    scene.assert_stopped_without_promotion();

    scene.grant("1h");
    wait::until("the new grant to count", secs(6), || {
        (proxy_02.door().get("/myorg?list-type=2&prefix=web-01/").status == 200).then_some(())
    });
    scene.cluster.start();
    scene.assert_recovered(&rows, "2");
    scene.cluster.stop();
}

fn a_missing_segment_is_absent_and_every_other_failure_is_fatal(archiver: &'static dyn Archiver) {
    let mut scene = Scene::start(archiver);
    scene.cluster.insert(10);
    let segment = scene.cluster.archive_everything();
    // A name of its own for each: wal-g fetches over nothing that is there.
    let fetch = |what: &str, name: &str| {
        let to = scene.site.home.join(what.replace(' ', "-"));
        (scene.archiver.fetch(&scene.site, name, &to), to)
    };
    let (fetched, to) = fetch("present", &segment);
    fetched.ok();
    if let Ok(original) = fs::read(scene.cluster.data.join("pg_wal").join(&segment)) {
        assert!(original == fs::read(&to).expect("it was fetched"), "the segment came back unchanged");
    }
    let missing = "0000000100000000000000FF";
    let (absent, _) = fetch("absent", missing);
    assert_eq!(absent.code(), scene.archiver.absent_code(), "{absent}");

    scene.world.server.kill9();
    for (what, name) in [("a dead server", segment.as_str()), ("a dead server knows no absence", missing)] {
        let (failed, _) = fetch(what, name);
        assert_eq!(failed.code(), 255, "{what}: {failed}");
    }
    scene.proxy.running().kill9();
    let (failed, _) = fetch("a dead proxy", missing);
    assert_eq!(failed.code(), 255, "{failed}");
}

fn failed_count(cluster: &Cluster) -> u64 {
    cluster.sql("select failed_count from pg_stat_archiver").parse().expect("a number")
}

fn give_tree_to_database(path: &Path) {
    if let Some(account) = database_account() {
        give_tree(path, account);
    }
}
