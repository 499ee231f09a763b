//! Which crate may use which. `ARCHITECTURE.md` draws the same arrows.

use std::collections::BTreeMap;
use std::fs;

use kheeper_tidy::repository;
use toml::{Table, Value};

/// A crate of `crates/`, and all of our own crates that it may use.
const ARROWS: [(&str, &[&str]); 8] = [
    ("kheeper-model", &[]),
    ("kheeper-s3", &["kheeper-model"]),
    ("kheeper-identity", &["kheeper-model"]),
    ("kheeper-net", &["kheeper-model"]),
    ("kheeper-store", &["kheeper-model"]),
    ("kheeper-proxy", &["kheeper-identity", "kheeper-model", "kheeper-net", "kheeper-s3"]),
    ("kheeper-server", &["kheeper-identity", "kheeper-model", "kheeper-net", "kheeper-s3", "kheeper-store"]),
    ("kheeper", &["kheeper-identity", "kheeper-model", "kheeper-proxy", "kheeper-s3"]),
];

/// Crates that speak to the network, which the layers without I/O must not pull in.
const NETWORK: [&str; 5] = ["axum", "hyper", "hyper-util", "hyper-rustls", "tokio-rustls"];

#[test]
fn every_crate_uses_only_what_its_arrows_allow() {
    let mut wrong = Vec::new();
    for (name, manifest) in manifests() {
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
            wrong.push(format!("{name}: no arrows are drawn for it; add it to this test and to ARCHITECTURE.md"));
            continue;
        };
        for used in dependencies(&manifest).filter(|used| used.starts_with("kheeper")) {
            if !allowed.contains(&used.as_str()) {
                wrong.push(format!("{name} uses {used}, and no arrow leads there"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn layers_without_a_network_do_not_import_one() {
    let manifests = manifests();
    for name in ["kheeper-model", "kheeper-s3", "kheeper-identity", "kheeper-store"] {
        let manifest = &manifests[name];
        let found: Vec<String> = dependencies(manifest).filter(|used| NETWORK.contains(&used.as_str())).collect();
        assert!(found.is_empty(), "{name} uses {found:?}");
    }
}

#[test]
fn every_crate_is_named_as_its_folder_and_shares_the_lints() {
    for (name, manifest) in manifests() {
        let package = manifest["package"].as_table().expect("a package");
        assert_eq!(package["name"].as_str(), Some(name.as_str()), "a folder and its crate have one name");
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
        assert_eq!(lints, Some(true), "{name} has no `[lints] workspace = true`");
    }
}

fn manifests() -> BTreeMap<String, Table> {
    let folder = repository().join("crates");
    let entries = fs::read_dir(&folder).expect("crates/ can be read");
    entries
        .map(|entry| {
            let path = entry.expect("an entry of crates/").path();
            let text = fs::read_to_string(path.join("Cargo.toml")).expect("every folder of crates/ is a crate");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, text.parse::<Table>().expect("a manifest is TOML"))
        })
        .collect()
}

/// Everything that a manifest depends on, in whatever section, tests and platforms included.
fn dependencies(manifest: &Table) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut tables = vec![manifest];
    while let Some(table) = tables.pop() {
        for (section, value) in table {
            let Some(inner) = value.as_table() else { continue };
            match section.as_str() {
                "dependencies" | "dev-dependencies" | "build-dependencies" => found.extend(inner.keys().cloned()),
                "target" => tables.extend(inner.values().filter_map(Value::as_table)),
                _ => {}
            }
        }
    }
    found.into_iter()
}
