//! Joining: each way in which it can fail says which one it was and what to do, and leaves everything as it was.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kheeper_e2e::server::free_port;
use kheeper_e2e::wait::secs;
use kheeper_e2e::world::text;
use kheeper_e2e::{Cli, Done, Running, World, command};
use serde_json::Value;

/// The token with one field changed, or taken out.
fn changed(token: &str, field: &str, value: Option<&str>) -> String {
    let body = token.strip_prefix("kjt1.").expect("a join token");
    let json = URL_SAFE_NO_PAD.decode(body).expect("base64url");
    let mut fields: serde_json::Map<String, Value> = serde_json::from_slice(&json).expect("JSON");
    match value {
        Some(value) => drop(fields.insert(field.to_owned(), value.into())),
        None => drop(fields.remove(field)),
    }
    format!("kjt1.{}", URL_SAFE_NO_PAD.encode(Value::from(fields).to_string()))
}

/// Fails with this status and these words, and nobody has become anybody.
#[track_caller]
fn refused(cli: &Cli, token: &str, code: i32, words: &[&str]) -> Done {
    let done = cli.run(&["hosts", "join", token]).failed();
    assert_eq!(done.code(), code, "{done}");
    for word in words {
        assert!(done.stderr.contains(word), "{word:?} is not in {done}");
    }
    assert!(!cli.context_dir().join("identity.json").exists());
    done
}

/// A change of the index that no command makes, while the server is down.
fn in_the_index(world: &mut World, sql: &str) {
    world.server.terminate();
    let mut python = Command::new("python3");
    python.args(["-c", "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"]);
    python.arg(world.server.data.join("index.db")).arg(sql);
    command::run(python, secs(20)).ok();
    world.server.restart();
}

#[test]
fn an_expired_token_says_so_and_how_to_get_another() {
    let mut world = World::start();
    let token = world.invite("web-01");
    in_the_index(&mut world, "UPDATE join_token SET expires_at = 1");
    let cli = world.cli("web-01");
    refused(&cli, &token, 77, &["expired", "hosts rejoin"]);
    let again = text(&world.alice.json(&["hosts", "rejoin", "myorg/web-01"])["join_token"]);
    // The one before is void from now on, whatever its time.
    refused(&cli, &token, 77, &["newer"]);
    cli.ok(&["hosts", "join", &again]);
}

#[test]
fn a_used_token_says_that_somebody_else_may_have_used_it() {
    let world = World::start();
    let token = world.invite("web-01");
    world.cli("first").ok(&["hosts", "join", &token]);
    refused(&world.cli("second"), &token, 5, &["another key has joined", "revoke"]);
}

#[test]
fn a_name_that_is_taken_and_an_identity_in_the_way_are_left_alone() {
    let world = World::start();
    let host = world.host("web-01");
    let taken = world.alice.run(&["hosts", "create", "myorg/web-01"]).failed();
    assert!(taken.code() == 5 && taken.stderr.contains("taken"), "{taken}");
    let other = world.invite("web-02");
    let in_the_way = host.cli.run(&["hosts", "join", &other]).failed();
    assert!(in_the_way.code() == 5 && in_the_way.stderr.contains("myorg/web-01"), "{in_the_way}");
    assert!(in_the_way.stderr.contains("--replace"), "{in_the_way}");
    assert_eq!(text(&host.cli.json(&["hosts", "me"])["host"]), "web-01");
    host.cli.ok(&["status"]);
    // It was not used up either.
    world.cli("web-02").ok(&["hosts", "join", &other]);
}

#[test]
fn a_clock_that_is_off_is_named_in_seconds_before_the_token_is_used() {
    let world = World::start();
    let token = world.invite("web-01");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let asked = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("the command calls");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("a request");
        let answer = "HTTP/1.1 200 OK\r\nDate: Sun, 01 Nov 2020 00:00:00 GMT\r\nContent-Type: application/json\r\n\
                      Content-Length: 2\r\n\r\n{}";
        reader.get_mut().write_all(answer.as_bytes()).expect("it reads");
        line
    });
    let cli = world.cli("web-01");
    let elsewhere = changed(&token, "origin", Some(&format!("http://127.0.0.1:{port}")));
    refused(&cli, &elsewhere, 77, &["clock is", " s ahead of", "timedatectl"]);
    assert!(asked.join().expect("it answered").starts_with("GET "), "the token was not shown");
    cli.ok(&["hosts", "join", &token]);
}

#[test]
fn an_unreachable_server_says_where_and_the_same_command_joins_when_it_is_back() {
    let mut world = World::start();
    let token = world.invite("web-01");
    world.server.kill9();
    let cli = world.cli("web-01");
    let origin = world.server.origin();
    refused(&cli, &token, 69, &["cannot reach", &origin]);
    world.server.restart();
    cli.ok(&["hosts", "join", &token]);
    cli.ok(&["status"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_named_and_the_token_is_not_used() {
    let world = World::start();
    let token = world.invite("web-01");
    let nowhere = Cli::new(&world.bin(), std::path::Path::new("/proc/kheeper"));
    refused(&nowhere, &token, 73, &["/proc/kheeper"]);
    world.cli("web-01").ok(&["hosts", "join", &token]);
}

#[test]
fn a_certificate_that_nothing_vouches_for_is_refused_and_says_what_would() {
    let dir = World::directory();
    let port = free_port();
    let (program, data) = (dir.path().join("bin/kheeper-server"), dir.path().join("data"));
    let mut serve = Command::new(&program);
    serve.args(["serve", "--tls-self-signed", "--listen", &format!("127.0.0.1:{port}"), "--data"]).arg(&data);
    let mut server = Running::start("kheeper-server", serve);
    server.wait_for_line("the announcement", secs(20), |line| {
        line.contains(kheeper_e2e::server::ANNOUNCEMENT).then_some(())
    });
    let log = server.log();
    let pin =
        log.split_once("sha256:").map(|(_, digits)| format!("sha256:{}", &digits[..64])).expect("it says its pin");
    let operator = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args).arg("--data").arg(&data);
        command::run(command, secs(30)).ok()
    };
    let cli = |name: &str| Cli::new(&dir.path().join("bin"), &dir.path().join(name));
    let owner = cli("owner");
    let id = text(&operator(&["users", "create", "erin", "--json"]).json()["id"]);
    let (mut login, registration) = owner.begin_login(&id, &format!("https://127.0.0.1:{port}"), &["--pin", &pin]);
    operator(&["keys", "register", &registration, "--yes"]);
    assert!(login.wait(secs(30)).success(), "{}", login.log());
    owner.ok(&["orgs", "create", "tlsorg"]);
    let token = text(&owner.json(&["hosts", "create", "tlsorg/web-01"])["join_token"]);
    let host = cli("host");
    refused(&host, &changed(&token, "pin", None), 76, &["certificate", "not trusted", "--ca-file"]);
    host.ok(&["hosts", "join", &token]);
}
