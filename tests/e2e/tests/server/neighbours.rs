//! Neighbours do not starve each other: what one host does too much of is refused to it, and to nobody else.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kheeper_e2e::http::Body;
use kheeper_e2e::s3::Door;
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::{World, files};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long each of `count` PUTs and GETs took, each on a connection of its own. All of them succeed.
fn quiet_requests(door: &Door, path: &str, bytes: &[u8], count: usize) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        door.put(path, bytes).expect(200);
        took.push(began.elapsed());
        let began = Instant::now();
        assert!(door.get(path).expect(200).body == bytes);
        took.push(began.elapsed());
    }
    took.sort();
    took
}

fn show(what: &str, took: &[Duration]) {
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].as_secs_f64() * 1000.0;
    println!("{what}: p50 {:.1} ms, p99 {:.1} ms of {} requests", at(50), at(99), took.len());
}

#[test]
fn the_excess_of_a_flood_is_told_to_slow_down_and_the_host_beside_it_is_not() {
    let world = World::start_with(&["--requests-per-caller", "8"]);
    let (flood, quiet) = (world.host("flood"), world.host("quiet"));
    let (flood_door, quiet_door) = (world.direct(&flood.cli), world.direct(&quiet.cli));
    let bytes = files::random_bytes(1, 64 * 1024);
    show("alone", &quiet_requests(&quiet_door, &quiet.path("a"), &bytes, 50));

    let (stop, refused, written) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let beside = thread::scope(|scope| {
        for n in 0..64 {
            let (door, host, stop, refused, written) = (&flood_door, &flood, &stop, &refused, &written);
            scope.spawn(move || {
                let body = files::random_bytes(n, 64 * 1024);
                while !stop.load(Ordering::Relaxed) {
                    let answer = door.put(&host.path(&format!("{n}")), &body);
                    if answer.status == 200 {
                        written.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let answer = answer.expect_error(503, "SlowDown");
                        assert_eq!(answer.header("retry-after"), None, "wal-g would add it to its own back-off");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        wait::until("the flood to be refused something", secs(30), || {
            (refused.load(Ordering::Relaxed) > 0 && written.load(Ordering::Relaxed) > 0).then_some(())
        });
        let took = quiet_requests(&quiet_door, &quiet.path("a"), &bytes, 100);
        stop.store(true, Ordering::Relaxed);
        took
    });
    show("beside a flood of 64", &beside);
    println!("the flood: {written:?} written, {refused:?} told to slow down");
    let metrics = Door::anonymous(world.server.address()).get("/-/metrics").expect(200).text();
    assert!(metrics.contains("kheeper_refused_total{reason=\"requests\"}"), "{metrics}");
}

#[test]
fn bodies_that_never_end_hold_their_own_hosts_places_only() {
    let world = World::start_with(&["--requests-per-caller", "8", "--requests-max", "16"]);
    let (flood, quiet) = (world.host("flood"), world.host("quiet"));
    let (flood_door, quiet_door) = (world.direct(&flood.cli), world.direct(&quiet.cli));
    let stalled: Vec<TcpStream> = (0..16)
        .map(|n| {
            let body = Body::Declared { length: 100_000, bytes: Vec::new() };
            let put = flood_door.request("PUT", &flood.path(&format!("{n}"))).framed(body);
            let mut stream = put.open(flood_door.address).expect("it listens");
            stream.write_all(b"a").expect("it is connected");
            stream
        })
        .collect();
    wait::until("the flood's places and its line to be full", secs(30), || {
        let answer = flood_door.request("GET", &flood.path("a")).try_send(flood_door.address).ok()?;
        (answer.status == 503).then_some(answer)
    })
    .expect_error(503, "SlowDown");
    quiet_requests(&quiet_door, &quiet.path("a"), b"quiet", 20);
    drop(stalled);
    wait::until("the flood's places to be free again", secs(30), || {
        (flood_door.get(&flood.path("a")).status == 404).then_some(())
    });
}

#[test]
fn the_parallelism_of_real_clients_is_not_refused() {
    let world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    // s5cmd: 256 at a time; and every one of them may list.
    thread::scope(|scope| {
        for n in 0..256_u64 {
            let (door, host) = (&door, &host);
            scope.spawn(move || {
                door.put(&host.path(&format!("{n}")), &files::random_bytes(n, 20_000)).expect(200);
                door.request("GET", "/myorg?list-type=2&prefix=web-01/").send(door.address).expect(200);
            });
        }
    });
    assert_eq!(door.keys("myorg", "web-01/", 1000).len(), 256);
}

/// From accept to a complete head, which is what is promised, and what a busy machine may take to notice.
const SILENCE_MAX: Duration = secs(30 + 5);

#[test]
fn thousands_of_silent_connections_keep_nobody_out_and_end_thirty_seconds_after_they_began() {
    const SOCKETS: usize = 5000;
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })
        .expect("a limit may be raised to the hard one");
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    // Each with the time by which it must have ended.
    let mut strangers: Vec<(TcpStream, Instant)> =
        (0..SOCKETS).map(|n| (stranger(door.address, n), Instant::now() + SILENCE_MAX)).collect();
    show("beside silent connections", &quiet_requests(&door, &host.path("a"), b"a", 50));
    let mut longest = Duration::ZERO;
    wait::until("the silent connections to be closed", secs(90), || {
        strangers.retain_mut(|(stream, until)| {
            if is_closed(stream) {
                longest = longest.max(SILENCE_MAX.saturating_sub(until.saturating_duration_since(Instant::now())));
                return false;
            }
            assert!(Instant::now() < *until, "a connection that asks for nothing is still open");
            // Now and then a byte of a head that never ends changes nothing. Whether it is taken does not matter.
            let _ = stream.write(b"x");
            true
        });
        strangers.is_empty().then_some(())
    });
    let peak = world.server.running().memory_peak_bytes();
    println!("of {SOCKETS} silent connections the last lived for {:.1} s; peak {peak} bytes", longest.as_secs_f64());
    assert!(peak < 256 << 20, "{peak}");
}

/// One that says nothing, or not enough.
fn stranger(address: SocketAddr, n: usize) -> TcpStream {
    let mut stream = TcpStream::connect_timeout(&address, secs(10)).expect("it listens");
    if n.is_multiple_of(2) {
        // It may have been pushed out already.
        let _ = stream.write_all(b"GET /myorg HTTP/1.1\r\nx-a: ");
    }
    stream.set_nonblocking(true).expect("a socket");
    stream
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1024]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
