//! What was used, and what it costs.

use std::fs;

use kheeper_e2e::World;

#[test]
fn usage_is_shown_and_priced() {
    let dir = World::directory();
    let prices = dir.path().join("prices.toml");
    let data = dir.path().join("data");
    let example = include_str!("prices.toml");
    fs::write(&prices, example).expect("our own directory");
    let world = World::start_in(dir, &data, &["--prices", prices.to_str().expect("text")]);
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    door.put(&host.path("a"), &[1; 100_000]).expect(200);
    door.put(&host.path("a"), &[2; 50_000]).expect(200);
    door.put(&host.path("b"), &[3; 10]).expect(200);
    door.delete(&host.path("b")).expect(204);
    door.get(&host.path("a")).expect(200);
    let usage = world.alice.json(&["usage", "--org", "myorg"]);
    let record = usage.as_array().and_then(|records| records.last()).cloned().expect("a record");
    assert_eq!((record["current_bytes"].as_u64(), record["hidden_bytes"].as_u64()), (Some(50_000), Some(100_010)));
    assert_eq!(record["ingress_bytes"].as_u64(), Some(150_010), "{record}");
    assert_eq!(record["egress_bytes"].as_u64(), Some(50_000), "{record}");
    assert_eq!((record["write_requests"].as_u64(), record["delete_requests"].as_u64()), (Some(3), Some(1)));
    assert!(record["cost"]["total"].is_number(), "{record}");
    let table = world.alice.ok(&["usage", "--org", "myorg"]).stdout;
    assert!(table.contains("GIB-MONTHS") && table.contains("web-01"), "{table}");
    host.cli.ok(&["usage"]);
    host.cli.run(&["usage", "--host", "myorg/web-02"]).failed();
    world.server.operator(&["fsck"]).ok();
}
