//! Hosts as their owner sees them.

use std::process::Command;

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::text;
use kheeper_e2e::{World, command};

#[test]
fn a_host_can_be_made_from_a_public_key_file() {
    let world = World::start();
    let private = world.path("key.pem");
    let public = world.path("pub.pem");
    let openssl = |args: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.args(args);
        command::run(openssl, secs(20)).ok();
    };
    let (private, public) = (private.to_str().expect("text"), public.to_str().expect("text"));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", private]);
    openssl(&["pkey", "-in", private, "-pubout", "-out", public]);
    let made = world.alice.json(&["hosts", "create", "myorg/web-01", "--public-key-file", public]);
    let made = if made["host"].is_object() { made["host"].clone() } else { made };
    assert_eq!(text(&made["keys"][0]["state"]), "pending");
    openssl(&["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private]);
    openssl(&["pkey", "-in", private, "-pubout", "-out", public]);
    world.alice.run(&["hosts", "create", "myorg/web-02", "--public-key-file", public]).failed();
}

#[test]
fn hosts_are_listed_with_the_age_of_what_they_last_did() {
    let world = World::start();
    let (web_01, _silent) = (world.host("web-01"), world.host("web-02"));
    world.direct(&web_01.cli).put(&web_01.path("a"), &[1; 5000]).expect(200);
    let sentinel = "basebackups_005/base_000000010000000000000002_backup_stop_sentinel.json";
    world.direct(&web_01.cli).put(&web_01.path(sentinel), b"{}").expect(200);
    let hosts = world.alice.json(&["hosts", "list"]);
    let hosts = hosts.as_array().expect("a list");
    let find = |name: &str| hosts.iter().find(|host| host["host"] == name).expect("it is listed");
    assert_eq!(find("web-01")["current_bytes"], 5002);
    assert_eq!(find("web-01")["objects"], 2);
    assert!(find("web-01")["last_object_at"].is_number() && find("web-01")["last_base_backup_at"].is_number());
    assert!(find("web-02")["last_object_at"].is_null());
    let table = world.alice.ok(&["hosts", "list"]).stdout;
    assert!(table.contains("web-01") && table.contains("web-02"), "{table}");
    // A new host has a day like any other before its silence means something.
    world.alice.ok(&["hosts", "list", "--stale", "26h"]);
    let stale = wait::until("a second of silence to be stale", secs(5), || {
        Some(world.alice.run(&["hosts", "list", "--stale", "1s"])).filter(|done| !done.status.success())
    });
    assert!(stale.code() == 3 && stale.text().contains("web-02"), "{stale}");
    assert_eq!(text(&world.alice.json(&["hosts", "get", "myorg/web-01"])["state"]), "active");
}

#[test]
fn a_window_of_nothing_is_warned_of_when_it_is_set_and_wherever_the_host_is_listed() {
    let world = World::start();
    world.host("web-01");
    world.host("web-02");
    let warning = "WARNING: with a retention of 0 what is overwritten or deleted is gone";
    let set = world.alice.ok(&["hosts", "set", "myorg/web-01", "--retention", "0"]);
    assert!(set.stderr.contains(&format!("myorg/web-01: {warning}")), "{set}");
    assert!(set.stderr.contains("the retention of 0s counts once 7d"), "a stolen key shortens nothing at once: {set}");
    let listed = world.alice.ok(&["hosts", "list"]);
    assert!(listed.stderr.contains(&format!("myorg/web-01: {warning}")), "{listed}");
    assert!(!listed.stderr.contains("myorg/web-02"), "{listed}");
    // Whoever reads the records is not disturbed on the way, and is told all the same.
    let json = world.alice.ok(&["hosts", "list", "--json"]);
    assert_eq!(json.json().as_array().map(Vec::len), Some(2));
    let set = world.alice.ok(&["hosts", "set", "myorg/web-01", "--retention", "30d"]);
    assert!(!set.stderr.contains("WARNING"), "{set}");
}

#[test]
fn a_deleted_host_keeps_its_backups_for_the_owner() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    door.put(&host.path("a"), b"kept").expect(200);
    world.alice.run(&["hosts", "delete", "myorg/web-01"]).failed();
    door.get(&host.path("a")).expect(200);
    let refused = world.alice.run(&["hosts", "delete", "myorg/web-01", "--with-backups", "web-02"]).failed();
    assert!(!refused.stderr.is_empty());
    world.alice.ok(&["hosts", "delete", "myorg/web-01", "--with-backups", "web-01"]);
    wait::until("the end of the host", secs(6), || (door.get(&host.path("a")).status == 403).then_some(()));
    assert_eq!(world.direct(&world.alice).get(&host.path("a")).expect(200).body, b"kept");
    world.alice.run(&["hosts", "create", "myorg/web-01"]).failed();
    world.alice.ok(&["hosts", "undelete", "myorg/web-01"]);
    let empty = world.host("web-03");
    world.alice.ok(&["hosts", "delete", "myorg/web-03"]);
    drop(empty);
}
