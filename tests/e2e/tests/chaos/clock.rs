//! A host whose clock is hours off: refused, and told by how much.

use std::path::Path;

use kheeper_e2e::wait::{secs, until};
use kheeper_e2e::{Running, World};

/// Debian's package libfaketime; the programs are linked dynamically, or it would not reach them.
pub(crate) fn libfaketime() -> String {
    let libraries = std::fs::read_dir("/usr/lib").expect("a Linux").flatten().map(|entry| entry.path());
    let found = libraries.map(|dir| dir.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
    found.as_deref().and_then(Path::to_str).expect("./test installs libfaketime").to_owned()
}

#[test]
fn a_clock_that_is_two_hours_off_is_refused_with_its_drift_in_seconds_and_one_of_four_minutes_is_served() {
    let world = World::start();
    let host = world.host("web-01");
    let path = host.path("a");
    world.host_proxy(&host).door().put(&path, b"a").expect(200);
    for (offset, ahead) in [("+7200", Some("ahead of")), ("-7200", Some("behind")), ("+240", None), ("-240", None)] {
        let port = kheeper_e2e::server::free_port();
        let mut command = host.cli.command(&["object-proxy", "--listen", &format!("127.0.0.1:{port}")]);
        command.env("LD_PRELOAD", libfaketime()).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
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
