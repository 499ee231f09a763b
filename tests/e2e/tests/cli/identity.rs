//! A host's identity: joining, losing the key, coming back, and files that are not as they should be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::text;
use kheeper_e2e::{Door, Proxy, World, command, unix};

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
        unix::note_not_run("MACHINE-ID", "a_cloned_machine_is_read_only_until_somebody_decides");
        return;
    }
    let original = identity["machine_id"].clone();
    identity["machine_id"] = "0123456789abcdef0123456789abcdef".into();
    fs::write(&file, identity.to_string()).expect("our own file");
    let clone = world.host_proxy(&host);
    assert_eq!(clone.door().get(&host.path("a")).expect(200).body, b"a");
    let refused = clone.door().put(&host.path("a"), b"b").expect_error(403, "AccessDenied");
    let words = "was made on another machine, and two machines must not write the same backups";
    assert!(refused.text().contains(words), "{refused}");
    // Nor is there a way round the proxy: a token to write with, a key that the original has not, the end of read-only.
    for command in [&["auth", "token"][..], &["hosts", "rotate-key"], &["hosts", "resume"]] {
        let refused = host.cli.run(command).failed();
        assert!(refused.code() == 77 && refused.stderr.contains(words), "{command:?}: {refused}");
    }
    let reading = host.cli.ok(&["auth", "token", "--scope", "read"]).stdout;
    let door = Door::direct(world.server.address(), reading.trim());
    assert_eq!(door.get(&host.path("a")).expect(200).body, b"a");
    door.put(&host.path("a"), b"b").expect_error(403, "AccessDenied");

    identity["machine_id"] = original;
    fs::write(&file, identity.to_string()).expect("our own file");
    world.direct(&host.cli).put(&host.path("a"), b"b").expect(200);
}
