//! barman-cloud with a real PostgreSQL: the distribution's and the newest. More of what can go wrong is in `postgres.rs`.

use std::process::Command;

use kheeper_e2e::archiver::Barman;
use kheeper_e2e::matrix::Wire;
use kheeper_e2e::toolbox::{self, Client};
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Scene, command};

use crate::postgres_cycle::cycle;
use crate::s;

#[test]
fn barman_cloud_of_the_distribution_does_its_whole_cycle() {
    if let Some(client) = Client::distribution("barman-cloud-backup", &["--version"]) {
        let client = client.named("barman-cloud");
        cycle(&client, Wire::Plain, |_| Barman::DISTRIBUTION);
        cycle(&client, Wire::Tls, |_| Barman::DISTRIBUTION);
    }
}

#[test]
fn the_newest_barman_cloud_does_its_whole_cycle() {
    if let Some(client) = Client::installed("barman", "barman-cloud-backup", &["--version"]) {
        let client = client.named("barman-cloud");
        cycle(&client, Wire::Plain, readable_by_postgres);
        cycle(&client, Wire::Tls, readable_by_postgres);
    }
}

/// A copy of it: a checkout may lie where the account that PostgreSQL runs as may not go.
fn readable_by_postgres(scene: &Scene) -> Barman {
    let copy = scene.path("barman");
    let mut cp = Command::new("cp");
    cp.arg("-r").arg(toolbox::installed("barman").expect("it said its version")).arg(&copy);
    cp.arg("--dereference");
    command::run(cp, secs(180)).ok();
    let libraries = std::fs::read_dir(copy.join("lib")).expect("a Python environment has one");
    let library = libraries.map(|entry| entry.expect("readable").path()).next().expect("of one Python");
    let packages = library.join("site-packages");
    let programs = format!("env PYTHONPATH={} /usr/bin/python3 {}/bin/barman-cloud-", s(&packages), s(&copy));
    Barman { programs: programs.leak() }
}
