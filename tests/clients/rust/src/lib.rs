//! What the two programs share: the bytes they store, and how they tell what they did.

use std::process::exit;

/// The size of a part: the smallest that S3 allows.
pub const PART_BYTES: usize = 5 << 20;
/// Three parts, the last a short one.
pub const BIG_BYTES: usize = 2 * PART_BYTES + 12345;
/// Sent in one request.
pub const SMALL_BYTES: usize = 70_000;

/// What a step that failed has to say.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// How a step ends.
pub type Outcome<T = ()> = Result<T, Failure>;

/// `cycle BUCKET PREFIX FOREIGN-PREFIX` or `read BUCKET PREFIX`.
#[derive(Debug)]
pub struct Arguments {
    /// The bucket.
    pub bucket: String,
    /// Below which everything is stored.
    pub prefix: String,
    /// A prefix of somebody else; absent when only reading.
    pub foreign: Option<String>,
}

/// Reads the command line. Unless there is a cycle to do it ends the program: `version` prints that of `package`.
pub fn arguments(package: &str) -> Arguments {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["version"] => {
            println!("{}", version(package));
            exit(0)
        }
        ["cycle", bucket, prefix, foreign] => {
            Arguments { bucket: bucket.into(), prefix: prefix.into(), foreign: Some(foreign.into()) }
        }
        ["read", bucket, prefix] => Arguments { bucket: bucket.into(), prefix: prefix.into(), foreign: None },
        _ => {
            eprintln!("usage: version | cycle BUCKET PREFIX FOREIGN-PREFIX | read BUCKET PREFIX");
            exit(2)
        }
    }
}

/// Says how one step ended; the first that failed ends the program.
pub fn step(name: &str, outcome: Outcome) {
    match outcome {
        Ok(()) => println!("did {name}"),
        Err(error) => {
            println!("FAILED {name}: {error:?}");
            exit(1)
        }
    }
}

/// What every program, in every language, stores as `seed`.
pub fn content(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + (i >> 8) * 7 + (i >> 16) * 13 + seed) as u8).collect()
}

/// Compares without printing megabytes.
pub fn same(what: &str, got: &[u8], expected: &[u8]) -> Outcome {
    let (came, stored) = (got.len(), expected.len());
    want(got == expected, || format!("{what}: {came} bytes came back, and not the {stored} that were stored"))
}

/// Fails with the message unless the condition holds.
pub fn want(condition: bool, message: impl FnOnce() -> String) -> Outcome {
    if condition { Ok(()) } else { Err(message().into()) }
}

/// Names and contents of what a cycle leaves.
pub fn left() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("big", content(50, BIG_BYTES)),
        ("streamed", content(60, PART_BYTES + SMALL_BYTES)),
        ("small", content(83, 100)),
        ("described", content(90, 500)),
        ("blåbær", content(2, SMALL_BYTES)),
        ("empty", Vec::new()),
    ]
}

/// The version of a package in our lock file.
fn version(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    lock.split_once(&entry).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("unknown")
}
