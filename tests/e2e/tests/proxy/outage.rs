//! A server that is down, stopped, restarted, or hangs up.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use kheeper_e2e::server::OWN_ORIGIN;
use kheeper_e2e::wait::secs;
use kheeper_e2e::{Request, World, files};
use rustix::process::Signal;

use crate::scene;

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
fn a_server_that_is_stopped_while_answering_hangs_nobody_else_and_the_answer_is_whole_when_it_goes_on() {
    let mut scene = scene();
    let door = scene.proxy.door();
    let path = scene.host.path("big");
    let bytes = files::random_bytes(3, 64 << 20);
    door.put(&path, &bytes).expect(200);
    let mut stream = door.request("GET", &path).open(door.address).expect("the proxy listens");
    // A client that reads slowly: sockets fill, and most of the body is still at the server.
    let mut answer = vec![0; 100_000];
    stream.read_exact(&mut answer).expect("the answer has begun");
    scene.world.server.running().signal(Signal::STOP);
    Request::new("GET", "/-/healthz").send(door.address).expect(200);
    // What is on its way is read, and then nothing more comes.
    stream.set_read_timeout(Some(secs(1))).expect("a socket has timeouts");
    let silent = stream.read_to_end(&mut answer).expect_err("the server is stopped");
    assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock);
    assert!(answer.len() < bytes.len());
    scene.world.server.running().signal(Signal::CONT);
    stream.set_read_timeout(Some(secs(60))).expect("a socket has timeouts");
    let mut piece = vec![0; 1 << 20];
    while !answer.ends_with(&bytes[bytes.len() - 32..]) {
        let count = stream.read(&mut piece).expect("it goes on");
        assert!(count > 0, "it ended after {} bytes", answer.len());
        answer.extend_from_slice(&piece[..count]);
    }
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    assert!(answer[body..] == bytes);
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
    let relayed = world.host_at(&host, "relayed", &origin);
    let read = world.host_proxy(&relayed).door().get(&path).expect(200);
    assert!(read.body == bytes, "{} of {} bytes", read.body.len(), bytes.len());
    assert_eq!(hung_up.try_iter().count(), 3, "the relay did hang up");
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
