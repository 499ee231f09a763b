//! Joining: each way in which it can fail says which one it was and what to do, and leaves everything as it was.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
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

#[test]
fn an_expired_token_says_so_and_how_to_get_another() {
    let mut world = World::start();
    let token = world.invite("web-01");
    world.change_index("UPDATE join_token SET expires_at = 1");
    let cli = world.cli("web-01");
    refused(&cli, &token, 77, &["expired", "hosts rejoin"]);
    let again = text(&world.alice.json(&["hosts", "rejoin", "myorg/web-01"])["join_token"]);
    // The one before is void from now on, whatever its time.
    refused(&cli, &token, 77, &["newer"]);
    cli.ok(&["hosts", "join", &again]);
}

#[test]
fn a_used_token_says_that_somebody_else_may_have_used_it() {
    let mut world = World::start();
    let token = world.invite("web-01");
    world.cli("first").ok(&["hosts", "join", &token]);
    refused(&world.cli("second"), &token, 5, &["another key has joined", "revoke"]);
    // Used is what it stays, also when its time is over.
    world.change_index("UPDATE join_token SET expires_at = 1");
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
    assert!(in_the_way.stderr.contains("this token is for host myorg/web-02"), "{in_the_way}");
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
    let nowhere = Cli::new(&world.bin(), Path::new("/proc/kheeper"));
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

/// Every file of the context, and what is in it.
fn files(cli: &Cli) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(cli.context_dir()).expect("a context");
    let files = files.map(|file| file.expect("an entry").path());
    files
        .map(|path| {
            (path.file_name().expect("a name").to_string_lossy().into_owned(), fs::read(&path).expect("a file"))
        })
        .collect()
}

/// The same command once more ends well, says that it was done, and leaves everything as it was.
#[track_caller]
fn joins_again(cli: &Cli, args: &[&str]) {
    let before = files(cli);
    let again = cli.ok(args);
    assert!(again.stderr.contains("has joined with this token already"), "{again}");
    assert_eq!(again.stdout.trim(), "myorg/web-01");
    assert_eq!(files(cli), before);
    cli.ok(&["status"]);
}

#[test]
fn joining_again_with_the_same_token_says_that_it_was_done_and_changes_nothing() {
    let mut world = World::start();
    let token = world.invite("web-01");
    let cli = world.cli("web-01");
    let first = cli.json(&["hosts", "join", &token]);
    joins_again(&cli, &["hosts", "join", &token]);
    assert_eq!(cli.json(&["hosts", "join", &token]), first);
    // There is nothing to replace either.
    joins_again(&cli, &["hosts", "join", &token, "--replace"]);
    world.change_index("UPDATE join_token SET expires_at = 1");
    world.server.operator(&["sweep"]).ok();
    joins_again(&cli, &["hosts", "join", &token]);
    // A key that has taken the place of the first one is of the same host.
    cli.ok(&["hosts", "rotate-key"]);
    joins_again(&cli, &["hosts", "join", &token]);
}

#[test]
fn joining_again_says_no_where_the_server_does() {
    let world = World::start();
    let token = world.invite("web-01");
    let cli = world.cli("web-01");
    cli.ok(&["hosts", "join", &token]);
    world.alice.ok(&["hosts", "disable", "myorg/web-01"]);
    let disabled = cli.run(&["hosts", "join", &token]).failed();
    assert!(disabled.code() == 77 && disabled.stderr.contains("disabled"), "{disabled}");
    assert!(disabled.stderr.contains("has joined with this token"), "{disabled}");
    world.alice.ok(&["hosts", "enable", "myorg/web-01"]);
    joins_again(&cli, &["hosts", "join", &token]);
    world.alice.ok(&["hosts", "revoke", "myorg/web-01"]);
    let revoked = cli.run(&["hosts", "join", &token]).failed();
    assert!(revoked.code() == 5 && revoked.stderr.contains("revoked"), "{revoked}");
    assert!(cli.context_dir().join("identity.json").exists());
}

#[test]
fn a_new_token_for_the_host_that_is_here_is_not_used_up_without_replace() {
    let world = World::start();
    let old = world.invite("web-01");
    let cli = world.cli("web-01");
    cli.ok(&["hosts", "join", &old]);
    let before = files(&cli);
    let new = text(&world.alice.json(&["hosts", "rejoin", "myorg/web-01"])["join_token"]);
    let unused = cli.run(&["hosts", "join", &new]).failed();
    assert!(unused.code() == 5 && unused.stderr.contains("not used yet"), "{unused}");
    assert!(unused.stderr.contains("--replace"), "{unused}");
    let replaced = cli.run(&["hosts", "join", &old]).failed();
    assert!(replaced.code() == 77 && replaced.stderr.contains("newer"), "{replaced}");
    assert_eq!(files(&cli), before);
    world.direct(&cli).put("/myorg/web-01/a", b"the old key counts").expect(200);

    cli.ok(&["hosts", "join", &new, "--replace"]);
    assert_ne!(files(&cli)["ed25519_private.pem"], before["ed25519_private.pem"]);
    joins_again(&cli, &["hosts", "join", &new]);
    joins_again(&cli, &["hosts", "join", &new, "--replace"]);
}

#[test]
fn a_token_that_another_machine_used_leaves_the_identity_of_this_one_alone() {
    let world = World::start();
    let old = world.invite("web-01");
    let (here, elsewhere) = (world.cli("here"), world.cli("elsewhere"));
    here.ok(&["hosts", "join", &old]);
    let before = files(&here);
    let new = text(&world.alice.json(&["hosts", "rejoin", "myorg/web-01"])["join_token"]);
    elsewhere.ok(&["hosts", "join", &new]);
    let late = here.run(&["hosts", "join", &new]).failed();
    assert!(late.code() == 5 && late.stderr.contains("revoked"), "{late}");
    let late = here.run(&["hosts", "join", &new, "--replace"]).failed();
    assert!(late.code() == 5 && late.stderr.contains("another key has joined"), "{late}");
    assert_eq!(files(&here), before);
    elsewhere.ok(&["status"]);
}

#[test]
fn a_clone_has_not_joined() {
    let world = World::start();
    let token = world.invite("web-01");
    let cli = world.cli("web-01");
    cli.ok(&["hosts", "join", &token]);
    let identity = cli.context_dir().join("identity.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&identity).expect("it has joined")).expect("JSON");
    json["machine_id"] = Value::from("0123456789abcdef0123456789abcdef");
    fs::write(&identity, json.to_string()).expect("it is ours");
    let clone = cli.run(&["hosts", "join", &token]).failed();
    assert!(clone.code() == 5 && clone.stderr.contains("another machine"), "{clone}");
}

/// What joining does that another process, the disk or the server could see.
const STEPS: &str = "mkdir,mkdirat,write,writev,fsync,fdatasync,chmod,fchmod,rename,renameat,renameat2,unlink,unlinkat,connect,\
                     sendto,sendmsg,recvfrom,recvmsg";

/// `kheeper …` under strace.
fn traced(cli: &Cli, options: &[&str], log: &Path, args: &[&str]) -> Done {
    let command = cli.command(args);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-s", "128", "-o"]).arg(log).args(options);
    strace.arg(command.get_program()).args(command.get_args()).current_dir("/");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    command::run(strace, secs(60))
}

/// Kills `kheeper hosts join TOKEN …` just before its first step, its second, and so on, until one run ends well; each time
/// the same command then finishes what was begun. `host` makes the command line and the arguments of a try.
fn killed_before_each_step(world: &World, host: impl Fn(u32) -> (Cli, Vec<String>)) {
    let log = world.path("strace.log");
    let (mut kills, mut with_identity) = (0, 0);
    for step in 1..200 {
        let (cli, args) = host(step);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let trace = format!("trace={STEPS}");
        let inject = format!("inject={STEPS}:signal=KILL:when={step}");
        let first = traced(&cli, &["-e", &trace, "-e", &inject], &log, &args);
        if first.status.success() {
            assert!(kills > 15, "only {kills} steps: is this all that joining does?\n{}", read(&log));
            assert!(with_identity > 0, "never killed after the last step that counts");
            return;
        }
        assert!(read(&log).contains("killed by SIGKILL"), "step {step}: {first}\n{}", read(&log));
        kills += 1;
        with_identity += u32::from(cli.context_dir().join("identity.json").exists());
        let again = cli.run(&args);
        assert!(again.status.success(), "after a kill before step {step}: {again}\n{}", read(&log));
        let names: Vec<String> = files(&cli).into_keys().collect();
        assert_eq!(names, ["ed25519_private.pem", "identity.json"], "after a kill before step {step}");
        let status = cli.json(&["status"]);
        assert_eq!(status["identity"]["host"], format!("step-{step}"), "{status}");
        cli.ok(&args);
    }
    panic!("it never ended well");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("strace writes its log")
}

#[test]
fn a_join_that_is_killed_before_any_of_its_steps_is_finished_by_the_same_command() {
    let world = World::start();
    killed_before_each_step(&world, |step| {
        let name = format!("step-{step}");
        let token = world.invite(&name);
        (world.cli(&name), vec!["hosts".into(), "join".into(), token])
    });
}

#[test]
fn a_join_that_replaces_an_identity_is_finished_by_the_same_command_too() {
    let world = World::start();
    killed_before_each_step(&world, |step| {
        let name = format!("step-{step}");
        let cli = world.host(&format!("old-{step}")).cli;
        let token = world.invite(&name);
        (cli, vec!["hosts".into(), "join".into(), token, "--replace".into()])
    });
}

#[test]
fn the_key_and_its_name_are_synced_before_the_server_hears_of_it() {
    let world = World::start();
    let token = world.invite("web-01");
    let cli = world.cli("web-01");
    let log = world.path("strace.log");
    traced(
        &cli,
        &["-e", "trace=fsync,rename,renameat,renameat2,sendto,write,writev"],
        &log,
        &["hosts", "join", &token],
    )
    .ok();
    let log = read(&log);
    let after = |start: usize, what: &str, words: &[&str]| {
        let lines = log.lines().enumerate().skip(start);
        let mut found = lines.filter(|(_, line)| words.iter().all(|word| line.contains(word)));
        found.next().unwrap_or_else(|| panic!("{what} does not come after line {start}:\n{log}")).0
    };
    let key = after(0, "the sync of the key", &["fsync(", "pending-", ".pem.new"]);
    let named = after(key, "its name", &["rename", "pending-"]);
    let directory = after(named, "the sync of its directory", &["fsync(", "/default>"]);
    after(directory, "the call", &["POST /-/api/v1/join"]);
    assert_eq!(log.matches("POST /-/api/v1/join").count(), 1, "{log}");
}
