//! `kill -9` in the middle of concurrent writes: everything acknowledged is there, byte for byte.

use kheeper_e2e::{Door, World};

use crate::journal::{Journal, write_until};

/// Kills; `KHEEPER_KILLS` makes it more.
fn kills() -> u64 {
    std::env::var("KHEEPER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(10)
}

#[test]
fn everything_acknowledged_survives_kill_9_under_concurrent_writes() {
    let mut world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let doors = [world.direct(&host.cli), proxy.door()];
    let journal = Journal::default();
    for round in 0..kills() {
        let enough = 10 + (round * 47 % 120) as usize;
        let server = &mut world.server;
        write_until(&doors, &host, &journal, (round, 8, enough), || server.kill9());
        world.server.restart();
        assert_eq!(journal.contradictions(&doors[0], &host), Vec::<String>::new());
        let fsck = world.server.operator_json(&["fsck", "--read-data"]);
        assert_usage_is_what_fsck_counts(&world, &fsck);
        assert_usage_is_what_is_listed(&world, &doors[0]);
    }
    let _ = proxy;
}

fn assert_usage_is_what_fsck_counts(world: &World, fsck: &serde_json::Value) {
    let usage = usage_of_the_host(world);
    let recomputed = &fsck["namespaces"][0];
    for bytes in ["current_bytes", "hidden_bytes", "uploading_bytes"] {
        assert!(usage[bytes].is_u64(), "{usage}");
        assert_eq!(usage[bytes], recomputed[bytes], "{bytes}: {usage} {fsck}");
    }
}

fn usage_of_the_host(world: &World) -> serde_json::Value {
    let usage = world.alice.json(&["usage", "--org", "myorg"]);
    usage.as_array().and_then(|records| records.last()).cloned().expect("the host has a record")
}

fn assert_usage_is_what_is_listed(world: &World, door: &Door) {
    let text = door.get("/myorg?list-type=2&prefix=web-01/").expect(200).text();
    let listed: u64 =
        kheeper_e2e::s3::xml_values(&text, "Size").iter().map(|size| size.parse::<u64>().expect("a size")).sum();
    let usage = usage_of_the_host(world);
    assert_eq!(usage["current_bytes"].as_u64(), Some(listed), "{usage}");
}
