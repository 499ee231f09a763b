//! Versions below which a dependency has a known hole. The advisory database itself is a git repository on a host that no
//! package registry serves, so `./test` cannot have it; these are the advisories that concern what kheeper does with
//! the crate, each read once and kept here. Whoever reaches the database runs `cargo deny check advisories`.

use std::fs;

use kheeper_tidy::repository;
use toml::{Table, Value};

/// A crate, the first version without the hole, which one it is, and whether kheeper has to have the crate at all: a floor
/// for a crate that is gone would check nothing, and nobody would notice.
const FLOORS: [(&str, [u64; 3], &str, Expected); 6] = [
    (
        "jsonwebtoken",
        [10, 3, 0],
        "CVE-2026-25537: a claim of another type than expected skips its check",
        Expected::Yes,
    ),
    (
        "quick-xml",
        [0, 41, 0],
        "RUSTSEC-2026-0194 and -0195: attributes in quadratic time, namespaces without a bound",
        Expected::Yes,
    ),
    ("h2", [0, 4, 16], "RUSTSEC-2026-0258: streams that are reset without end", Expected::Perhaps),
    ("hyper", [0, 14, 10], "CVE-2021-21299 and CVE-2021-32715: two readings of where a body ends", Expected::Yes),
    ("axum-core", [0, 3, 0], "CVE-2022-3212: a body without a limit", Expected::Yes),
    ("sqlx", [0, 8, 1], "RUSTSEC-2024-0363: a length that is cut off", Expected::Perhaps),
];

/// Whether a crate is among the dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Yes,
    Perhaps,
}

/// Every lock file whose programs read bytes from outside.
const LOCKS: [&str; 2] = ["Cargo.lock", "fuzz/Cargo.lock"];

#[test]
fn no_dependency_is_older_than_the_version_that_closed_its_hole() {
    let mut wrong = Vec::new();
    for lock in LOCKS {
        for (name, floor, hole, expected) in FLOORS {
            let versions = versions(lock, name);
            if versions.is_empty() && expected == Expected::Yes && lock == "Cargo.lock" {
                wrong.push(format!("{lock}: {name} is no dependency any more: take its floor out"));
            }
            for version in versions.iter().filter(|version| numbers(version) < floor) {
                wrong.push(format!("{lock}: {name} {version} has {hole}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn connections_are_http_1_alone_where_bytes_come_from_outside() {
    // So that what is found in h2 concerns test tools only. ALPN offers nothing else either: kheeper-net/src/tls.
    for name in ["kheeper-server", "kheeper-proxy", "kheeper-net"] {
        let sources = sources(&repository().join("crates").join(name).join("src"));
        let found: Vec<&String> = sources.iter().filter(|text| text.contains("conn::http2")).collect();
        assert!(found.is_empty(), "{name} speaks HTTP/2");
        assert!(name == "kheeper-net" || sources.iter().any(|text| text.contains("conn::http1")), "{name} speaks HTTP");
    }
}

fn sources(directory: &std::path::Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(directory).expect("a crate has sources").flatten() {
        match entry.path() {
            path if path.is_dir() => texts.extend(sources(&path)),
            path => texts.push(fs::read_to_string(path).expect("sources are UTF-8")),
        }
    }
    texts
}

/// The versions of a crate in a lock file.
fn versions(lock: &str, name: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join(lock)).expect("the lock file is kept");
    let lock: Table = text.parse().expect("cargo wrote it");
    let packages = lock["package"].as_array().expect("a list of packages");
    let of_name = packages.iter().filter(|package| package.get("name").and_then(Value::as_str) == Some(name));
    of_name.filter_map(|package| package.get("version")?.as_str().map(str::to_owned)).collect()
}

/// The three numbers of a version.
fn numbers(version: &str) -> [u64; 3] {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = release.split('.').map(|number| number.parse().expect("cargo's versions have three numbers"));
    [(); 3].map(|()| numbers.next().expect("cargo's versions have three numbers"))
}

#[test]
fn versions_are_compared_as_numbers() {
    assert!(numbers("0.9.12") < [0, 41, 0] && numbers("10.3.0-rc.1") == [10, 3, 0]);
    assert!(numbers("0.4.9") < [0, 4, 16] && numbers("0.4.20+build") > [0, 4, 16]);
    assert_eq!(versions("Cargo.lock", "toml").len().min(1), 1, "a lock file that cannot be read has no versions");
}
