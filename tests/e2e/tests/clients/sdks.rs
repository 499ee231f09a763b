//! The SDKs: a program of ours in each one's language (`tests/clients/{go,js,java,rust}`) that does the same cycle with the
//! SDK's own defaults, and says what it did.

use std::process::Command;

use kheeper_e2e::matrix::{Row, Wire};
use kheeper_e2e::toolbox::Client;
use kheeper_e2e::wait::secs;
use kheeper_e2e::world::ORG;
use kheeper_e2e::{Done, Scene, command};

use crate::refusals::{ABSENT, Requests, assert_named};

/// What each program does as a host, in this order. One that does less is not done.
const CYCLE: [&str; 14] = [
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
    "what is never done is 501",
    "what is left",
];

/// And as the org's owner, on what the host left.
const READ: [&str; 2] = ["owner reads", "owner is refused to write"];

/// A test per program and wire.
macro_rules! cycles {
    ($($name:ident: $installed:literal $program:literal $unsupported:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn does_its_whole_cycle() {
                cycle($installed, $program, Wire::Plain, $unsupported);
            }

            /// Over TLS the SDKs send their checksums behind the body.
            #[test]
            fn does_its_whole_cycle_over_tls() {
                cycle($installed, $program, Wire::Tls, $unsupported);
            }
        })*
    };
}

// Beside each, what becomes of a 501: object_store tries again whatever is 500 or more, ten times.
cycles! {
    aws_sdk_go_v2: "sdk-go" "aws-sdk-go-v2" Requests::Once(1);
    minio_go: "sdk-go" "minio-go" Requests::Once(1);
    aws_sdk_js: "sdk-js" "aws-sdk-js" Requests::Once(1);
    aws_sdk_java: "sdk-java" "aws-sdk-java" Requests::Once(1);
    aws_sdk_rust: "sdk-rust" "aws-sdk-rust" Requests::Once(1);
    object_store: "sdk-rust" "object-store" Requests::UpTo(11);
}

fn cycle(installed: &str, program: &str, wire: Wire, unsupported: Requests) {
    let Some(client) = Client::installed(installed, program, &["version"]) else { return };
    let mut scene = Scene::start(wire);
    let mut row = Row::begin(program, &client.version, wire);
    let (prefix, foreign) = (format!("web-01/{program}"), format!("web-02/{program}"));

    let cycle = || run(scene.host_client(&client.program, "sdk"), &["cycle", ORG, &prefix, &foreign]);
    let (host, count) = scene.proxy.counting("5xx", cycle);
    assert_eq!(steps(&host), CYCLE, "{host}");
    unsupported.check(501, count, &host);
    row.follow(host);
    row.did(&format!("a 501 ends it ({count}x sent)"));
    let read = |scene: &Scene| run(scene.owner_client(&client.program, "sdk"), &["read", ORG, &prefix]);
    let (owner, count) = scene.owner_proxy.counting("4xx", || read(&scene));
    assert_eq!(steps(&owner), READ, "{owner}");
    Requests::Once(1).check(403, count, &owner);
    row.follow(owner);
    row.did("a 403 ends it (1x sent)");
    scene.world.server.kill9();
    let (absent, count) = scene.owner_proxy.counting("5xx", || read(&scene));
    assert_named(&absent, ABSENT);
    // minio-go begins by asking for the bucket's region, and that once only.
    let again = if program == "minio-go" { 1 } else { 2 };
    assert!(count >= again, "a 503 was sent {count} times: {absent}");
    row.did(&format!("a 503 is named ({count}x sent)"));
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
