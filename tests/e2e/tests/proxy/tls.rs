//! TLS on the local side: one port for both, an authority that clients are told of, and keys that stay where they are.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kheeper_e2e::process::Running;
use kheeper_e2e::s3::DUMMY_AUTHORIZATION;
use kheeper_e2e::server::free_port;
use kheeper_e2e::unix::{self, Account};
use kheeper_e2e::wait::{secs, until};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Done, Proxy, World, command};

/// What `kheeper hosts me --env` says to trust, for a proxy at `endpoint`.
fn authority(host: &Host, endpoint: &str) -> PathBuf {
    let env = host.cli.ok(&["hosts", "me", "--env=sdk", "--endpoint", endpoint]).stdout;
    let value = |name: &str| {
        let found = env.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        found.unwrap_or_else(|| panic!("{name} is missing from\n{env}")).to_owned()
    };
    assert_eq!(value("AWS_ENDPOINT_URL"), endpoint);
    assert_eq!(value("AWS_CA_BUNDLE"), value("SSL_CERT_FILE"));
    value("AWS_CA_BUNDLE").into()
}

fn curl(args: &[&str]) -> Done {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "-H"]).arg(format!("Authorization: {DUMMY_AUTHORIZATION}")).args(args);
    command::run(curl, secs(20))
}

fn curl_trusting(authority: &Path, args: &[&str]) -> Done {
    let authority = authority.to_str().expect("a path in UTF-8");
    curl(&[&["--cacert", authority], args].concat())
}

#[test]
fn one_port_speaks_http_and_https_and_the_printed_authority_verifies_it() {
    let world = World::start();
    let host = world.host("web-01");
    let mut proxy = Proxy::start(&host.cli, &["--tls"]);
    let port = proxy.address().port();
    let authority = authority(&host, &format!("https://127.0.0.1:{port}"));
    let path = host.path("a");
    for name in ["127.0.0.1", "localhost"] {
        let url = format!("https://{name}:{port}{path}");
        curl_trusting(&authority, &["-X", "PUT", "--data-binary", name, &url]).ok();
        assert_eq!(curl_trusting(&authority, &["-4", &url]).ok().stdout, name);
        assert_eq!(proxy.door().get(&path).expect(200).text(), name, "and plain HTTP beside it");
    }
    // Not by the system's authorities, and not by a name that the certificate does not have.
    assert_eq!(curl(&[&format!("https://127.0.0.1:{port}{path}")]).code(), 60);
    let other = format!("https://127.0.0.2:{port}{path}");
    let to = format!("127.0.0.2:{port}:127.0.0.1:{port}");
    assert_eq!(curl_trusting(&authority, &["--connect-to", &to, &other]).code(), 60);

    // A restart changes nothing that a client has seen.
    let dir = authority.parent().expect("a directory").to_owned();
    let kept = || ["ca.pem", "own.pem"].map(|name| std::fs::read(dir.join(name)).expect("it is there"));
    let before = kept();
    proxy.restart();
    assert_eq!(kept(), before);
    curl_trusting(&authority, &[&format!("https://127.0.0.1:{port}{path}")]).ok();
    keys_are_their_owners_alone(&dir);
}

fn keys_are_their_owners_alone(dir: &Path) {
    for name in ["ca-key.pem", "own.pem"] {
        let file = dir.join(name);
        let mode = std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name}");
        if unix::is_root_for("keys_are_their_owners_alone") {
            let nobody = Account::named("nobody").expect("every Debian has nobody");
            let mut cat = Command::new("cat");
            cat.arg(&file);
            nobody.apply(&mut cat);
            command::run(cat, secs(10)).failed();
        }
    }
}

#[test]
fn a_unix_socket_speaks_both_too() {
    let world = World::start();
    let host = world.host("web-01");
    let socket = world.path("proxy.sock");
    let listen = format!("unix:{}", socket.display());
    let command = host.cli.command(&["object-proxy", "--tls", "--listen", &listen]);
    let mut running = Running::start("kheeper object-proxy", command);
    running.wait_for_line("the announcement", secs(20), |line| line.contains("clients have to trust").then_some(()));
    let authority = authority(&host, "https://localhost");
    let socket = socket.to_str().expect("a path in UTF-8");
    let path = host.path("a");
    let url = format!("https://localhost{path}");
    curl_trusting(&authority, &["--unix-socket", socket, "-X", "PUT", "--data-binary", "x", &url]).ok();
    assert_eq!(curl(&["--unix-socket", socket, &format!("http://localhost{path}")]).ok().stdout, "x");
}

#[test]
fn the_port_that_systemd_holds_speaks_both_too() {
    let world = World::start();
    let host = world.host("web-01");
    let port = free_port();
    let mut activate = Command::new("systemd-socket-activate");
    activate.arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--setenv").arg("KHEEPER_CONFIG");
    activate.arg(&host.cli.program).args(["object-proxy", "--tls"]).env("KHEEPER_CONFIG", &host.cli.config);
    let _running = Running::start("systemd-socket-activate", activate);
    let path = host.path("a");
    let plain = format!("http://127.0.0.1:{port}{path}");
    // The first connection starts the proxy, which makes the certificate.
    until("an answer through the passed socket", secs(20), || {
        curl(&["-X", "PUT", "--data-binary", "x", &plain]).status.success().then_some(())
    });
    let authority = authority(&host, &format!("https://127.0.0.1:{port}"));
    assert_eq!(curl_trusting(&authority, &[&format!("https://127.0.0.1:{port}{path}")]).ok().stdout, "x");
}

#[test]
fn an_exposed_private_key_stops_the_start() {
    let world = World::start();
    let host = world.host("web-01");
    drop(Proxy::start(&host.cli, &["--tls"]));
    let key = host.cli.context_dir().join("proxy-tls/ca-key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("our own file");
    let refused = host.cli.run(&["object-proxy", "--tls", "--listen", "127.0.0.1:0"]).failed();
    assert!(refused.stderr.contains("can be read by others"), "{refused}");
    assert_eq!(refused.code(), 78, "no restart can help: {refused}");
}
