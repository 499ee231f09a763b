//! A flood without a quota fills the disk: it is told so, and costs neither the history nor a neighbour anything.

use kheeper_e2e::{Proxy, World, files, unix};

use crate::attack::{Moment, destroy_everything, flood};

#[test]
fn a_flood_that_fills_the_disk_is_507_with_the_history_kept_and_the_neighbour_served() {
    if !unix::is_root_for("a_flood_that_fills_the_disk_is_507_with_the_history_kept_and_the_neighbour_served") {
        return;
    }
    let (world, _disk) = World::start_on_disk("size=128m,mode=700");
    let (host, neighbour) = (world.host("web-01"), world.host("web-02"));
    let proxy = world.host_proxy(&host);
    let (direct, proxied, beside) = (world.direct(&host.cli), proxy.door(), world.direct(&neighbour.cli));
    beside.put(&neighbour.path("a"), b"a").expect(200);
    let kept: Vec<(String, Vec<u8>)> =
        (0..12).map(|n| (host.path(&format!("kept/{n}")), files::random_bytes(n, 200_000))).collect();
    for (path, bytes) in &kept {
        proxied.put(path, bytes).expect(200);
    }
    let listed = world.alice.json(&["objects", "list", &host.namespace()]);
    let before = Moment::now();

    destroy_everything(&proxied, &host);
    flood(&proxied, &host).expect_error(507, "XKheeperStorageFull");
    let more = files::random_bytes(1, 1 << 20);
    for door in [&direct, &proxied] {
        door.put(&host.path("flood/more"), &more).expect_error(507, "XKheeperStorageFull");
        let asked = door.put_request(&host.path("flood/more"), &more).header("Expect", "100-continue");
        let asked = asked.send(door.address).expect_error(507, "XKheeperStorageFull");
        assert!(!asked.continued, "before a byte of it was sent");
    }
    beside.put(&neighbour.path("b"), &more).expect(200);
    assert!(beside.get(&neighbour.path("b")).expect(200).body == more);
    assert_eq!(world.server.operator_json(&["sweep"])["purged_versions"], 0, "nothing is purged to make room");

    // The owner sees what there was, and has it back, though there is no room for a byte more of it.
    before.wait_until_past(&world.alice);
    let past = Proxy::start(&world.alice, &["--at", &before.0]);
    for (path, bytes) in &kept {
        assert!(past.door().get(path).expect(200).body == *bytes, "{path} as it was");
    }
    world.alice.json(&["objects", "restore", "--at", &before.0, "myorg/web-01"]);
    assert_eq!(world.alice.json(&["objects", "list", &host.namespace()]), listed, "keys, bytes, ETags and times");
    for (path, bytes) in &kept {
        assert!(proxied.get(path).expect(200).body == *bytes, "{path} is back");
    }
    proxied.put(&host.path("flood/more"), &more).expect_error(507, "XKheeperStorageFull");
    world.server.operator(&["fsck", "--read-data"]).ok();
}
