//! A host changes its key while it writes, whatever step the change stops at; people revoke keys of their own.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::text;
use kheeper_e2e::{Door, World};

fn key_id(cli: &kheeper_e2e::Cli) -> String {
    text(&cli.json(&["hosts", "me"])["key_id"])
}

#[test]
fn backups_go_on_while_the_key_changes_and_the_old_key_ends_also_for_a_token_seen_before() {
    let mut world = World::start();
    let host = world.host("web-01");
    let old_door = world.direct(&host.cli);
    old_door.put(&host.path("a"), b"a").expect(200);
    let mut proxy = world.host_proxy(&host);
    let old = key_id(&host.cli);

    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let writer = {
        let (stop, written, door, path) = (Arc::clone(&stop), Arc::clone(&written), proxy.door(), host.path("wal"));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let number = written.fetch_add(1, Ordering::Relaxed);
                door.put(&format!("{path}-{number}"), b"a segment").expect(200);
            }
        })
    };
    host.cli.ok(&["hosts", "rotate-key", "--overlap", "6s"]);
    let new = key_id(&host.cli);
    assert_ne!(new, old);
    wait::until("the proxy to take the new key up", secs(10), || {
        proxy.running().log().contains(&format!("signing with {new}")).then_some(())
    });
    wait::until("the end of the old key", secs(15), || (old_door.get(&host.path("a")).status == 403).then_some(()));
    let before = written.load(Ordering::Relaxed);
    wait::until("writes after the end of the old key", secs(20), || {
        (written.load(Ordering::Relaxed) > before + 3).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("every write succeeded");

    world.server.kill9();
    world.server.restart();
    old_door.get(&host.path("a")).expect_error(403, "AccessDenied");
    assert_eq!(proxy.door().get(&host.path("a")).expect(200).body, b"a");
    let acts = world.alice.json(&["audit", "list"]).to_string();
    assert!(acts.contains("host.add-key") && acts.contains("host.retire-keys"), "{acts}");
}

#[test]
fn a_rotation_that_stops_at_any_step_leaves_a_key_that_works_and_is_finished_by_repeating_it() {
    let mut world = World::start();
    let host = world.host("web-01");
    let works = |world: &World| {
        world.direct(&host.cli).put(&host.path("a"), b"a").expect(200);
        host.cli.ok(&["status"]);
    };
    // The server is gone: the new key is on disk, and the old one is in use.
    let old = key_id(&host.cli);
    world.server.kill9();
    host.cli.run(&["hosts", "rotate-key"]).failed();
    let rotated = host.cli.context_dir().join("rotated.pem");
    let left = fs::read(&rotated).expect("the new key was kept");
    world.server.restart();
    works(&world);
    assert_eq!(key_id(&host.cli), old);
    // It is taken up again, and not made anew.
    host.cli.ok(&["hosts", "rotate-key", "--overlap", "1h"]);
    assert_eq!(fs::read(host.cli.key_file()).expect("the key is in place"), left);
    assert!(!rotated.exists());
    works(&world);

    // Cut off between the identity and the key's own name: what names the key already is enough.
    fs::rename(host.cli.key_file(), &rotated).expect("our own directory");
    let stray = world.host("web-02");
    fs::copy(stray.cli.key_file(), host.cli.key_file()).expect("our own directory");
    works(&world);
    host.cli.ok(&["hosts", "rotate-key", "--overlap", "0s"]);
    assert!(!rotated.exists());
    works(&world);
    let keys = host.cli.json(&["keys", "list"]);
    let ended = keys.as_array().expect("a list").iter().filter(|key| !key["ends_at"].is_null()).count();
    assert_eq!(ended, 1, "{keys}");
}

#[test]
fn a_person_revokes_the_key_of_a_lost_laptop() {
    let world = World::start();
    let alice = text(&world.alice.json(&["status"])["server"]["id"]);
    let laptop = world.cli("laptop");
    let (mut login, token) = laptop.begin_login(&alice, &world.server.origin(), &[]);
    world.server.operator(&["keys", "register", &token, "--yes"]).ok();
    assert!(login.wait(secs(30)).success(), "{}", login.log());
    let door: Door = world.direct(&laptop);
    door.get("/myorg?list-type=2").expect(200);
    let lost = key_id(&laptop);
    assert_eq!(world.alice.json(&["keys", "list"]).as_array().expect("a list").len(), 2);
    world.alice.ok(&["keys", "revoke", &lost]);
    wait::until("the end of the key", secs(6), || (door.get("/myorg?list-type=2").status == 403).then_some(()));
    laptop.run(&["keys", "revoke", &key_id(&world.alice)]).failed();
    world.alice.ok(&["orgs", "list"]);
}
