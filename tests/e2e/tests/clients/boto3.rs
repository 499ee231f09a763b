//! boto3, with the checksums it sends by itself: a program of ours, `tests/clients/python/boto3_cycle.py`.

use std::path::Path;
use std::process::Command;

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Scene, command};

#[test]
fn boto3_does_its_whole_cycle() {
    let version = "import boto3; print(boto3.__version__)";
    if let Some(client) = Client::installed("boto3", "python3", &["-c", version]) {
        cycle(&client, Wire::Plain);
        cycle(&client, Wire::Tls);
    }
}

fn cycle(client: &Client, wire: Wire) {
    let scene = Scene::start(wire);
    let mut row = Row::begin(&client.name, &client.version, wire);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/python/boto3_cycle.py");
    let run = |mut python: Command, role: &str| {
        python.arg(&program).arg(role);
        command::run(python, secs(180))
    };
    row.follow(run(scene.host_client(&client.program, "aws"), "host"));
    row.follow(run(scene.owner_client(&client.program, "aws"), "owner"));
    row.green();
}
