//! No secret is ever printed, logged, stored or shown: everything runs at trace level, and then all that came out of it is
//! searched for every secret that was in it, and for whatever else looks like one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kheeper_e2e::command::{self, Done};
use kheeper_e2e::process::Running;
use kheeper_e2e::proxy::ANNOUNCEMENT;
use kheeper_e2e::s3::DUMMY_AUTHORIZATION;
use kheeper_e2e::search::{forms_of_key_file, secrets_in};
use kheeper_e2e::server::free_port;
use kheeper_e2e::wait::secs;
use kheeper_e2e::world::{ORG, text};
use kheeper_e2e::{Cli, Door, Request, Response, World};

/// In everything that a client shows to prove who it is.
const CLIENTS_OWN: &str = "ThisIsTheClientsOwnSecret0123456789";

/// What must not be found, and where it was looked for.
#[derive(Default)]
struct Search {
    secrets: Vec<(String, Vec<u8>)>,
    places: Vec<(String, Vec<u8>)>,
}

impl Search {
    fn secret(&mut self, what: &str, secret: impl AsRef<[u8]>) {
        assert!(secret.as_ref().len() >= 16, "{what} is too short to look for");
        self.secrets.push((what.to_owned(), secret.as_ref().to_vec()));
    }

    fn place(&mut self, place: &str, content: impl AsRef<[u8]>) {
        self.places.push((place.to_owned(), content.as_ref().to_vec()));
    }

    /// A join token, and the secret in it.
    fn join_token(&mut self, token: &str) {
        let wire =
            URL_SAFE_NO_PAD.decode(token.rsplit('.').next().unwrap_or_default()).expect("a join token is base64url");
        let wire: serde_json::Value = serde_json::from_slice(&wire).expect("of JSON");
        self.secret("the secret of a join token", text(&wire["secret"]));
        self.secret("a join token", token);
    }

    /// A private key, in every form in which programs print bytes.
    fn key_file(&mut self, path: &Path) {
        for (what, form) in forms_of_key_file(path) {
            self.secret(what, form);
        }
    }

    /// What was found where.
    fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for (place, content) in &self.places {
            for (what, secret) in &self.secrets {
                if content.windows(secret.len()).any(|window| window == secret) {
                    leaks.push(format!("{place}: {what}"));
                }
            }
            leaks.extend(secrets_in(content).into_iter().map(|what| format!("{place}: {what}")));
        }
        leaks
    }
}

/// The world at trace level, and all that came out of it.
struct Traced {
    world: World,
    search: Search,
}

impl Traced {
    /// Runs a command and keeps what it printed. `shows` is for the few whose output is the secret, which goes to standard
    /// output and nowhere else.
    fn run(&mut self, cli: &Cli, args: &[&str], input: &str, shows: bool) -> Done {
        let mut command = cli.command(args);
        command.env("RUST_LOG", "trace");
        let done = command::run_with_input(command, input.as_bytes(), secs(60));
        if !shows {
            self.search.place(&format!("standard output of {args:?}"), &done.stdout);
        }
        self.search.place(&format!("standard error of {args:?}"), &done.stderr);
        done
    }

    fn operator(&mut self, args: &[&str]) -> Done {
        let mut command = Command::new(self.world.bin().join("kheeper-server"));
        command.args(args).arg("--data").arg(&self.world.server.data).env("RUST_LOG", "trace");
        let done = command::run(command, secs(60));
        self.search.place(&format!("the operator's {args:?}"), done.text());
        done
    }

    fn answer(&mut self, what: &str, answer: Response) -> Response {
        self.search.place(&format!("the answer to {what}"), format!("{answer:?}\n{}", answer.text()));
        answer
    }

    fn invite(&mut self, name: &str) -> String {
        let alice = self.world.alice.clone();
        let invitation = self.run(&alice, &["hosts", "create", &format!("{ORG}/{name}"), "--json"], "", true).json();
        let token = text(&invitation["join_token"]);
        self.search.join_token(&token);
        token
    }

    fn token(&mut self, cli: &Cli) -> String {
        let token = self.run(cli, &["auth", "token"], "", true).ok().stdout.trim().to_owned();
        self.search.secret("a token", &token);
        self.search.secret("the signature of a token", token.rsplit('.').next().unwrap_or_default());
        token
    }

    fn program(&mut self, what: &str, program: &Running) {
        self.search.place(&format!("the log of {what}"), program.log());
        for file in ["cmdline", "environ"] {
            let content = fs::read(format!("/proc/{}/{file}", program.pid())).expect("it runs");
            self.search.place(&format!("/proc/…/{file} of {what}"), content);
        }
    }

    /// Every file below `dir`, but for private keys that nobody else can read: those are where they belong.
    fn files(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            let kind = metadata.file_type();
            let is_key = path.extension() == Some(OsStr::new("pem")) && metadata.permissions().mode() & 0o077 == 0;
            if kind.is_dir() {
                self.files(&path);
            } else if kind.is_file() && !is_key {
                let content = fs::read(&path).expect("a file can be read");
                self.search.place(&format!("the file {}", path.display()), content);
            }
        }
    }
}

#[test]
fn no_output_file_or_process_of_ours_shows_a_secret_even_at_trace_level() {
    let mut world = World::start();
    world.server.set_environment(&[("RUST_LOG", "trace")]);
    world.server.terminate();
    world.server.restart();
    let mut traced = Traced { world, search: Search::default() };
    let alice = traced.world.alice.clone();
    traced.search.secret("the client's own secret", CLIENTS_OWN);
    traced.search.key_file(&alice.key_file());

    people(&mut traced);
    let host = joins(&mut traced);
    requests_at_the_server(&mut traced, &host);
    let mut proxy = requests_through_the_proxy(&mut traced, &host);
    control(&mut traced, &host);

    traced.program("the proxy", &proxy);
    proxy.terminate(secs(20));
    let mut places = std::mem::take(&mut traced.search.places);
    let server = traced.world.server.running();
    places.push(("the log of the server".into(), server.log().into_bytes()));
    for file in ["cmdline", "environ"] {
        places.push((
            format!("/proc/…/{file} of the server"),
            fs::read(format!("/proc/{}/{file}", server.pid())).expect("it runs"),
        ));
    }
    traced.search.places = places;
    traced.world.server.terminate();
    let data = traced.world.server.data.clone();
    traced.files(&data);
    for config in [&alice.config, &host.config] {
        traced.files(config);
    }

    let Search { secrets, places } = &traced.search;
    let verbose = |(place, content): &(String, Vec<u8>)| {
        place.starts_with("the log of the server") && content.windows(6).any(|window| window == b"DEBUG ")
    };
    assert!(places.iter().any(verbose), "the server logs no more than usual: nothing was searched");
    let bytes: usize = places.iter().map(|(_, content)| content.len()).sum();
    println!("searched {} places, {bytes} bytes, for {} secrets", places.len(), secrets.len());
    let leaks = traced.search.leaks();
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

fn people(traced: &mut Traced) {
    let id = text(&traced.operator(&["users", "create", "carol", "--json"]).json()["id"]);
    let carol = traced.world.cli("carol");
    let origin = traced.world.server.origin();
    let (mut login, registration) = carol.begin_login(&id, &origin, &[]);
    traced.search.secret("a registration token", &registration);
    traced.operator(&["keys", "register", &registration, "--yes"]).ok();
    traced.operator(&["keys", "register", &registration, "--yes"]).failed();
    traced.operator(&["keys", "register", "nonsense", "--yes"]).failed();
    assert!(login.wait(secs(30)).success(), "{}", login.log());
    // The one thing that it is there to show.
    traced.search.place("the log of a login", login.log().replace(&registration, ""));
    traced.search.key_file(&carol.key_file());
    traced.run(&carol, &["orgs", "create", "carols"], "", false).ok();
    traced.operator(&["users", "list"]).ok();
    traced.operator(&["keys", "list"]).ok();
}

fn joins(traced: &mut Traced) -> Cli {
    let token = traced.invite("web-01");
    let host = traced.world.cli("web-01");
    traced.run(&host, &["hosts", "join", "-"], &token, false).ok();
    traced.run(&host, &["hosts", "join", "-"], &token, false);
    let late = traced.world.cli("late");
    traced.run(&late, &["hosts", "join", "-"], &token, false).failed();
    traced.run(&late, &["hosts", "join", "-"], &token.replace('A', "B"), false).failed();
    traced.search.key_file(&host.key_file());
    let other = traced.invite("web-02");
    let web_02 = traced.world.cli("web-02");
    traced.run(&web_02, &["hosts", "join", "-"], &other, false).ok();
    traced.search.key_file(&web_02.key_file());
    // The same by hand, wrong in the ways that an answer could repeat.
    let body = serde_json::json!({ "secret": CLIENTS_OWN, "public_key_pem": CLIENTS_OWN }).to_string();
    let door = Door::anonymous(traced.world.server.address());
    let request = door.request("POST", "/-/api/v1/join").header("Content-Type", "application/json").body(body);
    let answer = door.send(&request);
    traced.answer("a join that is none", answer);
    host
}

fn requests_at_the_server(traced: &mut Traced, host: &Cli) {
    let token = traced.token(host);
    let address = traced.world.server.address();
    let door = Door::direct(address, &token);
    let path = "/myorg/web-01/a";
    let sigv4 = DUMMY_AUTHORIZATION.replace("dummy", CLIENTS_OWN);
    let upload = door.create_upload("/myorg/web-01/big");
    let etag = door.part("/myorg/web-01/big", &upload, 1, b"part");
    let calls = [
        ("a PUT", door.put_request(path, b"stored")),
        ("a GET", door.request("GET", path)),
        ("a listing", door.request("GET", "/myorg?list-type=2")),
        ("a key that is not there", door.request("GET", "/myorg/web-01/never")),
        ("a foreign key", door.request("GET", "/myorg/web-02/a")),
        ("what is no operation", door.request("GET", "/myorg/web-01/a?acl")),
        ("a bad query", door.request("GET", "/myorg?list-type=2&max-keys=x")),
        ("a bad digest", door.put_request(path, b"x").header("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==")),
        ("a token cut short", Door::direct(address, &token[..token.len() - 3]).request("GET", path)),
        ("a token and more", Door::direct(address, &format!("{token}.{CLIENTS_OWN}")).request("GET", path)),
        ("a signature", Request::new("GET", path).header("Authorization", &sigv4)),
        ("a password", Request::new("GET", path).header("Authorization", &format!("Basic {CLIENTS_OWN}"))),
        ("a secret as a token", Door::direct(address, CLIENTS_OWN).request("GET", path)),
        ("a session token", door.request("GET", path).header("x-amz-security-token", CLIENTS_OWN)),
        ("another secret header", door.request("GET", path).header("Cookie", CLIENTS_OWN)),
        ("a control call", door.request("GET", "/-/api/v1/whoami")),
        ("a bad control call", Door::direct(address, &format!("{token}x")).request("GET", "/-/api/v1/whoami")),
    ];
    for (what, request) in calls {
        let answer = request.send(address);
        traced.answer(what, answer);
    }
    let answer = door.complete("/myorg/web-01/big", &upload, &[(1, etag.as_str())]).expect(200);
    traced.answer("a Complete", answer);
    let answer = door.delete(path);
    traced.answer("a DELETE", answer);
}

fn requests_through_the_proxy(traced: &mut Traced, host: &Cli) -> Running {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = host.command(&["object-proxy", "--listen", &listen, "--tls"]);
    command.env("RUST_LOG", "trace");
    let mut proxy = Running::start("kheeper object-proxy", command);
    proxy.wait_for_line("the announcement", secs(20), |line| line.contains(ANNOUNCEMENT).then_some(()));
    let address = ([127, 0, 0, 1], port).into();
    let signed = DUMMY_AUTHORIZATION.replace("dummy", CLIENTS_OWN).replace(&"0".repeat(64), &CLIENTS_OWN.repeat(2));
    let door = Door { address, authorization: Some(signed) };
    let forged = Door::direct(address, &traced.token(host));
    let calls = [
        ("a PUT through the proxy", door.put_request("/myorg/web-01/p", &[7; 100_000])),
        ("a GET through the proxy", door.request("GET", "/myorg/web-01/p")),
        ("a listing through the proxy", door.request("GET", "/myorg?list-type=2")),
        ("a key that is not there, through the proxy", door.request("GET", "/myorg/web-01/never")),
        ("a foreign key through the proxy", door.request("GET", "/myorg/web-02/a")),
        (
            "a session token through the proxy",
            door.request("GET", "/myorg/web-01/p").header("x-amz-security-token", CLIENTS_OWN),
        ),
        ("a cookie through the proxy", door.request("GET", "/myorg/web-01/p").header("Cookie", CLIENTS_OWN)),
        (
            "a bad digest through the proxy",
            door.put_request("/myorg/web-01/p", b"x").header("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ),
        ("a token shown to the proxy", forged.request("GET", "/myorg/web-01/p")),
        ("nothing shown to the proxy", Request::new("GET", "/myorg/web-01/p")),
        ("the proxy's metrics", Request::new("GET", "/-/metrics")),
        (
            "a page's request to the proxy",
            door.request("GET", "/myorg/web-01/p").header("Origin", "http://evil.example"),
        ),
    ];
    for (what, request) in calls {
        let answer = request.send(address);
        traced.answer(what, answer);
    }
    // The server goes away in the middle of it.
    traced.world.server.terminate();
    let answer = door.get("/myorg/web-01/p");
    traced.answer("a GET without a server", answer);
    let log = traced.world.server.running().log();
    traced.search.place("the log of the server until its restart", log);
    traced.world.server.restart();
    let answer = door.get("/myorg/web-01/p");
    traced.answer("a GET after a restart", answer);
    proxy
}

fn control(traced: &mut Traced, host: &Cli) {
    let alice = traced.world.alice.clone();
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["hosts", "list", "--json"],
        &["hosts", "get", "myorg/web-01", "--json"],
        &["grants", "create", "myorg/web-01", "--to", "web-02", "--read", "--for", "1h"],
        &["grants", "list", "--json"],
        &["usage", "--json"],
        &["objects", "list", "myorg/web-01", "--json"],
        &["hosts", "disable", "myorg/web-02"],
        &["hosts", "revoke", "myorg/web-02"],
        &["audit", "list", "--last", "1000", "--json"],
        &["audit", "export", "--json"],
        &["contexts", "list", "--json"],
    ] {
        traced.run(&alice, args, "", false);
    }
    for args in [&["status"][..], &["hosts", "me"], &["hosts", "me", "--env"], &["hosts", "list"], &["doctor"]] {
        traced.run(host, args, "", false);
    }
    let rejoin = traced.run(&alice, &["hosts", "rejoin", "myorg/web-02", "--json"], "", true).json();
    traced.search.join_token(&text(&rejoin["join_token"]));
    traced.operator(&["fsck"]);
    let door = Door::direct(traced.world.server.address(), &traced.token(&alice));
    for path in ["whoami", "orgs", "hosts", "usage", "grants", "audit?org=myorg", "openapi.json", "nothing"] {
        let answer = door.get(&format!("/-/api/v1/{path}"));
        traced.answer(path, answer);
    }
    let answer = Door::anonymous(traced.world.server.address()).get("/-/metrics");
    traced.answer("the server's metrics", answer);
}

#[test]
fn the_search_for_secrets_finds_each_kind_that_is_planted() {
    let world = World::start();
    let host = world.host("web-01");
    let token = host.cli.token();
    let join = world.invite("web-02");
    let pem = fs::read_to_string(host.cli.key_file()).expect("a key");
    let mut search = Search::default();
    search.key_file(&host.cli.key_file());
    search.join_token(&join);
    search.secret("the client's own secret", CLIENTS_OWN);
    search.place("nothing", "an innocent line: web-01 1.2.3 kjt1. eyJ.a.b -----BEGIN PUBLIC KEY-----");
    assert_eq!(search.leaks(), [""; 0]);

    let (_, seed) = search.secrets.iter().find(|(what, _)| what == "a private key").cloned().expect("it is listed");
    let secret =
        search.secrets.iter().find(|(what, _)| what == "the secret of a join token").cloned().expect("it is listed").1;
    for planted in [
        token.into_bytes(),
        join.into_bytes(),
        secret,
        pem.into_bytes(),
        seed.clone(),
        hex::encode(&seed).into_bytes(),
        format!("{seed:?}").into_bytes(),
        CLIENTS_OWN.as_bytes().to_vec(),
    ] {
        let line = [b"TRACE a header: \"".as_slice(), &planted, b"\" and so on\n"].concat();
        search.places = vec![("a log".into(), line.clone())];
        assert!(!search.leaks().is_empty(), "not found: {}", String::from_utf8_lossy(&line));
    }
}
