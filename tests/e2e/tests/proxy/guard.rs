//! Who may use the proxy: the local guard, and the owner's proxy with its limits.

use kheeper_e2e::s3::DUMMY_AUTHORIZATION;
use kheeper_e2e::unix::{self, Account};
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Proxy, Request, World, command};

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
    let Some(nobody) = Account::named("nobody").filter(|_| unix::is_root()) else {
        eprintln!("not root: nobody else to be");
        return;
    };
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
