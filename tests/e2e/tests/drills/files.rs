//! restic: the repository is destroyed with the host's own key, read through a proxy that shows the past, and restored.

use std::path::Path;
use std::process::Command;

use kheeper_e2e::wait::secs;
use kheeper_e2e::{Done, Proxy, World, command, files};

use crate::attack::{Moment, destroy_everything, every_act_is_in_the_log, flood, try_to_reach_the_history};

fn restic(world: &World, endpoint: &str, args: &[&str]) -> Done {
    let mut restic = Command::new("restic");
    restic.env("RESTIC_REPOSITORY", format!("s3:{endpoint}/myorg/web-01/restic")).env("RESTIC_PASSWORD", "secret");
    restic.env("AWS_ACCESS_KEY_ID", "dummy").env("AWS_SECRET_ACCESS_KEY", "dummy").env("AWS_REGION", "us-east-1");
    restic.env("HOME", world.path("")).arg("--no-cache").args(args);
    command::run(restic, secs(120))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}

#[test]
fn a_host_that_destroys_all_it_can_reach_loses_nothing() {
    let world = World::start();
    let host = world.host("web-01");
    world.alice.ok(&["hosts", "set", &host.namespace(), "--quota", "60MiB"]);
    let proxy = world.host_proxy(&host);
    let (endpoint, door) = (proxy.endpoint(), proxy.door());
    let source = world.path("source");
    files::sample_tree(&source, 6 << 20);
    restic(&world, &endpoint, &["init"]).ok();
    restic(&world, &endpoint, &["backup", text(&source)]).ok();
    door.put(&host.path("plain"), b"as it was").expect(200);
    let expected = files::tree(&source);
    let listed = world.alice.json(&["objects", "list", &host.namespace()]);
    let before = Moment::now();

    // With a token of the host's key, past the proxy, and through it.
    try_to_reach_the_history(&world, &host, &world.direct(&host.cli), &host.path("plain"));
    try_to_reach_the_history(&world, &host, &door, &host.path("plain"));
    assert_eq!(door.get(&host.path("plain")).expect(200).body, b"as it was", "none of that changed anything");
    destroy_everything(&door, &host);
    flood(&door, &host).expect_error(403, "QuotaExceeded");
    restic(&world, &endpoint, &["snapshots"]).failed();
    assert!(world.server.operator_json(&["sweep"])["purged_versions"] == 0, "nothing is purged");
    every_act_is_in_the_log(&world, &host);
    before.wait_until_past(&world.alice);

    // The owner reads what there was, as if nothing had happened; nothing can be written there.
    let past = Proxy::start(&world.alice, &["--at", &before.0]);
    let seen = past.door();
    assert_eq!(seen.get(&host.path("plain")).expect(200).body, b"as it was");
    let range = seen.request("GET", &host.path("plain")).header("range", "bytes=3-4").send(seen.address);
    assert_eq!(range.expect(206).body, b"it");
    assert_eq!(seen.head(&host.path("README-TO-GET-YOUR-FILES-BACK")).status, 404);
    let then: Vec<String> = seen.keys("myorg", "web-01/", 3);
    assert_eq!(then.len(), listed.as_array().expect("a list").len());
    let first_version = seen.get("/myorg?prefix=web-01/&max-keys=1000").expect(200).text();
    assert_eq!(kheeper_e2e::s3::xml_values(&first_version, "Key"), then);
    seen.put(&host.path("plain"), b"x").expect_error(403, "AccessDenied");
    let mut forged = seen.request("GET", &host.path("plain"));
    forged = forged.header("x-kheeper-at", "1");
    assert_eq!(forged.send(seen.address).expect(200).body, b"as it was", "a client's own time is dropped");
    restic(&world, &past.endpoint(), &["--no-lock", "check", "--read-data"]).ok();
    let early = world.path("early");
    restic(&world, &past.endpoint(), &["--no-lock", "restore", "latest", "--target", text(&early)]).ok();
    assert_eq!(files::tree(&early.join(source.strip_prefix("/").expect("absolute"))), expected);

    // Then the namespace itself becomes what it was: first as a rehearsal.
    let restore = ["objects", "restore", "--at", &before.0, "myorg/web-01"];
    let plan = world.alice.json(&[&restore[..], &["--dry-run"]].concat());
    assert_eq!(world.alice.json(&["objects", "list", "--at", &before.0, "myorg/web-01"]), listed);
    assert_ne!(world.alice.json(&["objects", "list", "myorg/web-01"]), listed, "a dry run changes nothing");
    assert_eq!(world.alice.json(&restore), plan);
    assert_eq!(world.alice.json(&["objects", "list", "myorg/web-01"]), listed, "keys, bytes, ETags and times");
    assert_eq!(world.alice.json(&restore)["steps"].as_array().map(Vec::len), Some(0), "again changes nothing");
    let owner = world.owner_proxy();
    restic(&world, &owner.endpoint(), &["--no-lock", "check", "--read-data"]).ok();
    let restored = world.path("restored");
    restic(&world, &owner.endpoint(), &["--no-lock", "restore", "latest", "--target", text(&restored)]).ok();
    assert_eq!(files::tree(&restored.join(source.strip_prefix("/").expect("absolute"))), expected);

    // The host goes on: with room again, its next backup adds to the old ones.
    world.alice.ok(&["hosts", "set", &host.namespace(), "--quota", "none"]);
    restic(&world, &endpoint, &["backup", text(&source)]).ok();
    restic(&world, &endpoint, &["check", "--read-data"]).ok();
    world.server.operator(&["fsck", "--read-data"]).ok();
}
