//! A host whose clock is hours off: refused, and told by how much.

use std::path::Path;

use kheeper_e2e::clock::libfaketime;
use kheeper_e2e::wait::{secs, until};
use kheeper_e2e::{Running, World, clock};

#[test]
fn a_clock_that_is_two_hours_off_is_refused_with_its_drift_in_seconds_and_one_of_four_minutes_is_served() {
    let world = World::start();
    let host = world.host("web-01");
    let path = host.path("a");
    world.host_proxy(&host).door().put(&path, b"a").expect(200);
    for (offset, ahead) in [("+7200", Some("ahead of")), ("-7200", Some("behind")), ("+240", None), ("-240", None)] {
        let port = kheeper_e2e::server::free_port();
        let mut command = host.cli.command(&["object-proxy", "--listen", &format!("127.0.0.1:{port}")]);
        clock::shift(&mut command, offset);
        let mut proxy = Running::start("kheeper object-proxy", command);
        proxy.wait_for_line("the announcement", secs(20), |line| {
            line.contains(kheeper_e2e::proxy::ANNOUNCEMENT).then_some(())
        });
        let door = kheeper_e2e::Door::proxy((std::net::Ipv4Addr::LOCALHOST, port).into());
        let Some(ahead) = ahead else {
            assert_eq!(door.get(&path).expect(200).body, b"a", "{offset}");
            door.put(&path, b"a").expect(200);
            assert_eq!(door.get(&host.path("absent")).status, 404, "{offset}");
            continue;
        };
        for request in [door.request("GET", &path), door.put_request(&path, b"b")] {
            let refused = request.send(door.address).expect_error(403, "RequestTimeTooSkewed");
            let text = refused.text();
            let named = (7195..=7205).any(|secs| text.contains(&format!("{secs} s {ahead} the server")));
            assert!(named, "{offset}: {text}");
        }
        assert_eq!(door.head(&path).status, 403, "{offset}");
        assert_eq!(door.head(&host.path("absent")).status, 403, "{offset}: nothing is said to be absent");
        let named = || (7195..=7205).any(|secs| proxy.log().contains(&format!("{secs} s {ahead} the server")));
        until("the drift in the log", secs(5), || named().then_some(()));
        assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
    }
    assert_eq!(world.host_proxy(&host).door().get(&path).expect(200).body, b"a", "what was refused changed nothing");
}

/// The program's clock is off by what the file says, from one look at it to the next.
fn clock_in(file: &Path) -> [(&'static str, String); 5] {
    [
        ("LD_PRELOAD", libfaketime()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

#[test]
fn a_server_whose_clock_steps_back_an_hour_refuses_by_name_hides_no_overwrite_and_panics_never() {
    let mut world = World::start();
    let host = world.host("web-01");
    let offset = world.path("offset");
    let set = |text: &str| std::fs::write(&offset, text).expect("our own directory");
    set("+0");
    assert!(world.server.terminate().success());
    let environment = clock_in(&offset);
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.server.set_environment(&environment);
    world.server.restart();
    let mut proxy = world.host_proxy(&host);
    let (door, path) = (proxy.door(), host.path("a"));
    let modified = |door: &kheeper_e2e::Door| door.head(&path).expect(200).header("last-modified").map(str::to_owned);
    door.put(&path, b"before").expect(200);
    let before = modified(&door);

    // An hour, and what sweep tolerates of one.
    set("-3900");
    // The host is told by how much the two differ, and so is whoever reads its log; who of them is wrong nobody can know.
    for request in [door.request("GET", &path), door.put_request(&path, b"during"), door.request("DELETE", &path)] {
        let refused = request.send(door.address).expect_error(403, "RequestTimeTooSkewed");
        let named = (3895..=3905).any(|secs| refused.text().contains(&format!("{secs} s ")));
        assert!(named, "{refused}");
    }
    assert_eq!(door.head(&host.path("absent")).status, 403, "nothing is said to be absent");
    let named = |log: &str| (3895..=3905).any(|secs| log.contains(&format!("{secs} s ")));
    until("the drift in the log", secs(5), || named(&proxy.running().log()).then_some(()));

    // One whose clock went back as well is served: its overwrite counts, though it is an hour older by the clock.
    let port = kheeper_e2e::server::free_port();
    let mut command = host.cli.command(&["object-proxy", "--listen", &format!("127.0.0.1:{port}")]);
    command.envs(clock_in(&offset));
    let mut beside = Running::start("kheeper object-proxy", command);
    beside.wait_for_line("the announcement", secs(20), |line| {
        line.contains(kheeper_e2e::proxy::ANNOUNCEMENT).then_some(())
    });
    let door_beside = kheeper_e2e::Door::proxy((std::net::Ipv4Addr::LOCALHOST, port).into());
    assert_eq!(door_beside.get(&path).expect(200).body, b"before");
    door_beside.put(&path, b"during").expect(200);
    assert_eq!(door_beside.get(&path).expect(200).body, b"during");
    assert!(seconds(&modified(&door_beside)) >= seconds(&before), "Last-Modified does not go back");
    // Also to a server that is started while the clock is wrong.
    world.server.kill9();
    world.server.restart();
    door_beside.put(&path, b"restarted").expect(200);
    assert_eq!(door_beside.get(&path).expect(200).body, b"restarted");
    let swept = world.server.operator(&["sweep"]);
    assert!(!swept.status.success() && swept.text().contains("clock"), "{swept}");

    set("+0");
    until("the clocks to agree", secs(10), || (door.get(&path).status == 200).then_some(()));
    assert_eq!(door.get(&path).expect(200).body, b"restarted");
    door.put(&path, b"after").expect(200);
    assert_eq!(door.get(&path).expect(200).body, b"after");
    assert!(!world.server.running().log().contains("panicked"), "{}", world.server.running().log());
    world.server.set_environment(&[]);
    world.server.operator(&["fsck", "--read-data"]).ok();
}

/// Of an HTTP date.
fn seconds(date: &Option<String>) -> i64 {
    let date = date.as_deref().expect("every object has a Last-Modified");
    jiff::fmt::rfc2822::parse(date).unwrap_or_else(|error| panic!("{date}: {error}")).timestamp().as_second()
}
