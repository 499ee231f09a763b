//! A line that carries next to nothing, and many large uploads over it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use kheeper_e2e::server::OWN_ORIGIN;
use kheeper_e2e::wait::{secs, until};
use kheeper_e2e::{Proxy, Request, World};

const UPLOADS: usize = 64;
const UPLOAD_BYTES: u64 = 1 << 30;
const MEMORY_BYTES_MAX: u64 = 256 << 20;
/// 1 Mbit/s for all connections together, in pieces.
const PIECE_BYTES: usize = 4 * 1024;
const PIECE_TIME: Duration = Duration::from_millis(32);

/// A relay to `server` that carries 1 Mbit/s in that direction, and counts.
fn slow_line(listener: TcpListener, server: SocketAddr) -> Arc<AtomicU64> {
    let carried = Arc::new(AtomicU64::new(0));
    let (count, line) = (Arc::clone(&carried), Arc::new(std::sync::Mutex::new(())));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(upstream) = TcpStream::connect(server) else { continue };
            let (mut from_client, mut to_server) =
                (client.try_clone().expect("a socket"), upstream.try_clone().expect("a socket"));
            let (count, line) = (Arc::clone(&count), Arc::clone(&line));
            thread::spawn(move || {
                let mut piece = [0; PIECE_BYTES];
                while let Ok(bytes @ 1..) = from_client.read(&mut piece) {
                    let turn = line.lock().expect("no holder panics");
                    // The one pause that is not a wait for a condition: it is the line's speed.
                    thread::sleep(PIECE_TIME.mul_f64(bytes as f64 / PIECE_BYTES as f64));
                    drop(turn);
                    count.fetch_add(bytes as u64, Ordering::Relaxed);
                    if to_server.write_all(&piece[..bytes]).is_err() {
                        break;
                    }
                }
                let _ = to_server.shutdown(std::net::Shutdown::Both);
            });
            let (mut from_server, mut to_client) = (upstream, client);
            thread::spawn(move || {
                let _ = std::io::copy(&mut from_server, &mut to_client);
                let _ = to_client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    carried
}

/// Begins an upload of 1 GiB and sends for as long as anybody takes it; whether it was ever acknowledged.
fn upload(door: &kheeper_e2e::Door, path: &str) -> bool {
    let request = door.request("PUT", path).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let request = request.header("Content-Length", &UPLOAD_BYTES.to_string());
    let Ok(mut stream) = request.open(door.address) else { return false };
    stream.set_write_timeout(None).expect("a socket");
    let piece = vec![7; 256 * 1024];
    let mut sent = 0;
    while sent < UPLOAD_BYTES && stream.write_all(&piece).is_ok() {
        sent += piece.len() as u64;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer.starts_with(b"HTTP/1.1 200")
}

fn in_flight(proxy: &Proxy) -> usize {
    let metrics = Request::new("GET", "/-/metrics").send(proxy.address()).expect(200).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("kheeper_proxy_requests_in_flight "));
    line.and_then(|count| count.parse().ok()).expect("the proxy counts what it serves")
}

#[test]
fn memory_is_bounded_while_64_uploads_of_1_gib_wait_for_a_slow_line_and_a_killed_proxy_leaves_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let origin = format!("http://{}", listener.local_addr().expect("bound"));
    let world = World::start_with(&["--origin", OWN_ORIGIN, "--origin", &origin]);
    let host = world.host("web-01");
    let carried = slow_line(listener, world.server.address());
    let mut proxy = world.host_proxy(&world.host_at(&host, "slow", &origin));
    let door = proxy.door();
    let peak = thread::scope(|scope| {
        let paths: Vec<String> = (0..UPLOADS).map(|number| host.path(&format!("big-{number}"))).collect();
        let door = &door;
        let uploads: Vec<_> = paths.into_iter().map(|path| scope.spawn(move || upload(door, &path))).collect();
        until("64 uploads at once", secs(60), || (in_flight(&proxy) > UPLOADS).then_some(()));
        until("some of it on the line", secs(90), || (carried.load(Ordering::Relaxed) > 2 << 20).then_some(()));
        let peak = proxy.running().memory_peak_bytes();
        proxy.running().kill9();
        let acknowledged = uploads.into_iter().map(|upload| upload.join().expect("no panic"));
        assert_eq!(acknowledged.filter(|acknowledged| *acknowledged).count(), 0, "nothing was acknowledged");
        peak
    });
    assert!(peak < MEMORY_BYTES_MAX, "the proxy held {} MiB", peak >> 20);
    println!("{UPLOADS} uploads of 1 GiB at 1 Mbit/s: the proxy held {} MiB at most", peak >> 20);
    let direct = world.direct(&host.cli);
    assert_eq!(direct.keys("myorg", "web-01/", 1000), Vec::<String>::new(), "no partial object");
    world.server.operator(&["fsck"]).ok();
}
