//! Who may use the proxy: the local guard, and the owner's proxy with its limits.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use kheeper_e2e::s3::DUMMY_AUTHORIZATION;
use kheeper_e2e::unix::{self, Account};
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Proxy, Request, Running, World, command};

use crate::scene;

#[test]
fn pages_rebound_names_and_other_users_are_refused() {
    let scene = scene();
    let door = scene.proxy.door();
    let (address, port) = (door.address, door.address.port());
    let path = scene.host.path("a");
    door.put(&path, b"a").expect(200);
    for host in
        ["localhost", "127.0.0.1", &format!("localhost:{port}"), &format!("127.0.0.1:{port}"), &format!("[::1]:{port}")]
    {
        assert_eq!(door.request("GET", &path).header("Host", host).send(address).status, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1:1", "localhost.evil.example", "169.254.169.254", ""] {
        let answer = door.request("GET", &path).header("Host", host).send(address);
        assert!(matches!(answer.status, 400 | 403), "{host}: {answer}");
    }
    let virtual_host = door.request("GET", "/a").header("Host", &format!("myorg.localhost:{port}")).send(address);
    assert!(virtual_host.clone().expect(400).text().to_lowercase().contains("path"), "{virtual_host}");
    for (name, value) in [
        ("Origin", "http://localhost"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Dest", "empty"),
    ] {
        let answer = door.request("GET", &path).header(name, value).send(address);
        assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control")), "{answer}");
        answer.expect_error(403, "AccessDenied");
    }
    door.request("GET", &path).header("Sec-Fetch-Mode", "cors").send(address).expect(200);
    let unsigned = Request::new("GET", &path).send(address).expect_error(403, "AccessDenied");
    assert!(unsigned.text().contains("--allow-unsigned"), "it names the flag: {unsigned}");
    let preflight = Request::new("OPTIONS", &path).header("Origin", "http://evil.example").send(address);
    assert!(matches!(preflight.status, 400 | 403 | 405), "{preflight}");
    for path in ["/-/healthz", "/-/readyz", "/-/metrics"] {
        Request::new("GET", path).send(address).expect(200);
    }
    let elsewhere = Request::new("GET", "/-/api/v1/whoami").header("Authorization", DUMMY_AUTHORIZATION).send(address);
    assert_ne!(elsewhere.status, 200, "the control API is not S3: {elsewhere}");
}

#[test]
fn only_the_users_on_the_list_are_admitted() {
    if !unix::is_root_for("only_the_users_on_the_list_are_admitted") {
        return;
    }
    let nobody = Account::named("nobody").expect("every Debian has nobody");
    let world = World::start();
    let host = world.host("web-01");
    let proxy = Proxy::start(&host.cli, &["--allow-user", "root"]);
    let curl = |account: Option<Account>, url: &str| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H"]);
        curl.arg(format!("Authorization: {DUMMY_AUTHORIZATION}")).arg(url).current_dir("/");
        if let Some(account) = account {
            account.apply(&mut curl);
        }
        command::run(curl, secs(20)).ok().stdout
    };
    let url = format!("{}/myorg?list-type=2&prefix=web-01/", proxy.endpoint());
    assert_eq!(curl(None, &url), "200");
    assert_eq!(curl(Some(nobody), &url), "403");

    // A person's proxy is theirs alone, without being told.
    let owner_proxy = world.owner_proxy();
    let url = format!("{}/myorg?list-type=2", owner_proxy.endpoint());
    assert_eq!(curl(None, &url), "200");
    assert_eq!(curl(Some(nobody), &url), "403");
}

#[test]
fn an_owners_proxy_reads_everything_writes_nothing_and_can_be_narrowed() {
    let scene = scene();
    let web_02 = scene.world.host("web-02");
    let path = scene.host.path("a");
    scene.proxy.door().put(&path, b"a").expect(200);
    scene.world.direct(&web_02.cli).put(&web_02.path("b"), b"b").expect(200);
    let owner = scene.world.owner_proxy();
    assert_eq!(owner.door().get(&path).expect(200).body, b"a");
    assert_eq!(owner.door().keys("myorg", "", 1), ["web-01/a", "web-02/b"]);
    owner.door().put(&path, b"x").expect_error(403, "AccessDenied");
    owner.door().delete(&path).expect_error(403, "AccessDenied");
    let batch = owner.door().post("/myorg?delete", &kheeper_e2e::s3::delete_body(["web-01/a"], true));
    batch.expect_error(403, "AccessDenied");

    let narrowed = Proxy::start(&scene.world.alice, &["--only", "myorg/web-02"]);
    assert_eq!(narrowed.door().get(&web_02.path("b")).expect(200).body, b"b");
    narrowed.door().get(&path).expect_error(403, "AccessDenied");
    assert_eq!(narrowed.door().keys("myorg", "", 10), ["web-02/b"]);
    assert_eq!(scene.proxy.door().get(&path).expect(200).body, b"a");
}

/// The status that `curl`, run by `user`, gets.
fn status_for(user: Option<&str>, args: &[&str]) -> String {
    let mut command = Command::new(if user.is_some() { "runuser" } else { "curl" });
    if let Some(user) = user {
        command.args(["-u", user, "--", "curl"]);
    }
    command.args(["-sS", "-g", "-o", "/dev/null", "-w", "%{http_code}", "-H"]);
    command.arg(format!("Authorization: {DUMMY_AUTHORIZATION}")).args(args).current_dir("/");
    command::run(command, secs(20)).ok().stdout
}

#[test]
fn the_sockets_owner_decides_on_ipv4_ipv6_and_a_unix_socket() {
    if !unix::is_root_for("the_sockets_owner_decides_on_ipv4_ipv6_and_a_unix_socket") {
        return;
    }
    let world = World::start();
    let host = world.host("web-01");
    let socket = world.path("proxy.sock").display().to_string();
    let listings = "/myorg?list-type=2&prefix=web-01/";
    let port = kheeper_e2e::server::free_port();
    for (listen, curl) in [
        (format!("127.0.0.1:{port}"), vec![format!("http://127.0.0.1:{port}{listings}")]),
        (format!("[::1]:{port}"), vec![format!("http://[::1]:{port}{listings}")]),
        (format!("unix:{socket}"), vec!["--unix-socket".to_owned(), socket, format!("http://localhost{listings}")]),
    ] {
        let command = host.cli.command(&["object-proxy", "--listen", &listen, "--allow-user", "root,postgres"]);
        let mut proxy = Running::start("kheeper object-proxy", command);
        proxy.wait_for_line("the announcement", secs(20), |line| line.contains("listening on").then_some(()));
        let curl: Vec<&str> = curl.iter().map(String::as_str).collect();
        for (user, status) in [(None, "200"), (Some("postgres"), "200"), (Some("nobody"), "403")] {
            assert_eq!(status_for(user, &curl), status, "{user:?} at {listen}");
        }
        let nobody = Account::named("nobody").expect("every Debian has nobody").uid;
        let said = format!("the socket belongs to uid {nobody}");
        proxy.wait_for_line("the reason in the log", secs(5), |line| line.contains(&said).then_some(()));
    }
}

#[test]
fn a_serving_proxy_holds_no_capability_and_cannot_gain_one() {
    // Without any to begin with, it would prove nothing that none is left.
    if !unix::is_root_for("a_serving_proxy_holds_no_capability_and_cannot_gain_one") {
        return;
    }
    let ours = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let of = |status: &str, set: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(set));
        found.unwrap_or_else(|| panic!("no {set} in\n{status}")).trim().to_owned()
    };
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_ne!(of(&ours, set), "0000000000000000", "what starts the proxy has capabilities to lose: {set}");
    }
    let mut scene = scene();
    let path = scene.host.path("a");
    scene.proxy.door().put(&path, &vec![7; 1 << 20]).expect(200);
    scene.proxy.door().get(&path).expect(200);
    let tasks = format!("/proc/{}/task", scene.proxy.running().pid());
    let mut threads = 0;
    for task in std::fs::read_dir(tasks).expect("it is running").map_while(Result::ok) {
        // A thread of the blocking pool may just have ended.
        let Ok(status) = std::fs::read_to_string(task.path().join("status")) else { continue };
        threads += 1;
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(of(&status, set), "0000000000000000", "{set}\n{status}");
        }
        assert_eq!(of(&status, "NoNewPrivs:"), "1", "{status}");
    }
    assert!(threads > 1, "the main thread and tokio's");
}

#[test]
fn what_would_open_the_door_wider_is_refused_at_start() {
    let world = World::start();
    let host = world.host("web-01");
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let refused = host.cli.run(&["object-proxy", "--listen", listen]).failed();
        assert!(refused.stderr.contains("--allow-remote"), "it names the flag: {refused}");
        assert_eq!(refused.code(), 78, "{refused}");
    }
    std::fs::set_permissions(host.cli.key_file(), std::fs::Permissions::from_mode(0o640)).expect("our own file");
    let refused = host.cli.run(&["object-proxy", "--listen", "127.0.0.1:0"]).failed();
    assert!(refused.stderr.contains("ed25519_private.pem"), "{refused}");
    assert_eq!(refused.code(), 78, "{refused}");
}

#[test]
fn a_persons_proxy_is_for_eight_hours_unless_it_is_told_otherwise_and_a_hosts_has_no_end() {
    let mut scene = scene();
    let mut owner = scene.world.owner_proxy();
    let said = |proxy: &mut Proxy| proxy.running().log();
    assert!(said(&mut owner).contains("ends in 8h (--for)"), "{}", said(&mut owner));
    let mut short = Proxy::start(&scene.world.alice, &["--for", "30m"]);
    assert!(said(&mut short).contains("ends in 30m (--for)"), "{}", said(&mut short));
    assert!(!said(&mut scene.proxy).contains("this proxy ends in"), "{}", said(&mut scene.proxy));
}

#[test]
fn a_persons_proxy_ends_when_its_time_is_over() {
    let world = World::start();
    let mut proxy = Proxy::start(&world.alice, &["--for", "2s"]);
    assert_eq!(proxy.door().keys("myorg", "", 10), Vec::<String>::new());
    assert!(proxy.running().wait(secs(20)).success());
    assert!(proxy.running().log().contains("the time given with --for is over"));
}
