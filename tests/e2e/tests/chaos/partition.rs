//! A host that is cut off: its proxy in a network of its own, on a link that goes down.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use kheeper_e2e::wait::{self, secs, until};
use kheeper_e2e::world::text;
use kheeper_e2e::{Cli, Proxy, Running, World, command, server, unix};

/// How long the link is down unless `KHEEPER_PARTITION_SECONDS` says otherwise; 300 is the long form.
const SECONDS: u64 = 20;
/// Requests at a time, and so pooled connections.
const AT_ONCE: usize = 4;

/// A network namespace at the other end of a link, gone when it is dropped.
struct Network {
    name: String,
    link: String,
    there: Ipv4Addr,
}

fn ip(args: &str) {
    let mut ip = Command::new("ip");
    ip.args(args.split(' '));
    command::run(ip, secs(20)).ok();
}

impl Network {
    fn new() -> Self {
        let id: u16 = rand::random();
        let [third, fourth] = id.to_be_bytes();
        // A pair of addresses out of those that are for measurements between networks.
        let (here, there) =
            (Ipv4Addr::new(198, 18, third, fourth & !3 | 1), Ipv4Addr::new(198, 18, third, fourth & !3 | 2));
        let network = Self { name: format!("kheeper-{id:04x}"), link: format!("kh{id:04x}"), there };
        let Self { name, link, there } = &network;
        ip(&format!("netns add {name}"));
        ip(&format!("link add {link} type veth peer name far netns {name}"));
        ip(&format!("addr add {here}/30 dev {link}"));
        ip(&format!("link set {link} up"));
        ip(&format!("-n {name} addr add {there}/30 dev far"));
        ip(&format!("-n {name} link set far up"));
        ip(&format!("-n {name} link set lo up"));
        network
    }

    /// The far end goes `up` or `down`: here nothing tells of it but silence.
    fn set(&self, state: &str) {
        ip(&format!("-n {} link set far {state}", self.name));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.link]).status();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Joins a host to a server with its own certificate; the proxy's configuration.
pub(crate) fn join(dir: &std::path::Path, origin: &str, pin: &str) -> Cli {
    let bin = dir.join("bin");
    let operator = |args: &[&str]| {
        let mut command = Command::new(bin.join("kheeper-server"));
        command.args(args).arg("--data").arg(dir.join("data"));
        command::run(command, secs(30)).ok()
    };
    let id = text(&operator(&["users", "create", "erin", "--json"]).json()["id"]);
    let erin = Cli::new(&bin, &dir.join("config-erin"));
    let (mut login, token) = erin.begin_login(&id, origin, &["--pin", pin]);
    operator(&["keys", "register", &token, "--yes"]);
    assert!(login.wait(secs(30)).success(), "{}", login.log());
    erin.ok(&["orgs", "create", "myorg"]);
    let token = text(&erin.json(&["hosts", "create", "myorg/web-01"])["join_token"]);
    let host = Cli::new(&bin, &dir.join("config-web-01"));
    host.ok(&["hosts", "join", &token]);
    host
}

#[test]
fn archiving_goes_on_within_a_minute_of_a_partition_and_each_connection_fails_one_request_at_most() {
    if !unix::is_root_for(
        "archiving_goes_on_within_a_minute_of_a_partition_and_each_connection_fails_one_request_at_most",
    ) {
        return;
    }
    let seconds = std::env::var("KHEEPER_PARTITION_SECONDS").ok().map(|text| text.parse().expect("a number"));
    let down = secs(seconds.unwrap_or(SECONDS));
    let network = Network::new();
    let dir = World::directory();
    // The server is at the far end; the proxy, and who asks it, stay here.
    let port = server::free_port();
    let origin = format!("https://{}:{port}", network.there);
    let mut serve = Command::new("ip");
    serve.args(["netns", "exec", &network.name]).arg(dir.path().join("bin/kheeper-server"));
    serve.args(["serve", "--tls-self-signed", "--listen", &format!("{}:{port}", network.there), "--origin", &origin]);
    serve.arg("--data").arg(dir.path().join("data"));
    let mut server = Running::start("kheeper-server", serve);
    server.wait_for_line("the announcement", secs(30), |line| line.contains(server::ANNOUNCEMENT).then_some(()));
    let log = server.log();
    let pin =
        log.split_once("sha256:").map(|(_, digits)| format!("sha256:{}", &digits[..64])).expect("it says its pin");
    let proxy = Proxy::start(&join(dir.path(), &origin, &pin), &[]);
    let door = proxy.door();

    // As many archivers as there will be connections, each trying the same again until it is taken.
    let (stop, archived, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let healed = AtomicBool::new(false);
    let failed_after = AtomicUsize::new(0);
    let archive = |worker: usize| {
        // The proxy keeps a small body and can send it again; a large one is gone when its connection is.
        let body = vec![worker as u8; if worker.is_multiple_of(2) { 20_000 } else { 1 << 20 }];
        let mut segment = 0;
        while !stop.load(Ordering::Relaxed) {
            let path = format!("/myorg/web-01/wal/{worker}-{segment:08}");
            let was_healed = healed.load(Ordering::SeqCst);
            match door.put(&path, &body).status {
                200 => {
                    segment += 1;
                    archived.fetch_add(1, Ordering::SeqCst);
                }
                503 => {
                    failed.fetch_add(1, Ordering::SeqCst);
                    if was_healed {
                        failed_after.fetch_add(1, Ordering::SeqCst);
                    }
                }
                status => panic!("neither taken nor to be tried again: {status}"),
            }
        }
    };
    let resumed = thread::scope(|scope| {
        let _stop = wait::OnDrop(|| stop.store(true, Ordering::Relaxed));
        let archive = &archive;
        (0..AT_ONCE).for_each(|worker| drop(scope.spawn(move || archive(worker))));
        let enough = |more: usize| {
            let aim = archived.load(Ordering::SeqCst) + more;
            until("archiving", secs(60), || (archived.load(Ordering::SeqCst) >= aim).then_some(()));
        };
        enough(40);
        network.set("down");
        // A pause that waits for nothing: it is how long the link is down.
        thread::sleep(down);
        network.set("up");
        let up = Instant::now();
        healed.store(true, Ordering::SeqCst);
        enough(1);
        let resumed = up.elapsed();
        enough(40);
        resumed
    });
    let (failed, failed_after) = (failed.into_inner(), failed_after.into_inner());
    println!(
        "{down:?} without a link: archiving went on {resumed:?} after it was up; {failed} requests failed, {failed_after} of them begun after"
    );
    assert!(failed_after <= AT_ONCE, "{failed_after} requests failed on stale connections");
    let keys = door.keys("myorg", "web-01/wal/", 1000);
    assert_eq!(keys.len(), archived.into_inner(), "what was acknowledged is there");
}
