//! A server that is elsewhere from one moment to the next: the running proxy finds it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use kheeper_e2e::line::Mode;
use kheeper_e2e::server::{OWN_ORIGIN, free_port};
use kheeper_e2e::wait::{secs, until};
use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, Line, Running, World, proxy, unix};

/// The server's name, which only the proxy's own file of hosts knows.
const NAME: &str = "store.example";
/// Requests at a time, and so pooled connections.
const AT_ONCE: u8 = 4;

/// A proxy that resolves names by a file of its own and by nothing else.
struct Named {
    door: Door,
    hosts: PathBuf,
    running: Running,
}

impl Named {
    /// The server has TLS and is called [`NAME`], at `address` so far.
    fn start(world: &World, host: &Host, origin: &str, address: Ipv4Addr) -> Self {
        let (hosts, switch) = (world.path("hosts"), world.path("nsswitch.conf"));
        std::fs::write(&switch, "hosts: files\n").expect("our own directory");
        std::fs::write(&hosts, "").expect("our own directory");
        let there = world.host_at(host, "named", origin);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        // In a mount namespace of its own, where these two files lie over the machine's.
        let mut command = Command::new("unshare");
        let script =
            "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/nsswitch.conf && shift 2 && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(&hosts).arg(&switch).arg(&there.cli.program);
        command.args(["object-proxy", "--listen", &listen.to_string(), "--ca-file"]);
        command.arg(world.server.data.join("tls/ca.pem")).env("KHEEPER_CONFIG", &there.cli.config).current_dir("/");
        let mut running = Running::start("kheeper object-proxy", command);
        running.wait_for_line("the announcement", secs(20), |line| line.contains(proxy::ANNOUNCEMENT).then_some(()));
        let named = Self { door: Door::proxy(listen), hosts, running };
        named.resolve_to(Some(address));
        named
    }

    /// What the name stands for from now on.
    fn resolve_to(&self, address: Option<Ipv4Addr>) {
        // Written in place: what is mounted is the file, not its name.
        let line = address.map_or_else(String::new, |address| format!("{address} {NAME}\n"));
        std::fs::write(&self.hosts, line).expect("our own file");
    }

    /// So many PUTs at once, and their statuses.
    fn put_at_once(&self, host: &Host, round: u8) -> Vec<u16> {
        thread::scope(|scope| {
            let put = |number| {
                let path = host.path(&format!("at-once/{number}"));
                move || self.door.put(&path, &[round; 50_000]).status
            };
            let puts: Vec<_> = (0..AT_ONCE).map(|number| scope.spawn(put(number))).collect();
            puts.into_iter().map(|put| put.join().expect("no panic")).collect()
        })
    }
}

/// A world whose server has its own certificate for [`NAME`] at `port`, and a host that joined before.
fn world_with_a_name(port: u16) -> (World, Host, String) {
    let mut world = World::start();
    let host = world.host("web-01");
    assert!(world.server.terminate().success());
    let origin = format!("https://{NAME}:{port}");
    world.server.set_options(&["--tls-self-signed", "--origin", &origin]);
    (world, host, origin)
}

const ALL_TAKEN: [u16; AT_ONCE as usize] = [200; AT_ONCE as usize];

#[test]
fn a_server_whose_name_resolves_elsewhere_after_a_restart_is_found_and_costs_nobody_a_request() {
    if !unix::is_root() {
        eprintln!("not root: no file of hosts of its own");
        return;
    }
    let port = free_port();
    let (mut world, host, origin) = world_with_a_name(port);
    let at = |last| Ipv4Addr::new(127, 0, 0, last);
    world.server.listen_on((at(1), port).into());
    world.server.restart();
    let named = Named::start(&world, &host, &origin, at(1));
    assert_eq!(named.put_at_once(&host, 0), ALL_TAKEN);

    for (round, kill) in [(2, false), (3, true)] {
        // With connections in the pool, all of them to where it was.
        assert_eq!(named.put_at_once(&host, round), ALL_TAKEN);
        if kill {
            world.server.kill9()
        } else {
            assert!(world.server.terminate().success())
        }
        // The name is known nowhere for a while: the answer is 503, not the end of the proxy, and it says so.
        named.resolve_to(None);
        let refused = named.door.get(&host.path("at-once/0")).expect_error(503, "ServiceUnavailable");
        assert!(refused.text().contains("does not resolve"), "{refused}");
        world.server.listen_on((at(round), port).into());
        world.server.restart();
        named.resolve_to(Some(at(round)));
        assert_eq!(named.put_at_once(&host, round + 100), ALL_TAKEN);
        let kept = named.door.get(&host.path("at-once/0")).expect(200).body;
        assert!(kept == [round + 100; 50_000]);
    }
    drop(named.running);
}

#[test]
fn a_server_on_another_port_behind_the_same_address_is_found_at_once() {
    let line = Line::new();
    let mut world = World::start_with(&["--origin", OWN_ORIGIN, "--origin", &line.origin()]);
    line.lead_to(world.server.address());
    let host = world.host("web-01");
    let proxy = world.host_proxy(&world.host_at(&host, "behind", &line.origin()));
    let (door, path) = (proxy.door(), host.path("a"));
    for round in 0..3_u8 {
        door.put(&path, &[round; 10_000]).expect(200);
        if round == 1 {
            world.server.kill9()
        } else {
            assert!(world.server.terminate().success())
        }
        world.server.listen_on((Ipv4Addr::LOCALHOST, free_port()).into());
        world.server.restart();
        line.lead_to(world.server.address());
        assert!(door.get(&path).expect(200).body == [round; 10_000]);
        door.put(&path, &[round + 100; 10_000]).expect(200);
    }
}

#[test]
fn an_address_that_vanishes_without_a_word_costs_one_request_per_pooled_connection_at_most() {
    if !unix::is_root() {
        eprintln!("not root: no file of hosts of its own");
        return;
    }
    // The old address is a line to the new one: it can fall silent without a connection being closed.
    let line = Line::new();
    let port = line.address().port();
    let (mut world, host, origin) = world_with_a_name(port);
    let new = Ipv4Addr::new(127, 0, 0, 2);
    world.server.listen_on((new, port).into());
    world.server.restart();
    line.lead_to(world.server.address());
    let named = Named::start(&world, &host, &origin, Ipv4Addr::LOCALHOST);
    assert_eq!(named.put_at_once(&host, 0), ALL_TAKEN);

    line.set(Mode::Silent);
    named.resolve_to(Some(new));
    let began = Instant::now();
    thread::scope(|scope| {
        let at_once = scope.spawn(|| named.put_at_once(&host, 1));
        // One more than there are connections in the pool: whoever finds none gets one of their own, to where the server is now.
        until("the others to wait", secs(20), || (in_flight(&named.door) > u64::from(AT_ONCE)).then_some(()));
        let meanwhile = named.door.put(&host.path("meanwhile"), b"x").status;
        let mut statuses = at_once.join().expect("no panic");
        statuses.push(meanwhile);
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
        let refused = statuses.iter().filter(|status| **status == 503).count();
        assert!(refused <= usize::from(AT_ONCE), "no more than there were connections: {statuses:?}");
        println!("after {:?}: {statuses:?} on connections to an address that is silent", began.elapsed());
    });
    assert_eq!(named.put_at_once(&host, 2), ALL_TAKEN);
    drop(named.running);
}

fn in_flight(door: &Door) -> u64 {
    let metrics = door.get("/-/metrics").expect(200).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("kheeper_proxy_requests_in_flight "));
    line.and_then(|count| count.parse().ok()).expect("the proxy counts what it serves")
}
