//! The SDKs: a program of ours in each one's language (`tests/clients/{go,js,java,rust}`) that does the same cycle with the
//! SDK's own defaults, and says what it did.

use std::process::Command;

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::secs;
use kheeper_e2e::world::ORG;
use kheeper_e2e::{Done, Scene, command};

/// What each program does as a host, in this order. One that does less is not done.
const CYCLE: [&str; 13] = [
    "small objects",
    "an object in parts",
    "a stream of unknown length",
    "listing by pages",
    "overwriting",
    "conditional writes",
    "partial reads",
    "metadata",
    "copies",
    "many deleted at once",
    "absent is 404",
    "another host is 403",
    "what is left",
];

/// And as the org's owner, on what the host left.
const READ: [&str; 2] = ["owner reads", "owner is refused to write"];

/// A test per program and wire.
macro_rules! cycles {
    ($($name:ident: $installed:literal $program:literal;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn does_its_whole_cycle() {
                cycle($installed, $program, Wire::Plain);
            }

            /// Over TLS the SDKs send their checksums behind the body.
            #[test]
            fn does_its_whole_cycle_over_tls() {
                cycle($installed, $program, Wire::Tls);
            }
        })*
    };
}

cycles! {
    aws_sdk_go_v2: "sdk-go" "aws-sdk-go-v2";
    minio_go: "sdk-go" "minio-go";
    aws_sdk_js: "sdk-js" "aws-sdk-js";
    aws_sdk_java: "sdk-java" "aws-sdk-java";
    aws_sdk_rust: "sdk-rust" "aws-sdk-rust";
    object_store: "sdk-rust" "object-store";
}

fn cycle(installed: &str, program: &str, wire: Wire) {
    let Some(client) = Client::installed(installed, program, &["version"]) else { return };
    let scene = Scene::start(wire);
    let mut row = Row::begin(program, &client.version, wire);
    let (prefix, foreign) = (format!("web-01/{program}"), format!("web-02/{program}"));

    let host = run(scene.host_client(&client.program, "sdk"), &["cycle", ORG, &prefix, &foreign]);
    assert_eq!(steps(&host), CYCLE, "{host}");
    row.follow(host);
    let owner = run(scene.owner_client(&client.program, "sdk"), &["read", ORG, &prefix]);
    assert_eq!(steps(&owner), READ, "{owner}");
    row.follow(owner);
    row.green();
}

fn run(mut program: Command, args: &[&str]) -> Done {
    // object_store asks to be told that a plain endpoint is meant.
    program.env("AWS_ALLOW_HTTP", "true").args(args);
    command::run(program, secs(120))
}

fn steps(program: &Done) -> Vec<&str> {
    program.stdout.lines().filter_map(|line| line.strip_prefix("did ")).collect()
}
