//! Damage at rest is an error, never data, and never "not there".

use std::fs;
use std::path::{Path, PathBuf};

use kheeper_e2e::{Door, World, files};

/// Every file of blobs, with its size.
fn blobs(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("the data directory is ours to read") {
        let entry = entry.expect("a readable directory");
        let metadata = entry.metadata().expect("it is there");
        if metadata.is_dir() { found.extend(blobs(&entry.path())) } else { found.push((entry.path(), metadata.len())) }
    }
    found
}

/// No answer but an error before the first byte, or a connection that ends before the promised length.
fn assert_never_whole(door: &Door, path: &str, what: &str) {
    if let Ok(answer) = door.request("GET", path).try_send(door.address) {
        assert_eq!(answer.status, 500, "{what}: {answer}");
        assert_eq!(answer.code(), "InternalError", "{what}");
    }
}

#[test]
fn a_damaged_blob_is_never_sent_as_data_nor_called_absent() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let doors = [world.direct(&host.cli), proxy.door()];
    // Sizes all different, so that a blob is known by its size: one chunk, some chunks, many.
    let objects: Vec<(String, Vec<u8>)> = [20_000, 150_000, 3_000_000]
        .into_iter()
        .flat_map(|length| (0..5).map(move |n| length + n * 1000))
        .map(|length| (host.path(&format!("rot/{length}")), files::random_bytes(length as u64, length)))
        .collect();
    for (path, bytes) in &objects {
        doors[0].put(path, bytes).expect(200);
    }
    let untouched = host.path("untouched");
    doors[0].put(&untouched, b"as it was").expect(200);
    world.server.operator(&["fsck", "--read-data"]).ok();

    let mut all = blobs(&world.server.data.join("blobs"));
    all.sort_by_key(|(_, bytes)| *bytes);
    assert_eq!(all.len(), objects.len(), "one blob each");
    for group in 0..3 {
        let of = |n: usize| all[group * 5 + n].0.clone();
        // The first chunk, the last one, cut short, gone, and the bytes of another blob of its kind.
        flip(&of(0), 100);
        let last = fs::metadata(of(1)).expect("it is there").len() - 20;
        flip(&of(1), last);
        fs::OpenOptions::new().write(true).open(of(2)).and_then(|file| file.set_len(last / 2)).expect("ours to cut");
        fs::remove_file(of(3)).expect("ours to remove");
        fs::copy(of(0), of(4)).expect("ours to overwrite");
    }
    for (path, _) in &objects {
        for door in &doors {
            assert_never_whole(door, path, path);
            door.head(path).expect(200);
        }
    }
    assert_eq!(doors[1].get(&untouched).expect(200).body, b"as it was");
    let fsck = world.server.operator(&["fsck", "--read-data"]).failed();
    for (blob, _) in &all {
        let name = blob.file_name().and_then(|name| name.to_str()).expect("blobs have plain names");
        assert_eq!(fsck.text().matches(name).count(), 1, "{name}: {fsck}");
    }
}

fn flip(file: &Path, at: u64) {
    let mut bytes = fs::read(file).expect("ours to read");
    bytes[usize::try_from(at).expect("small")] ^= 0x40;
    fs::write(file, bytes).expect("ours to write");
}
