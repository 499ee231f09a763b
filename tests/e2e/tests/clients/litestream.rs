//! litestream, which replicates a SQLite database.

use std::path::Path;
use std::process::Command;

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Done, Scene, command, files};

use crate::refusals::{FORBIDDEN, assert_named};
use crate::s;

/// Writes more into a database than fits into one part, so that snapshots are sent in parts.
const FILL: &str = "import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('pragma journal_mode = wal')
db.execute('create table if not exists t (n integer primary key, b blob)')
db.executemany('insert into t (b) values (?)', [(os.urandom(60000),) for _ in range(int(sys.argv[2]))])
db.commit()";

const ROWS: &str = "import hashlib, sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute('select b from t order by n').fetchall()
print(len(rows), hashlib.sha256(b''.join(row[0] for row in rows)).hexdigest())";

#[test]
fn litestream_does_its_whole_cycle() {
    if let Some(client) = Client::installed("litestream", "litestream", &["version"]) {
        cycle(&client, Wire::Plain);
        cycle(&client, Wire::Tls);
    }
}

fn python(program: &str, args: &[&str]) -> String {
    let mut python = Command::new("python3");
    python.args(["-c", program]).args(args);
    command::run(python, secs(60)).ok().stdout
}

fn rows(database: &Path) -> String {
    python(ROWS, &[s(database)])
}

fn cycle(client: &Client, wire: Wire) {
    let scene = Scene::start(wire);
    let mut row = Row::begin(&client.name, &client.version, wire);
    let database = scene.path("app.db");
    let url = |endpoint: &str| format!("s3://myorg/web-01/litestream/app?endpoint={endpoint}&forcePathStyle=true");
    let (there, owners) = (url(&scene.host_endpoint()), url(&scene.owner_endpoint()));
    let host = |args: &[&str]| {
        let mut litestream = scene.host_client(&client.program, "litestream");
        litestream.args(args);
        command::run(litestream, secs(120))
    };

    python(FILL, &[s(&database), "120"]);
    host(&["replicate", "-once", s(&database), &there]).ok();
    row.did("replicate");
    python(FILL, &[s(&database), "3"]);
    host(&["replicate", "-once", s(&database), &there]).ok();
    assert!(host(&["ltx", &there]).ok().stdout.lines().count() > 2);
    row.did("replicate more and list");
    let restored = scene.path("restored.db");
    host(&["restore", "-o", s(&restored), &there]).ok();
    assert_eq!(rows(&restored), rows(&database));
    row.did("restore");
    let first = scene.path("first.db");
    host(&["restore", "-txid", "0000000000000001", "-o", s(&first), &there]).ok();
    assert!(rows(&first).starts_with("120 "));
    row.did("restore of an earlier state");

    prunes(&scene, &database, &there, &host);
    let again = scene.path("again.db");
    host(&["restore", "-o", s(&again), &there]).ok();
    assert_eq!(rows(&again), rows(&database));
    row.did("snapshot, prune and restore");
    let elsewhere = scene.path("elsewhere.db");
    let mut owner = scene.owner_client(&client.program, "litestream");
    owner.args(["restore", "-o", s(&elsewhere), &owners]);
    command::run(owner, secs(120)).ok();
    assert_eq!(rows(&elsewhere), rows(&database));
    row.did("owner restores");
    let mut owner = scene.owner_client(&client.program, "litestream");
    owner.args(["replicate", "-once", s(&elsewhere), &owners.replace("app?", "stray?")]);
    assert_named(&command::run(owner, secs(120)), FORBIDDEN);
    row.did("owner is refused to write");
    row.green();
}

/// A second snapshot (which litestream keeps at its level 9), and a retention that is over at once: the first is gone.
fn prunes(scene: &Scene, database: &Path, there: &str, host: &impl Fn(&[&str]) -> Done) {
    let config = scene.path("litestream.yml");
    let replica = format!("dbs:\n  - path: {}\n    replicas:\n      - url: {there}\n", database.display());
    files::write(&config, format!("snapshot:\n  retention: 1ms\n{replica}").as_bytes());
    let snapshot = ["replicate", "-once", "-config", s(&config), "-force-snapshot"];
    python(FILL, &[s(database), "1"]);
    host(&snapshot).ok();
    let keys = || scene.proxy.door().keys("myorg", "web-01/litestream/", 1000);
    let before = keys();
    python(FILL, &[s(database), "1"]);
    host(&[&snapshot[..], &["-enforce-retention"]].concat()).ok();
    let after = keys();
    let gone: Vec<&String> = before.iter().filter(|key| !after.contains(key)).collect();
    assert!(gone.iter().any(|key| key.contains("/0009/")), "of {before:?} there are still {after:?}");
}
