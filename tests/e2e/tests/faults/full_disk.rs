//! A full disk: new bodies are refused with 507, and everything else goes on.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;

use kheeper_e2e::http::{read_head, read_response};
use kheeper_e2e::{World, digest, files, unix};

use crate::filesystem::FileSystem;

#[test]
fn a_full_disk_is_507_with_the_old_data_intact_and_recovers_without_a_restart() {
    if !unix::is_root_for("a_full_disk_is_507_with_the_old_data_intact_and_recovers_without_a_restart") {
        return;
    }
    let (world, disk) = World::start_on_disk("size=64m");
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let (direct, proxied) = (world.direct(&host.cli), proxy.door());
    let bytes = |n: u64| files::random_bytes(n, 4 << 20);
    let mut stored = 0;
    let refused = loop {
        let answer = direct.put(&host.path(&format!("f{stored}")), &bytes(stored));
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 16, "64 MiB hold no 16 times 4 MiB");
    };
    refused.expect_error(507, "XKheeperStorageFull");
    assert!(stored >= 10, "only {stored} times 4 MiB in 64 MiB");
    proxied.put(&host.path("through-the-proxy"), &bytes(99)).expect_error(507, "XKheeperStorageFull");
    direct.put(&host.path("f0"), &bytes(77)).expect_error(507, "XKheeperStorageFull");
    // The client that waits for 100 is told before it has sent anything.
    let asked = direct.put_request(&host.path("asked"), &bytes(98)).header("Expect", "100-continue");
    let answer = asked.send(direct.address).expect_error(507, "XKheeperStorageFull");
    assert!(!answer.continued);

    for n in 0..stored {
        let read = direct.get(&host.path(&format!("f{n}"))).expect(200);
        assert_eq!(digest::md5_hex(&read.body), digest::md5_hex(&bytes(n)), "f{n}");
    }
    assert_eq!(direct.keys("myorg", "web-01/", 5).len() as u64, stored);
    direct.delete(&host.path("f1")).expect(204);
    direct.get(&host.path("f1")).expect_error(404, "NoSuchKey");
    direct.get(&host.path("through-the-proxy")).expect_error(404, "NoSuchKey");

    disk.remount("size=256m");
    proxied.put_into_new_room(&host.path("f1"), &bytes(1)).expect(200);
    assert!(proxied.get(&host.path("f1")).expect(200).body == bytes(1));
    let fsck = world.server.operator(&["fsck", "--read-data"]);
    assert!(fsck.status.success(), "{fsck}");
}

#[test]
fn a_disk_without_inodes_is_507_with_the_old_data_intact_and_recovers_without_a_restart() {
    if !unix::is_root_for("a_disk_without_inodes_is_507_with_the_old_data_intact_and_recovers_without_a_restart") {
        return;
    }
    let dir = World::directory();
    let data = dir.path().join("data");
    let disk = FileSystem::in_memory(&data.join("blobs"), "size=64m,nr_inodes=60,mode=700");
    let world = World::start_in(dir, &data, &[]);
    let disk = disk;
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let bytes = |n: u64| files::random_bytes(n, 10_000);
    let stored = (0..60)
        .find(|n| {
            let answer = door.put(&host.path(&format!("f{n}")), &bytes(*n));
            if answer.status != 200 {
                answer.expect_error(507, "XKheeperStorageFull");
                return true;
            }
            false
        })
        .expect("60 inodes hold no 60 blobs");
    assert!(stored >= 5, "only {stored}");
    door.put(&host.path("f0"), &bytes(77)).expect_error(507, "XKheeperStorageFull");
    for n in 0..stored {
        assert!(door.get(&host.path(&format!("f{n}"))).expect(200).body == bytes(n), "f{n}");
    }
    door.delete(&host.path("f1")).expect(204);
    assert_eq!(door.keys("myorg", "web-01/", 7).len() as u64, stored - 1);
    disk.remount("nr_inodes=1000");
    door.put_into_new_room(&host.path("f1"), &bytes(1)).expect(200);
    world.server.operator(&["fsck", "--read-data"]).ok();
}

#[test]
fn a_full_index_is_507_nothing_is_acknowledged_and_the_server_starts_and_reads_all_the_same() {
    if !unix::is_root_for("a_full_index_is_507_nothing_is_acknowledged_and_the_server_starts_and_reads_all_the_same") {
        return;
    }
    let dir = World::directory();
    let data = dir.path().join("data");
    let index = FileSystem::in_memory(&data, "size=64m,mode=700");
    let blobs = FileSystem::in_memory(&data.join("blobs"), "size=64m,mode=700");
    let mut world = World::start_in(dir, &data, &[]);
    let (_blobs, _index) = (blobs, index);
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let (path, bytes) = (host.path("a"), files::random_bytes(1, 100_000));
    door.put(&path, &bytes).expect(200);
    let let_in: Vec<(TcpStream, Vec<u8>)> = (0..20)
        .map(|n| {
            let body = files::random_bytes(100 + n, 50_000);
            let put = door.put_request(&host.path(&format!("late/{n}")), &body).header("Expect", "100-continue");
            let mut stalled = put.open(door.address).expect("it listens");
            let (status, _) = read_head(&mut BufReader::with_capacity(1, &stalled)).expect("it answers");
            assert_eq!(status, 100);
            stalled.write_all(&body[..body.len() / 2]).expect("it reads");
            (stalled, body)
        })
        .collect();
    // To the last byte, over the reserve that writes are refused within.
    let filler = data.join("lost+found");
    let mut file = std::fs::File::create(&filler).expect("there is room");
    while std::io::Write::write(&mut file, &[7; 4096]).is_ok_and(|written| written > 0) {}
    drop(file);
    for n in 0..20 {
        let path = host.path(&format!("refused/{n}"));
        door.put(&path, &files::random_bytes(n, 50_000)).expect_error(507, "XKheeperStorageFull");
        door.get(&path).expect_error(404, "NoSuchKey");
    }
    // Those were refused before they wrote anything; these had been let in, and find no room for their rows.
    let mut unacknowledged = 0;
    for (n, (stalled, body)) in let_in.iter().enumerate() {
        (&*stalled).write_all(&body[body.len() / 2..]).expect("it reads on");
        let answer = read_response(&mut BufReader::new(stalled), "PUT").expect("it answers");
        if answer.status == 200 {
            assert!(door.get(&host.path(&format!("late/{n}"))).expect(200).body == *body, "acknowledged");
            continue;
        }
        answer.expect_error(507, "XKheeperStorageFull");
        door.get(&host.path(&format!("late/{n}"))).expect_error(404, "NoSuchKey");
        unacknowledged += 1;
    }
    assert!(unacknowledged > 0, "no commit failed");
    assert!(door.get(&path).expect(200).body == bytes);
    world.server.kill9();
    world.server.restart();
    assert!(door.get(&path).expect(200).body == bytes, "a start needs no room");
    std::fs::remove_file(&filler).expect("ours to remove");
    door.put_into_new_room(&path, &files::random_bytes(2, 90_000)).expect(200);
    // Once a commit was sent, no request deletes its blob: they lie there as what sweep collects once they are a day old
    // (crates/kheeper-store/tests/store/contract/sweeping.rs, orphans_are_counted_condemned_and_deleted_a_day_later). Of the
    // twenty before, those that came before the disk was asked again have left one too.
    let fsck = world.server.operator_json(&["fsck", "--read-data"]);
    let left = fsck["orphan_blobs"].as_u64().expect("a number");
    assert!((unacknowledged..=unacknowledged + 20).contains(&left), "{unacknowledged} were refused: {fsck}");
}
