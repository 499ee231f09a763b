//! Starting the server: what it refuses before it binds, what it announces, and its own certificate.

use std::fs;
use std::process::Command;

use kheeper_e2e::wait::secs;
use kheeper_e2e::world::text;
use kheeper_e2e::{Proxy, Running, World, command};

#[test]
fn a_second_server_a_taken_port_and_a_bad_configuration_are_refused_before_anything_happens() {
    let world = World::start();
    let program = world.bin().join("kheeper-server");
    let serve = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("serve").args(args).current_dir("/");
        command::run(command, secs(30)).failed()
    };
    let data = world.server.data.to_str().expect("text").to_owned();
    let second = serve(&["--data", &data, "--listen", "127.0.0.1:0"]);
    assert!(second.stderr.contains(&data) || second.stderr.contains("another"), "{second}");
    let free = world.path("other-data");
    let free = free.to_str().expect("text");
    let taken = serve(&["--data", free, "--listen", &world.server.address().to_string()]);
    assert!(taken.stderr.contains(&world.server.address().port().to_string()), "{taken}");
    serve(&["--data", free, "--listen", "0.0.0.0:0"]);
    serve(&["--data", free, "--listen", "127.0.0.1:0", "--origin", "not a url"]);
    serve(&["--data", free, "--listen", "127.0.0.1:0", "--prices", "/no/such/file"]);
    serve(&["--data", free, "--listen", "127.0.0.1:0", "--tls-cert", "/no/such/file"]);
    serve(&["--data", "/proc/nothing", "--listen", "127.0.0.1:0"]);
    serve(&["--listen", "127.0.0.1:0", "--made-up"]);
}

#[test]
fn a_port_of_the_systems_choice_is_announced() {
    let dir = World::directory();
    let mut command = Command::new(dir.path().join("bin/kheeper-server"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(dir.path().join("data"));
    let mut server = Running::start("kheeper-server", command);
    let origin = server.wait_for_line("the announcement", secs(20), |line| {
        Some(line.split_once(kheeper_e2e::server::ANNOUNCEMENT)?.1.trim().to_owned())
    });
    let port: u16 = origin.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok()).expect("a port");
    assert_ne!(port, 0);
    kheeper_e2e::Request::new("GET", "/-/healthz").send((std::net::Ipv4Addr::LOCALHOST, port).into()).expect(200);
    assert!(server.terminate(secs(30)).success());
}

#[test]
fn a_self_signed_server_is_pinned_by_its_join_tokens() {
    let world = World::start();
    let dir = World::directory();
    let port = kheeper_e2e::server::free_port();
    let data = dir.path().join("data");
    let mut command = Command::new(dir.path().join("bin/kheeper-server"));
    command.args(["serve", "--tls-self-signed", "--listen", &format!("127.0.0.1:{port}"), "--data"]).arg(&data);
    let mut server = Running::start("kheeper-server", command);
    server.wait_for_line("the announcement", secs(20), |line| {
        line.contains(kheeper_e2e::server::ANNOUNCEMENT).then_some(())
    });
    let log = server.log();
    let pin = log.split_once("sha256:").map(|(_, digits)| format!("sha256:{}", &digits[..64]));
    let operator = |args: &[&str]| {
        let mut command = Command::new(dir.path().join("bin/kheeper-server"));
        command.args(args).arg("--data").arg(&data);
        command::run(command, secs(30)).ok()
    };
    let id = text(&operator(&["users", "create", "erin", "--json"]).json()["id"]);
    let origin = format!("https://127.0.0.1:{port}");
    let erin = world.cli("erin");
    // Without the pin nothing vouches for the certificate, and nothing is sent.
    let unknown = erin.run(&["auth", "login", &id, "--origin", &origin]);
    assert!(!unknown.status.success() || unknown.text().contains("certificate"), "{unknown}");
    let pin = pin.unwrap_or_else(|| panic!("the server says its pin:\n{log}"));
    let erin = world.cli("erin-pinned");
    let (mut login, token) = erin.begin_login(&id, &origin, &["--pin", &pin]);
    operator(&["keys", "register", &token, "--yes"]);
    assert!(login.wait(secs(30)).success(), "{}", login.log());
    erin.ok(&["orgs", "create", "tlsorg"]);
    let join = text(&erin.json(&["hosts", "create", "tlsorg/web-01"])["join_token"]);
    let host = world.cli("tls-host");
    host.ok(&["hosts", "join", &join]);
    let proxy = Proxy::start(&host, &[]);
    proxy.door().put("/tlsorg/web-01/a", &[7; 200_000]).expect(200);
    assert_eq!(proxy.door().get("/tlsorg/web-01/a").expect(200).body, [7; 200_000]);
}

#[test]
fn logging_in_is_safe_to_repeat() {
    let world = World::start();
    let id = world.create_user("erin");
    let erin = world.cli("erin");
    let login = ["auth", "login", &id, "--origin", &world.server.origin()];
    let (mut running, token) = erin.begin_login(&id, &world.server.origin(), &[]);
    world.server.operator(&["keys", "register", &token, "--yes"]).ok();
    assert!(running.wait(secs(30)).success(), "{}", running.log());
    let key = erin.context_dir().join("ed25519_private.pem");
    let made = fs::read(&key).expect("the key is there");

    assert!(erin.run(&login).ok().stderr.contains("already"));
    // Cut off just before its last step, which forgets the key's other name.
    let pending = erin.context_dir().join(format!("pending-{id}.pem"));
    fs::copy(&key, &pending).expect("our own directory");
    assert!(erin.run(&login).ok().stderr.contains("already"));
    assert!(!pending.exists());
    assert_eq!(fs::read(&key).expect("the key is there"), made, "the same key all along");

    // Somebody else's login does not take the place of an identity, and neither does one that the server no longer knows.
    let other = world.create_user("frank");
    let refused = erin.run(&["auth", "login", &other, "--origin", &world.server.origin()]).failed();
    assert!(refused.stderr.contains("--replace"), "{refused}");
    let key_id = text(&erin.json(&["status"])["identity"]["key_id"]);
    world.server.operator(&["keys", "revoke", &key_id]).ok();
    let refused = erin.run(&login).failed();
    assert!(refused.stderr.contains("--replace"), "{refused}");
}
