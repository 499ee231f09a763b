//! `kheeper status`: who this is, whether the server agrees, and what differs between the two.

use std::io::{BufReader, Write as _};
use std::net::TcpListener;

use kheeper_e2e::http::read_head;
use kheeper_e2e::wait::secs;
use kheeper_e2e::world::text;
use kheeper_e2e::{Cli, Done, Request, World, clock, command};

/// `kheeper status` on a machine whose clock is off.
fn status(cli: &Cli, offset: &str, flags: &[&str]) -> Done {
    let mut command = cli.command(&[&["status"], flags].concat());
    clock::shift(&mut command, offset);
    command::run(command, secs(30))
}

#[test]
fn a_clock_that_is_off_is_named_in_seconds_and_explained_once_it_is_too_much() {
    let world = World::start();
    let host = world.host("web-01");
    assert!(host.cli.ok(&["status"]).stdout.contains("that of the server"));
    let names = |text: &str, about: i64, what: &str| {
        let said = (about - 10..=about + 10).any(|secs| text.contains(&format!("{secs} s {what}")));
        assert!(said, "{about} s {what}: {text}");
    };
    for (offset, about, what) in [("+240", 240, "ahead of the server"), ("-240", 240, "behind the server")] {
        names(&status(&host.cli, offset, &[]).ok().stdout, about, what);
    }
    let json: serde_json::Value =
        serde_json::from_str(&status(&host.cli, "+240", &["--json"]).ok().stdout).expect("JSON");
    let ahead = json["clock_ahead_secs"].as_i64().expect("a number");
    assert!((230..=250).contains(&ahead), "{json}");
    for (offset, what) in [("+7200", "ahead of"), ("-7200", "behind")] {
        let refused = status(&host.cli, offset, &[]).failed();
        names(&refused.stderr, 7200, what);
        assert!(refused.stderr.contains("clock"), "{refused}");
        assert!(refused.stdout.contains("web-01"), "who this is is known all the same: {refused}");
    }
}

#[test]
fn it_prints_its_own_version_and_says_when_the_servers_is_another() {
    let mut world = World::start();
    let host = world.host("web-01");
    let version = host.cli.ok(&["--version"]).stdout;
    let version = version.split_whitespace().last().expect("a version").to_owned();
    let json = host.cli.json(&["status"]);
    assert_eq!((text(&json["version"]), text(&json["server"]["server_version"])), (version.clone(), version.clone()));
    let same = host.cli.ok(&["status"]);
    assert!(same.stdout.matches(&version).count() == 2 && !same.stderr.contains(&version), "{same}");

    // The same server, as one of another version would answer.
    let whoami =
        Request::new("GET", "/-/api/v1/whoami").header("Authorization", &format!("Bearer {}", host.cli.token()));
    let mut body = whoami.send(world.server.address()).expect(200).json();
    body["server_version"] = "99.0.1".into();
    let (address, body) = (world.server.address(), body.to_string());
    world.server.terminate();
    let listener = TcpListener::bind(address).expect("the server is gone");
    let other = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("somebody asks");
        let _ = read_head(&mut BufReader::new(peer.try_clone().expect("a socket"))).err();
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        peer.write_all(format!("{head}{body}").as_bytes()).expect("it reads");
    });
    let differs = host.cli.ok(&["status"]);
    other.join().expect("it was asked once");
    assert!(differs.stderr.contains(&version) && differs.stderr.contains("99.0.1"), "{differs}");
}
