//! Who is waited for, and how long. The clock stands still until everybody waits, and then jumps to the next deadline.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::client::AUTHORIZATION;
use crate::running::Proxy;

/// A server whose kernel accepts and which never says anything.
async fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

fn head(proxy: &Proxy, request: &str, headers: &str) -> Vec<u8> {
    let address = proxy.address;
    format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nauthorization: {AUTHORIZATION}\r\nconnection: close\r\n{headers}\r\n"
    )
    .into_bytes()
}

async fn answer(mut client: TcpStream) -> String {
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("no reset");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_for_50_s_is_a_503() {
    let server = silent().await;
    let proxy = Proxy::start(server.local_addr().expect("an address"));
    for (request, headers, body) in [
        ("GET /myorg/web-01/a", "", 0),
        ("PUT /myorg/web-01/a", "content-length: 5\r\n", 5),
        // The server never says 100, and the client's body is never asked for.
        ("PUT /myorg/web-01/a", "content-length: 1000000\r\nexpect: 100-continue\r\n", 0),
    ] {
        let began = Instant::now();
        let mut client = TcpStream::connect(proxy.address).await.expect("connected");
        client.write_all(&head(&proxy, request, headers)).await.expect("written");
        client.write_all(&vec![b'x'; body]).await.expect("written");
        let answer = answer(client).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("did not answer for 50 s"), "{answer}");
        let waited = began.elapsed();
        assert!(waited >= Duration::from_secs(50) && waited < Duration::from_secs(60), "{request}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_falls_silent_is_asked_for_once_more_and_then_broken_off_within_two_silences() {
    let server = silent().await;
    let proxy = Proxy::start(server.local_addr().expect("an address"));
    let mut client = TcpStream::connect(proxy.address).await.expect("connected");
    client.write_all(&head(&proxy, "GET /myorg/web-01/a", "")).await.expect("written");
    let (mut first, _) = server.accept().await.expect("accepted");
    read_until(&mut first, &mut Vec::new(), b"\r\n\r\n").await;
    let began = Instant::now();
    first.write_all(b"HTTP/1.1 200 OK\r\netag: \"abc\"\r\ncontent-length: 20\r\n\r\n0123456").await.expect("written");

    let (mut second, _) = server.accept().await.expect("asked once more");
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(50) && waited < Duration::from_secs(60), "{waited:?}");
    read_until(&mut second, &mut Vec::new(), b"range: bytes=7-19").await;
    // Nothing comes there either; the client must not take what it has for the whole.
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(120), "{waited:?}");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("content-length: 20"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n0123456"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_for_60_s_is_told_so() {
    let server = silent().await;
    let proxy = Proxy::start(server.local_addr().expect("an address"));
    let began = Instant::now();
    let mut client = TcpStream::connect(proxy.address).await.expect("connected");
    client.write_all(&head(&proxy, "PUT /myorg/web-01/a", "content-length: 5\r\n")).await.expect("written");
    client.write_all(b"hel").await.expect("written");
    let answer = answer(client).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("<Code>RequestTimeout</Code>"), "{answer}");
    assert!(began.elapsed() >= Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_servers_time_does_not_run_while_the_client_is_the_slow_side() {
    let server = silent().await;
    let proxy = Proxy::start(server.local_addr().expect("an address"));
    let mut client = TcpStream::connect(proxy.address).await.expect("connected");
    client.write_all(&head(&proxy, "PUT /myorg/web-01/a", "content-length: 100000\r\n")).await.expect("written");
    let (mut upstream, _) = server.accept().await.expect("accepted");
    let mut received = Vec::new();
    read_until(&mut upstream, &mut received, b"\r\n\r\n").await;
    upstream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.expect("written");
    // Four pauses of 40 s: longer together than any deadline, each shorter than the client's.
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(40)).await;
        client.write_all(&[b'x'; 25_000]).await.expect("written");
    }
    read_until(&mut upstream, &mut received, b"x-kheeper-md5").await;
    read_until(&mut upstream, &mut received, b"\r\n\r\n").await;
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("written");
    let answer = answer(client).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

async fn read_until(stream: &mut TcpStream, received: &mut Vec<u8>, end: &[u8]) {
    while !received.windows(end.len()).any(|window| window == end) {
        let mut buffer = [0; 64 * 1024];
        let read = stream.read(&mut buffer).await.expect("readable");
        assert!(read > 0, "the connection ended: {}", String::from_utf8_lossy(received));
        received.extend_from_slice(&buffer[..read]);
    }
    let at = received.windows(end.len()).position(|window| window == end).unwrap_or_default();
    received.drain(..at + end.len());
}
