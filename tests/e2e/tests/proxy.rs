//! The proxy: who may use it, what it passes on, and what it says when the server does not answer.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use kheeper_e2e::s3::DUMMY_AUTHORIZATION;
use kheeper_e2e::server::OWN_ORIGIN;
use kheeper_e2e::unix::{self, Account};
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Body, Door, Proxy, Request, World, command, digest, files};
use rustix::process::Signal;

struct Scene {
    proxy: Proxy,
    host: Host,
    world: World,
}

fn scene() -> Scene {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    Scene { proxy, host, world }
}

#[test]
fn credentials_are_dropped_and_the_hosts_own_are_attached() {
    let scene = scene();
    let door = scene.proxy.door();
    let path = scene.host.path("a");
    door.put(&path, b"a").expect(200);
    let address = door.address;
    for authorization in
        [DUMMY_AUTHORIZATION, "AWS dummy:c2lnbmF0dXJl", "AWS4-HMAC-SHA256 Credential=x,SignedHeaders=host,Signature=y"]
    {
        Request::new("GET", &path).header("Authorization", authorization).send(address).expect(200);
    }
    // Nothing that the client says becomes identity, or takes the identity away.
    let forged = [
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-User", "alice"),
        ("X-Kheeper-Length", "1"),
        ("X-Kheeper-Attempt", "00000000000000000000000000000000"),
        ("Connection", "authorization"),
        ("Connection", "close, x-kheeper-attempt"),
        ("Proxy-Authorization", "Bearer x"),
        ("X-Amz-Security-Token", "dummy"),
        ("X-Amz-Date", "20200101T000000Z"),
        ("TE", "trailers"),
    ];
    for (name, value) in forged {
        let request = door.put_request(&path, b"again").header(name, value);
        assert_eq!(request.send(address).status, 200, "{name}: {value}");
    }
    assert_eq!(door.get(&path).expect(200).body, b"again");
    let bearer = Request::new("GET", &path).header("Authorization", "Bearer forged").send(address);
    bearer.expect_error(403, "AccessDenied");
    let signed = format!(
        "{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Date=b&X-Amz-Expires=1\
         &X-Amz-SignedHeaders=host&X-Amz-Signature=c"
    );
    door.get(&signed).expect(200);
    Request::new("GET", &signed).send(address).expect_error(403, "AccessDenied");
    let hidden = format!("{path}?x-amz-storage-class=GLACIER&x-amz-made-up=1");
    door.get(&hidden).expect_error(501, "NotImplemented");
}

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

#[test]
fn a_server_that_is_down_is_a_503_within_two_seconds() {
    let mut scene = scene();
    let door = scene.proxy.door();
    let path = scene.host.path("a");
    door.put(&path, b"a").expect(200);
    scene.world.server.kill9();
    let big = files::random_bytes(1, 8 << 20);
    let requests = [
        door.request("GET", &path),
        door.put_request(&path, b"small"),
        door.put_request(&path, &big),
        door.put_request(&path, &big).header("Expect", "100-continue"),
        door.request("DELETE", &path),
        door.request("GET", "/myorg?list-type=2&prefix=web-01/"),
        door.request("POST", &format!("{path}?uploads")).body(""),
    ];
    for request in &requests {
        let started = Instant::now();
        let answer = request.send(door.address).expect_error(503, "ServiceUnavailable");
        assert!(started.elapsed() < secs(2), "{} {} took {:?}", request.method, request.target, started.elapsed());
        assert!(answer.header("content-type").is_some_and(|kind| kind.contains("xml")), "{answer}");
    }
    assert_eq!(door.head(&path).status, 503);
    assert_ne!(Request::new("GET", "/-/readyz").send(door.address).status, 200);
    Request::new("GET", "/-/healthz").send(door.address).expect(200);
    let asked = door.put_request(&path, &big).header("Expect", "100-continue").send(door.address);
    assert!(!asked.continued, "nobody was asked to send 8 MiB to nowhere");

    scene.world.server.restart();
    assert_eq!(door.get(&path).expect(200).body, b"a");
    door.put(&path, b"b").expect(200);
}

#[test]
fn a_pooled_connection_that_went_stale_costs_nobody_a_request() {
    let mut scene = scene();
    let door = scene.proxy.door();
    let path = scene.host.path("a");
    for round in 0..3_u8 {
        door.put(&path, &[round; 10_000]).expect(200);
        door.get(&path).expect(200);
        assert!(scene.world.server.terminate().success());
        scene.world.server.restart();
        door.put(&path, &[round + 100; 10_000]).expect(200);
        assert_eq!(door.get(&path).expect(200).body, [round + 100; 10_000]);
    }
}

#[test]
fn a_stopped_server_does_not_hang_the_proxy_for_others_and_answers_when_it_goes_on() {
    let mut scene = scene();
    let door = scene.proxy.door();
    let path = scene.host.path("a");
    door.put(&path, b"a").expect(200);
    scene.world.server.running().signal(Signal::STOP);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| door.get(&path));
        Request::new("GET", "/-/healthz").send(door.address).expect(200);
        scene.world.server.running().signal(Signal::CONT);
        assert_eq!(waiting.join().expect("no panic").expect(200).body, b"a");
    });
}

#[test]
fn a_server_that_dies_while_answering_never_makes_a_short_answer_look_whole() {
    let mut scene = scene();
    let door = scene.proxy.door();
    let path = scene.host.path("big");
    let bytes = files::random_bytes(1, 64 << 20);
    door.put(&path, &bytes).expect(200);
    let mut stream = door.request("GET", &path).open(door.address).expect("the proxy listens");
    // A client that reads slowly: sockets fill, and most of the body is still at the server.
    let mut begun = vec![0; 100_000];
    stream.read_exact(&mut begun).expect("the answer has begun");
    scene.world.server.kill9();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(begun.len() + rest.len() < bytes.len(), "the connection ended before the promised length");
}

#[test]
fn an_interrupted_answer_is_resumed_where_it_stopped() {
    // A relay between the proxy and the server that hangs up after some megabytes, three times. The server is told of
    // the relay's origin, since it accepts tokens for its own origins only.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let origin = format!("http://{}", listener.local_addr().expect("bound"));
    let world = World::start_with(&["--origin", OWN_ORIGIN, "--origin", &origin]);
    let host = world.host("web-01");
    let path = host.path("big");
    let bytes = files::random_bytes(2, 24 << 20);
    world.direct(&host.cli).put(&path, &bytes).expect(200);
    let hung_up = start_relay(listener, world.server.address(), 6 << 20, 3);
    let cli = world.cli("relayed");
    copy_identity(&host, &cli, &world.server.origin(), &origin);
    let read = Proxy::start(&cli, &[]).door().get(&path).expect(200);
    assert!(read.body == bytes, "{} of {} bytes", read.body.len(), bytes.len());
    assert_eq!(hung_up.try_iter().count(), 3, "the relay did hang up");
}

fn copy_identity(host: &Host, cli: &kheeper_e2e::Cli, from: &str, to: &str) {
    let target = cli.context_dir();
    std::fs::create_dir_all(&target).expect("our own directory");
    for file in ["identity.json", "ed25519_private.pem"] {
        std::fs::copy(host.cli.context_dir().join(file), target.join(file)).expect("the host has joined");
    }
    let identity = target.join("identity.json");
    let text = std::fs::read_to_string(&identity).expect("just copied").replace(from, to);
    std::fs::write(&identity, text).expect("just copied");
}

/// A TCP relay that hangs up on the first few connections once they have brought so many bytes.
fn start_relay(listener: TcpListener, server: SocketAddr, after_bytes: usize, times: usize) -> mpsc::Receiver<()> {
    let (sender, hung_up) = mpsc::channel();
    thread::spawn(move || {
        // Only connections that brought that much are counted: what is asked for first is small.
        let left = Arc::new(AtomicUsize::new(times));
        for client in listener.incoming().map_while(Result::ok) {
            let upstream = TcpStream::connect(server).expect("the server listens");
            relay(client, upstream, after_bytes, Arc::clone(&left), sender.clone());
        }
    });
    hung_up
}

fn relay(client: TcpStream, upstream: TcpStream, limit: usize, left: Arc<AtomicUsize>, hung_up: mpsc::Sender<()>) {
    let (mut from_client, mut to_client) = (client.try_clone().expect("a socket"), client);
    let (mut from_server, mut to_server) = (upstream.try_clone().expect("a socket"), upstream);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    thread::spawn(move || {
        let mut passed = 0;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut buffer) {
            passed += count;
            if to_client.write_all(&buffer[..count]).is_err() {
                return;
            }
            let take_one = |left: usize| left.checked_sub(1);
            if passed > limit && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one).is_ok() {
                let _ = hung_up.send(());
                break;
            }
        }
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    });
}

#[test]
fn a_refusal_arrives_without_the_body_and_without_100_continue() {
    let scene = scene();
    let door = scene.proxy.door();
    let big = files::random_bytes(1, 12 << 20);
    let foreign = "/myorg/web-02/a";
    let asked = door.put_request(foreign, &big).header("Expect", "100-continue");
    let mut stream = asked.open(door.address).expect("the proxy listens");
    let answer = kheeper_e2e::http::read_response(&mut BufReader::new(stream.try_clone().expect("a socket")), "PUT");
    let answer = answer.expect("an answer without a byte of body").expect_error(403, "AccessDenied");
    assert!(!answer.continued);
    let _ = stream.write_all(b"x");
    // A client that sends all the same hears the refusal and no reset, up to 16 MiB.
    let told = door.put_request(foreign, &big).send(door.address).expect_error(403, "AccessDenied");
    assert_eq!(told.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"), "{told}");

    let allowed = door.put_request(&scene.host.path("a"), &big).header("Expect", "100-continue");
    let mut stream = allowed.open(door.address).expect("the proxy listens");
    let started = Instant::now();
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let (status, _) = kheeper_e2e::http::read_head(&mut reader).expect("the go-ahead");
    assert_eq!(status, 100);
    assert!(started.elapsed() < Duration::from_millis(900), "clients wait one second for it");
    stream.write_all(&big).expect("the proxy reads");
    let answer = kheeper_e2e::http::read_response(&mut reader, "PUT").expect("an answer").expect(200);
    assert_eq!(answer.header("etag"), Some(format!("\"{}\"", digest::md5_hex(&big)).as_str()));
}

#[test]
fn the_path_goes_through_byte_for_byte() {
    let scene = scene();
    let door = scene.proxy.door();
    let tails =
        ["a%2Fb", "a//b", "./a", "../web-01/a", "%2e%2e/x", "a+b", "a%20b", "a%2Bb", "caf%C3%A9", "seg.", "d/", "%41"];
    for tail in tails {
        let path = scene.host.path(tail);
        door.put(&path, tail.as_bytes()).expect(200);
        assert_eq!(door.get(&path).expect(200).body, tail.as_bytes(), "{tail}");
        let direct = scene.world.direct(&scene.host.cli);
        assert_eq!(direct.get(&path).expect(200).body, tail.as_bytes(), "{tail}");
    }
    let keys = door.keys("myorg", "web-01/", 3);
    assert_eq!(keys.len(), tails.len(), "{keys:?}");
    assert!(keys.contains(&"web-01/../web-01/a".to_owned()));
    door.put(&scene.host.path(&"k".repeat(1024)), b"x").expect_error(400, "KeyTooLongError");
}

#[test]
fn memory_does_not_grow_with_what_streams_through() {
    let mut scene = scene();
    let door = scene.proxy.door();
    let bytes = files::random_bytes(1, 48 << 20);
    thread::scope(|scope| {
        for n in 0..8 {
            let (door, bytes) = (&door, &bytes);
            let path = scene.host.path(&format!("stream/{n}"));
            scope.spawn(move || {
                door.put(&path, bytes).expect(200);
                assert!(door.get(&path).expect(200).body == *bytes);
            });
        }
    });
    let proxy = scene.proxy.running().memory_peak_bytes() >> 20;
    let server = scene.world.server.running().memory_peak_bytes() >> 20;
    assert!(proxy < 96, "the proxy held {proxy} MiB while 8 x 48 MiB went through it, twice");
    assert!(server < 192, "the server held {server} MiB");
}

#[test]
fn no_secret_is_in_any_log() {
    let world = World::start();
    let host = world.host("web-01");
    let mut verbose = Proxy::start(&host.cli, &[]);
    {
        let mut command = verbose.command();
        command.env("RUST_LOG", "trace");
        verbose.running().terminate(secs(20));
        let mut running = kheeper_e2e::Running::start("a talkative proxy", command);
        running.wait_for_line("the announcement", secs(20), |line| {
            line.contains(kheeper_e2e::proxy::ANNOUNCEMENT).then_some(())
        });
        let door = verbose.door();
        door.put(&host.path("a"), b"a").expect(200);
        door.get(&host.path("a")).expect(200);
        door.get("/myorg/web-02/a").expect(403);
        let log = wait::until("the log", secs(5), || Some(running.log()).filter(|log| !log.is_empty()));
        for secret in ["eyJ", "PRIVATE KEY", "Signature=0000"] {
            assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
        }
    }
}

#[test]
fn a_user_without_a_declared_body_is_no_reason_to_wait() {
    let scene = scene();
    let door: Door = scene.proxy.door();
    // A PUT with neither length nor chunks has an empty body in HTTP/1.1.
    let put = door.request("PUT", &scene.host.path("empty")).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let answer = put.framed(Body::None).send(door.address);
    assert!(matches!(answer.status, 200 | 411), "{answer}");
}
