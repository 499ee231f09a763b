//! The command line: identities from their first key to their last day, and every way to start wrongly.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::text;
use kheeper_e2e::{Door, Proxy, Running, World, command};

#[test]
fn the_eight_lines_are_byte_for_byte_and_need_no_server() {
    let mut world = World::start();
    let host = world.host("web-01");
    world.server.kill9();
    let lines = "AWS_ACCESS_KEY_ID=dummy\n\
                 AWS_SECRET_ACCESS_KEY=dummy\n\
                 AWS_REGION=us-east-1\n\
                 AWS_DEFAULT_REGION=us-east-1\n\
                 AWS_ENDPOINT=http://127.0.0.1:5000\n\
                 WALG_S3_PREFIX=s3://myorg/web-01\n\
                 AWS_S3_FORCE_PATH_STYLE=true\n\
                 WALG_S3_FORCE_PATH_STYLE=true\n";
    assert_eq!(host.cli.ok(&["hosts", "me", "--env"]).stdout, lines);
    assert_eq!(host.cli.ok(&["hosts", "me", "--env=walg"]).stdout, lines);
    let elsewhere = host.cli.ok(&["hosts", "me", "--env", "--endpoint", "http://127.0.0.1:5999"]).stdout;
    assert_eq!(elsewhere, lines.replace(":5000", ":5999"));
    let prefixed = host.cli.ok(&["hosts", "me", "--env", "--prefix", "pg16-main"]).stdout;
    assert_eq!(prefixed, lines.replace("/web-01\n", "/web-01/pg16-main\n"));
    let whose = world.alice.ok(&["hosts", "me", "--env", "--host", "myorg/web-01"]).stdout;
    assert_eq!(whose, lines);
    let restic = host.cli.ok(&["hosts", "me", "--env=restic"]).stdout;
    assert!(restic.contains("RESTIC_REPOSITORY=s3:http://127.0.0.1:5000/myorg/web-01\n"), "{restic}");
    let rclone = host.cli.ok(&["hosts", "me", "--env=rclone"]).stdout;
    assert!(rclone.starts_with("[myorg-host]\ntype = s3\n"), "{rclone}");
    assert!(host.cli.ok(&["hosts", "me", "--env=aws"]).stdout.contains("AWS_ENDPOINT_URL=http://127.0.0.1:5000\n"));
    let unknown = host.cli.run(&["hosts", "me", "--env=tar"]).failed();
    assert!(unknown.stderr.contains("restic"), "it names what there is: {unknown}");
    assert_eq!(text(&host.cli.json(&["hosts", "me"])["host"]), "web-01");
}

#[test]
fn an_identity_lives_from_join_to_revocation_and_back() {
    let world = World::start();
    let token = world.invite("web-01");
    let cli = world.cli("web-01");
    let joined = cli.ok(&["hosts", "join", &token]);
    assert!(joined.text().contains("myorg") && joined.text().contains(&world.server.origin()), "{joined}");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&cli.key_file()), 0o600);
    assert_eq!(mode(&cli.context_dir()), 0o755);
    assert_eq!(mode(&cli.context_dir().join("identity.json")), 0o644);
    let identity: serde_json::Value =
        serde_json::from_slice(&fs::read(cli.context_dir().join("identity.json")).expect("it joined")).expect("JSON");
    assert_eq!((text(&identity["kind"]), text(&identity["host"])), ("host".into(), "web-01".into()));
    assert!(fs::read_to_string(cli.key_file()).expect("it joined").starts_with("-----BEGIN PRIVATE KEY-----"));

    // The same key may repeat; another one loses; an identity is never replaced by accident.
    let other = world.cli("thief");
    other.run(&["hosts", "join", &token]).failed();
    assert!(!other.context_dir().join("identity.json").exists());
    let second = world.invite("web-02");
    cli.run(&["hosts", "join", &second]).failed();
    assert_eq!(text(&cli.json(&["hosts", "me"])["host"]), "web-01");

    let door = world.direct(&cli);
    door.put("/myorg/web-01/a", b"a").expect(200);
    assert!(cli.ok(&["status"]).text().contains("web-01"));
    world.alice.ok(&["hosts", "revoke", "myorg/web-01"]);
    wait::until("the end of the key", secs(6), || (door.get("/myorg/web-01/a").status == 403).then_some(()));
    let status = cli.run(&["status"]).failed();
    assert!(status.text().contains("revoked"), "{status}");

    // A dead host comes back: read-only, until it says that it has restored.
    let again = text(&world.alice.json(&["hosts", "rejoin", "myorg/web-01"])["join_token"]);
    let reborn = world.cli("web-01-reborn");
    let words = reborn.ok(&["hosts", "join", &again]);
    assert!(words.text().contains("resume"), "it says what to do: {words}");
    let door = world.direct(&reborn);
    assert_eq!(door.get("/myorg/web-01/a").expect(200).body, b"a");
    let refused = door.put("/myorg/web-01/a", b"b").expect_error(403, "AccessDenied");
    assert!(refused.text().contains("resume"), "{refused}");
    door.delete("/myorg/web-01/a").expect_error(403, "AccessDenied");
    reborn.ok(&["hosts", "resume"]);
    wait::until("writing to be allowed", secs(6), || (door.put("/myorg/web-01/a", b"b").status == 200).then_some(()));
}

#[test]
fn join_tokens_come_from_anywhere_and_bad_ones_say_what_is_wrong() {
    let world = World::start();
    let (one, two) = (world.invite("web-01"), world.invite("web-02"));
    let from_file = world.cli("file");
    let file = world.path("token");
    fs::write(&file, format!("{one}\n")).expect("our own directory");
    from_file.ok(&["hosts", "join", file.to_str().expect("text")]);
    let from_input = world.cli("input");
    command::run_with_input(from_input.command(&["hosts", "join", "-"]), two.as_bytes(), secs(30)).ok();
    assert_eq!(text(&from_input.json(&["hosts", "me"])["host"]), "web-02");
    let nowhere = world.cli("nowhere");
    for bad in ["kjt1.AAAA", "abc", "", "kjt9.e30"] {
        nowhere.run(&["hosts", "join", bad]).failed();
    }
    // A spent or made-up secret.
    nowhere.run(&["hosts", "join", &one]).failed();
    assert!(!nowhere.context_dir().join("identity.json").exists());
}

#[test]
fn a_host_can_be_made_from_a_public_key_file() {
    let world = World::start();
    let private = world.path("key.pem");
    let public = world.path("pub.pem");
    let openssl = |args: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.args(args);
        command::run(openssl, secs(20)).ok();
    };
    let (private, public) = (private.to_str().expect("text"), public.to_str().expect("text"));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", private]);
    openssl(&["pkey", "-in", private, "-pubout", "-out", public]);
    let made = world.alice.json(&["hosts", "create", "myorg/web-01", "--public-key-file", public]);
    let made = if made["host"].is_object() { made["host"].clone() } else { made };
    assert_eq!(text(&made["keys"][0]["state"]), "pending");
    openssl(&["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private]);
    openssl(&["pkey", "-in", private, "-pubout", "-out", public]);
    world.alice.run(&["hosts", "create", "myorg/web-02", "--public-key-file", public]).failed();
}

#[test]
fn hosts_are_listed_with_the_age_of_what_they_last_did() {
    let world = World::start();
    let (web_01, _silent) = (world.host("web-01"), world.host("web-02"));
    world.direct(&web_01.cli).put(&web_01.path("a"), &[1; 5000]).expect(200);
    let sentinel = "basebackups_005/base_000000010000000000000002_backup_stop_sentinel.json";
    world.direct(&web_01.cli).put(&web_01.path(sentinel), b"{}").expect(200);
    let hosts = world.alice.json(&["hosts", "list"]);
    let hosts = hosts.as_array().expect("a list");
    let find = |name: &str| hosts.iter().find(|host| host["host"] == name).expect("it is listed");
    assert_eq!(find("web-01")["current_bytes"], 5002);
    assert_eq!(find("web-01")["objects"], 2);
    assert!(find("web-01")["last_object_at"].is_number() && find("web-01")["last_base_backup_at"].is_number());
    assert!(find("web-02")["last_object_at"].is_null());
    let table = world.alice.ok(&["hosts", "list"]).stdout;
    assert!(table.contains("web-01") && table.contains("web-02"), "{table}");
    let stale = world.alice.run(&["hosts", "list", "--stale", "26h"]).failed();
    assert!(stale.text().contains("web-02"), "{stale}");
    assert_eq!(text(&world.alice.json(&["hosts", "get", "myorg/web-01"])["state"]), "active");
}

#[test]
fn a_deleted_host_keeps_its_backups_for_the_owner() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    door.put(&host.path("a"), b"kept").expect(200);
    world.alice.run(&["hosts", "delete", "myorg/web-01"]).failed();
    door.get(&host.path("a")).expect(200);
    let refused = world.alice.run(&["hosts", "delete", "myorg/web-01", "--with-backups", "web-02"]).failed();
    assert!(!refused.stderr.is_empty());
    world.alice.ok(&["hosts", "delete", "myorg/web-01", "--with-backups", "web-01"]);
    wait::until("the end of the host", secs(6), || (door.get(&host.path("a")).status == 403).then_some(()));
    assert_eq!(world.direct(&world.alice).get(&host.path("a")).expect(200).body, b"kept");
    world.alice.run(&["hosts", "create", "myorg/web-01"]).failed();
    world.alice.ok(&["hosts", "undelete", "myorg/web-01"]);
    let empty = world.host("web-03");
    world.alice.ok(&["hosts", "delete", "myorg/web-03"]);
    drop(empty);
}

#[test]
fn people_log_in_list_and_switch_contexts() {
    let world = World::start();
    let orgs = world.alice.json(&["orgs", "list"]);
    assert_eq!(orgs[0]["name"], "myorg");
    assert!(world.alice.run(&["orgs", "create", "myorg"]).failed().code() != 0);
    world.alice.run(&["orgs", "create", "ab"]).failed();
    let id = world.create_user("carol");
    let (mut login, token) = world.alice.begin_login(&id, &world.server.origin(), &["--context", "carol"]);
    let registered = world.server.operator(&["keys", "register", &token, "--yes"]).ok();
    assert!(login.wait(secs(30)).success(), "{}", login.log());
    // Both sides show the same fingerprint, for two people on the telephone.
    let log = login.log();
    let same = log.split(|c: char| c.is_whitespace()).any(|word| {
        word.len() >= 16 && !word.starts_with("eyJ") && !word.contains(&id) && registered.text().contains(word)
    });
    assert!(same, "{log}\n{registered}");
    let contexts = world.alice.json(&["contexts", "list"]).to_string();
    assert!(contexts.contains("carol") && contexts.contains("default"), "{contexts}");
    world.alice.ok(&["contexts", "set", "carol"]);
    let by_default = world.alice.ok(&["auth", "token"]).stdout;
    let carol = kheeper_e2e::token::Token::parse(&by_default);
    assert_eq!(carol.claims["sub"], id.as_str());
    let explicit = world.alice.ok(&["--context", "default", "auth", "token"]).stdout;
    assert_ne!(kheeper_e2e::token::Token::parse(&explicit).claims["sub"], id.as_str());
    let door = Door::direct(world.server.address(), by_default.trim());
    door.get("/myorg?list-type=2").expect_error(403, "AccessDenied");
    let users = world.server.operator_json(&["users", "list"]);
    assert_eq!(users.as_array().map(Vec::len), Some(2));
    let keys = world.server.operator_json(&["keys", "list"]);
    assert_eq!(keys.as_array().map(Vec::len), Some(2));
    world.server.operator(&["users", "create", "carol"]).failed();
    world.server.operator(&["users", "create", "Not A Name"]).failed();
}

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
fn the_operator_needs_no_running_server_and_leaves_no_foreign_files() {
    let mut world = World::start();
    assert!(world.server.terminate().success());
    let id = world.create_user("dave");
    assert!(id.starts_with("usr_"));
    world.server.operator(&["fsck"]).ok();
    world.server.restart();
    assert!(world.server.operator(&["users", "list"]).ok().stdout.contains("dave"));
}

#[test]
fn an_identity_that_is_missing_readable_or_of_elsewhere_is_refused_with_its_reason() {
    let world = World::start();
    let host = world.host("web-01");
    let proxy =
        |cli: &kheeper_e2e::Cli| command::run(cli.command(&["object-proxy", "--listen", "127.0.0.1:0"]), secs(20));
    let missing = proxy(&world.cli("nobody")).failed();
    assert!(missing.stderr.contains("identity") || missing.stderr.contains("join"), "{missing}");

    let key = host.cli.key_file();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("our own file");
    let readable = proxy(&host.cli).failed();
    assert!(readable.stderr.contains("ed25519_private.pem"), "{readable}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("our own file");
    let good = fs::read(&key).expect("our own file");
    fs::write(&key, "not a key").expect("our own file");
    proxy(&host.cli).failed();
    fs::write(&key, good).expect("our own file");

    let file = host.cli.context_dir().join("identity.json");
    let identity = fs::read_to_string(&file).expect("our own file");
    fs::write(&file, "{").expect("our own file");
    assert!(proxy(&host.cli).failed().stderr.contains("identity.json"));
    // Of another server: it starts, and every request says what is wrong.
    let elsewhere = World::start();
    fs::write(&file, identity.replace(&world.server.origin(), &elsewhere.server.origin())).expect("our own file");
    let lost = Proxy::start(&host.cli, &[]);
    lost.door().get(&host.path("a")).expect_error(403, "AccessDenied");
    fs::write(&file, &identity).expect("our own file");
    world.host_proxy(&host).door().put(&host.path("a"), b"a").expect(200);
    // A plain-http origin elsewhere than on this machine would show the token to the network.
    fs::write(&file, identity.replace(&world.server.origin(), "http://192.0.2.1:80")).expect("our own file");
    proxy(&host.cli).failed();
}

#[test]
fn a_cloned_machine_is_read_only_until_somebody_decides() {
    let world = World::start();
    let host = world.host("web-01");
    world.direct(&host.cli).put(&host.path("a"), b"a").expect(200);
    let file = host.cli.context_dir().join("identity.json");
    let mut identity: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).expect("our own file")).expect("JSON");
    if !identity["machine_id"].is_string() {
        eprintln!("this machine has no /etc/machine-id: nothing to compare");
        return;
    }
    identity["machine_id"] = "0123456789abcdef0123456789abcdef".into();
    fs::write(&file, identity.to_string()).expect("our own file");
    let clone = world.host_proxy(&host);
    assert_eq!(clone.door().get(&host.path("a")).expect(200).body, b"a");
    let refused = clone.door().put(&host.path("a"), b"b").expect_error(403, "AccessDenied");
    assert!(refused.text().contains("machine"), "{refused}");
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
    let pin = log.split_whitespace().find(|word| word.contains("sha256")).map(str::to_owned);
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
    let pin = pin.trim_matches(|c: char| matches!(c, ',' | '.' | '"')).to_owned();
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
fn usage_is_shown_and_priced() {
    let dir = World::directory();
    let prices = dir.path().join("prices.toml");
    let data = dir.path().join("data");
    let example = include_str!("prices.toml");
    fs::write(&prices, example).expect("our own directory");
    let world = World::start_in(dir, &data, &["--prices", prices.to_str().expect("text")]);
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    door.put(&host.path("a"), &[1; 100_000]).expect(200);
    door.put(&host.path("a"), &[2; 50_000]).expect(200);
    door.put(&host.path("b"), &[3; 10]).expect(200);
    door.delete(&host.path("b")).expect(204);
    door.get(&host.path("a")).expect(200);
    let usage = world.alice.json(&["usage", "--org", "myorg"]);
    let record = usage.as_array().and_then(|records| records.last()).cloned().expect("a record");
    assert_eq!((record["current_bytes"].as_u64(), record["hidden_bytes"].as_u64()), (Some(50_000), Some(100_010)));
    assert_eq!(record["ingress_bytes"].as_u64(), Some(150_010), "{record}");
    assert_eq!(record["egress_bytes"].as_u64(), Some(50_000), "{record}");
    assert_eq!((record["write_requests"].as_u64(), record["delete_requests"].as_u64()), (Some(3), Some(1)));
    assert!(record["cost"]["total"].is_number(), "{record}");
    let table = world.alice.ok(&["usage", "--org", "myorg"]).stdout;
    assert!(table.contains("GiB") && table.contains("web-01"), "{table}");
    host.cli.ok(&["usage"]);
    host.cli.run(&["usage", "--host", "myorg/web-02"]).failed();
    world.server.operator(&["fsck"]).ok();
}

#[test]
fn what_is_not_built_yet_says_so() {
    let world = World::start();
    for args in [vec!["drill"], vec!["audit"], vec!["grants", "list"]] {
        let done = world.alice.run(&args).failed();
        assert!(done.stderr.to_lowercase().contains("not built yet"), "{done}");
    }
}
