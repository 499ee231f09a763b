//! Scrub: of many damaged blobs each object is named, no other is, and no byte of them is ever sent.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use kheeper_e2e::{World, files};

const DAMAGED: usize = 50;

/// Every file of blobs, smallest first.
fn blobs(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![dir.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("the data directory is ours to read") {
            let entry = entry.expect("a readable directory");
            let metadata = entry.metadata().expect("it is there");
            if metadata.is_dir() { directories.push(entry.path()) } else { found.push((metadata.len(), entry.path())) }
        }
    }
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("ours to read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(file, bytes).expect("ours to write");
}

/// The value of a metric without labels.
fn metric(world: &World, name: &str) -> Option<f64> {
    let page = kheeper_e2e::http::Request::new("GET", "/-/metrics").send(world.server.address()).expect(200).text();
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn scrub_names_exactly_the_damaged_objects_and_none_of_them_is_sent() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    // Sizes all different, so that a blob is known by its size.
    let keys: Vec<String> = (0..DAMAGED + 10).map(|n| format!("rot/{n:02}")).collect();
    for (n, key) in keys.iter().enumerate() {
        door.put(&host.path(key), &files::random_bytes(n as u64, 9_000 + 3_000 * n)).expect(200);
    }
    door.delete(&host.path(&keys[7])).expect(204);
    let clean = world.server.operator_json(&["scrub"]);
    assert_eq!((&clean["damaged_count"], &clean["contents"]), (&0.into(), &keys.len().into()), "{clean}");
    assert_eq!(metric(&world, "kheeper_scrub_damaged_objects"), Some(0.0));

    let blobs = blobs(&world.server.data.join("blobs"));
    assert_eq!(blobs.len(), keys.len(), "one blob each");
    for pair in blobs[..DAMAGED].chunks(10) {
        pair[..5].iter().for_each(|blob| flip(blob));
        let file = OpenOptions::new().write(true).open(&pair[5]).expect("ours to cut");
        file.set_len(file.metadata().expect("it is there").len() - 4000).expect("ours to cut");
        let (a, b) = (fs::read(&pair[6]).expect("ours"), fs::read(&pair[7]).expect("ours"));
        fs::write(&pair[6], b).and_then(|()| fs::write(&pair[7], a)).expect("ours to swap");
        fs::remove_file(&pair[8]).expect("ours to remove");
        fs::write(&pair[9], b"").expect("ours to empty");
    }
    let size_before: u64 = blobs.iter().filter_map(|blob| Some(fs::metadata(blob).ok()?.len())).sum();

    for (n, key) in keys.iter().enumerate().filter(|(n, _)| *n != 7) {
        match door.request("GET", &host.path(key)).try_send(door.address) {
            Ok(answer) if n < DAMAGED => assert_eq!(answer.status, 500, "{key}: {answer}"),
            Ok(answer) => assert!(answer.expect(200).body == files::random_bytes(n as u64, 9_000 + 3_000 * n), "{key}"),
            Err(error) => assert!(n < DAMAGED, "{key}: {error}"),
        }
    }
    let done = world.server.operator(&["scrub", "--json"]);
    assert_eq!(done.code(), 4, "{done}");
    let report: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    let damaged = report["damaged"].as_array().expect("a list");
    let named: BTreeSet<&str> = damaged.iter().map(|found| found["key"].as_str().expect("a key")).collect();
    let expected: Vec<String> = keys[..DAMAGED].iter().map(|key| format!("web-01/{key}")).collect();
    assert_eq!(named, expected.iter().map(String::as_str).collect());
    assert_eq!(damaged.len(), DAMAGED);
    for found in damaged {
        assert_eq!(
            (&found["namespace"]["org"], &found["namespace"]["host"]),
            (&"myorg".into(), &"web-01".into()),
            "{found}"
        );
        assert_eq!(found["hidden_at"].is_null(), found["key"] != "web-01/rot/07", "{found}");
    }
    assert_eq!(metric(&world, "kheeper_scrub_damaged_objects"), Some(DAMAGED as f64));
    let fsck = world.server.operator(&["fsck", "--read-data"]).failed();
    for key in &expected {
        assert_eq!(fsck.text().matches(key).count(), 1, "{key}: {fsck}");
    }
    let size_after: u64 = blobs.iter().filter_map(|blob| Some(fs::metadata(blob).ok()?.len())).sum();
    assert_eq!(size_after, size_before, "nothing is removed because of damage");
}
