//! A server that is killed or stopped every few seconds while a host archives.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kheeper_e2e::wait::{secs, until};
use kheeper_e2e::{World, files};

const SEGMENTS: usize = 500;
const ARCHIVERS: usize = 4;
/// Enough that a kill meets uploads under way, and little enough for two cores.
const SEGMENT_BYTES: usize = 192 * 1024;
/// As many answers as the server gives between two ends of it.
const SEGMENTS_PER_LIFE: usize = 40;

fn segment(number: usize) -> Vec<u8> {
    files::random_bytes(number as u64, SEGMENT_BYTES)
}

#[test]
fn no_acknowledged_segment_is_lost_while_the_server_is_restarted_under_500_pushes() {
    let mut world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let door = proxy.door();
    let path = |number: usize| host.path(&format!("wal/{number:024X}"));
    let (next, done, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let acknowledged = Mutex::new(Vec::<usize>::new());
    let slowest = Mutex::new(Duration::ZERO);

    // What PostgreSQL does: the same segment again until it is taken. Every answer is 200 or 503, within the minute.
    let archive = || {
        while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < SEGMENTS) {
            let bytes = segment(number);
            loop {
                let began = Instant::now();
                let answer = door.put(&path(number), &bytes);
                let mut slowest = slowest.lock().expect("no holder panics");
                *slowest = (*slowest).max(began.elapsed());
                drop(slowest);
                match answer.status {
                    200 => break,
                    503 => refused.fetch_add(1, Ordering::Relaxed),
                    _ => panic!("neither taken nor to be tried again: {answer}"),
                };
            }
            acknowledged.lock().expect("no holder panics").push(number);
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    // What a standby does meanwhile: what was acknowledged reads back as it was, or cannot be read now; never a 404.
    let read_back = || {
        let mut looked = 0_usize;
        while done.load(Ordering::Relaxed) < SEGMENTS {
            let acknowledged = acknowledged.lock().expect("no holder panics");
            let number = (!acknowledged.is_empty()).then(|| acknowledged[(looked * 7) % acknowledged.len()]);
            drop(acknowledged);
            let Some(number) = number else { continue };
            looked += 1;
            match door.request("GET", &path(number)).try_send(door.address) {
                Ok(answer) if answer.status == 200 => assert!(answer.body == segment(number), "segment {number}"),
                Ok(answer) => assert_eq!(answer.status, 503, "segment {number} is there: {answer}"),
                // Broken off, which a client sees.
                Err(_) => {}
            }
        }
    };
    let mut restarts = 0;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..ARCHIVERS).map(|_| scope.spawn(archive)).chain([scope.spawn(read_back)]).collect();
        let mut aim = SEGMENTS_PER_LIFE;
        while aim < SEGMENTS {
            until("progress", secs(60), || (done.load(Ordering::Relaxed) >= aim).then_some(()));
            match restarts % 2 {
                0 => world.server.kill9(),
                _ => assert!(world.server.terminate().success(), "it drains"),
            }
            world.server.restart();
            restarts += 1;
            aim = done.load(Ordering::Relaxed) + SEGMENTS_PER_LIFE;
        }
        workers.into_iter().for_each(|worker| worker.join().expect("a worker panicked"));
    });
    for number in 0..SEGMENTS {
        assert!(door.get(&path(number)).expect(200).body == segment(number), "segment {number} is not what was sent");
    }
    let keys = door.keys("myorg", "web-01/wal/", 1000);
    assert_eq!(keys.len(), SEGMENTS, "each is listed once");
    let slowest = *slowest.lock().expect("no holder panics");
    assert!(slowest < secs(60), "bounded answers: {slowest:?}");
    assert!(restarts >= 5, "the server was restarted {restarts} times");
    println!(
        "{SEGMENTS} segments, {restarts} restarts, {} answers of 503, the slowest answer {slowest:?}",
        refused.load(Ordering::Relaxed)
    );
}
