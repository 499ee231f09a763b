//! SIGTERM: what is half way in finishes or is told, nothing acknowledged is lost, and the end comes in time.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use kheeper_e2e::http::{read_head, read_response};
use kheeper_e2e::wait::{self, secs};
use kheeper_e2e::{Door, World, files};
use rustix::process::Signal;

use crate::journal::{Journal, write_until};

/// How long a server that was told to stop may take: less than systemd's own patience, and what is promised.
const STOP: Duration = secs(30);

/// A PUT that the server has let in, and half of its body.
fn half(door: &Door, path: &str, body: &[u8]) -> TcpStream {
    let request = door.put_request(path, body).header("Expect", "100-continue");
    let mut stream = request.open(door.address).expect("it listens");
    // Only a request that is inside is told to go on. A byte at a time, so that nothing of the answer is read too.
    let (status, _) = read_head(&mut BufReader::with_capacity(1, &stream)).expect("it answers");
    assert_eq!(status, 100, "{path}");
    stream.write_all(&body[..body.len() / 2]).expect("it reads");
    stream
}

#[test]
fn sigterm_lets_every_request_that_is_half_way_in_finish() {
    let mut world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let journal = Journal::default();
    let doors = [world.direct(&host.cli), proxy.door()];
    // More than the proxy buffers, so that half of it is at the server when it is told to stop.
    let bodies: Vec<Vec<u8>> = (0..8).map(|n| files::random_bytes(n, 4 << 20)).collect();
    let mut half_way: Vec<(String, TcpStream)> = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        let (door, path) = (&doors[n % 2], host.path(&format!("term/{n}")));
        let stream = half(door, &path, body);
        half_way.push((path, stream));
    }
    world.server.running().signal(Signal::TERM);
    wait::until("no connection to be taken any more", secs(10), || {
        TcpStream::connect(doors[0].address).is_err().then_some(())
    });
    assert!(world.server.running().try_wait().is_none(), "it waits for what is running");
    let mut stored = 0;
    for ((path, stream), body) in half_way.into_iter().zip(&bodies) {
        journal.write(&path, Some(body.clone()), || {
            (&stream).write_all(&body[body.len() / 2..]).expect("it reads on");
            let answer = read_response(&mut BufReader::new(&stream), "PUT").expect("every request gets an answer");
            assert!(matches!(answer.status, 200 | 503), "{path}: {answer}");
            stored += usize::from(answer.status == 200);
            answer.status == 200
        });
    }
    assert!(stored >= 1, "nothing of it finished");
    assert!(world.server.running().wait(STOP).success(), "a drained server ends well");
    world.server.restart();
    journal.check(&doors[0], &host, &world.server);
}

#[test]
fn sigterm_amid_writes_loses_nothing_that_was_acknowledged() {
    let mut world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let doors = [world.direct(&host.cli), proxy.door()];
    let journal = Journal::default();
    for round in 0..3 {
        let server = &mut world.server;
        write_until(&doors, &host, &journal, (round, 8, 40), || {
            assert!(server.running().terminate(STOP).success(), "a server under load ends well");
        });
        world.server.restart();
        journal.check(&doors[0], &host, &world.server);
    }
}

#[test]
fn sigterm_ends_a_server_in_time_whose_clients_never_finish() {
    let mut world = World::start();
    let host = world.host("web-01");
    let door = world.direct(&host.cli);
    let (path, body) = (host.path("never"), files::random_bytes(1, 1 << 20));
    let stream = half(&door, &path, &body);
    assert!(world.server.running().terminate(STOP).success(), "it does not wait for ever");
    drop(stream);
    world.server.restart();
    door.get(&path).expect_error(404, "NoSuchKey");
    world.server.operator(&["fsck", "--read-data"]).ok();
}
