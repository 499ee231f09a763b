//! PUT: what is verified, what is sent on, and what permits to commit.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use kheeper_s3::body::kheeper_trailer::ProxyTrailers;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{AUTHORIZATION, send, send_raw};
use crate::running::{Proxy, soon};
use crate::scripted::{Scripted, header};
use crate::upstream::{Reads, Received, Upstream};

/// Larger than what is buffered whole, and not a multiple of anything.
const LARGE: usize = 3_000_001;

fn payload(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// The payload in S3's own framing, as minio-go sends it over plain http.
fn signed_stream(payload: &[u8]) -> Vec<u8> {
    let signature = "0".repeat(64);
    let mut framed = Vec::new();
    for chunk in payload.chunks(64 * 1024) {
        framed.extend_from_slice(format!("{:x};chunk-signature={signature}\r\n", chunk.len()).as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(format!("0;chunk-signature={signature}\r\n\r\n").as_bytes());
    framed
}

fn trailers(received: &Received) -> ProxyTrailers {
    ProxyTrailers::from_trailers(received.trailers.as_ref().expect("trailers")).expect("both")
}

#[tokio::test]
async fn a_small_put_carries_token_attempt_length_and_trailers() {
    let upstream = Upstream::answering(Reads::Body, |_| {
        Response::builder().header("etag", "\"5d41402abc4b2a76b9719d911017c592\"").body(Full::default()).expect("valid")
    })
    .await;
    let proxy = Proxy::start(upstream.address);
    let answer = send(proxy.address, "PUT", "/myorg/web-01/a", &[("x-amz-meta-a", "b")], "hello").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["etag"], "\"5d41402abc4b2a76b9719d911017c592\"");

    let received = upstream.next().await;
    assert_eq!(received.body, "hello");
    assert!(received.header("authorization").starts_with("Bearer ey"));
    assert_eq!(received.header("host"), upstream.address.to_string());
    assert_eq!(received.header("x-kheeper-attempt").len(), 32);
    assert_eq!(received.header("x-kheeper-length"), "5");
    assert_eq!(received.header("transfer-encoding"), "chunked");
    assert_eq!(received.header("x-amz-meta-a"), "b");
    assert_eq!(trailers(&received).md5.to_hex(), "5d41402abc4b2a76b9719d911017c592");
}

#[tokio::test]
async fn an_empty_object_is_permitted_by_its_trailers_too() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    assert_eq!(send(proxy.address, "PUT", "/myorg/web-01/a", &[("content-length", "0")], "").await.status, 200);
    let received = upstream.next().await;
    assert_eq!(trailers(&received).md5.to_hex(), "d41d8cd98f00b204e9800998ecf8427e");
}

#[tokio::test]
async fn a_large_put_is_streamed_and_verified() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    let sent = payload(LARGE);
    let target = "/myorg/web-01/a?partNumber=1&uploadId=20261122-000102030405060708090a0b0c0d0e0f";
    let answer = send(proxy.address, "PUT", target, &[], sent.clone()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let received = upstream.next().await;
    assert_eq!(received.header("expect"), "100-continue");
    assert_eq!(received.header("x-kheeper-length"), LARGE.to_string());
    assert_eq!(received.head.uri, target);
    assert!(received.body == sent, "the payload must arrive as it was sent");
    trailers(&received);
}

#[tokio::test]
async fn s3s_own_framing_is_removed_from_small_and_large_bodies() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    for bytes in [0, 5, 64 * 1024, 64 * 1024 + 1, LARGE] {
        let sent = payload(bytes);
        let decoded = bytes.to_string();
        let headers = [
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("x-amz-decoded-content-length", decoded.as_str()),
        ];
        let answer = send(proxy.address, "PUT", "/myorg/web-01/a", &headers, signed_stream(&sent)).await;
        assert_eq!(answer.status, StatusCode::OK, "{bytes}: {}", answer.text());
        let received = upstream.next().await;
        assert!(received.body == sent, "{bytes} bytes");
        assert_eq!(received.header("x-amz-content-sha256"), "");
        assert_eq!(received.header("x-amz-decoded-content-length"), "");
        trailers(&received);
    }
}

#[tokio::test]
async fn a_clients_checksum_in_a_trailer_is_verified_and_passed_on() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    let headers = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("content-encoding", "aws-chunked"),
    ];
    let body = |crc32: &str| format!("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{crc32}\r\n\r\n");
    let answer = send(proxy.address, "PUT", "/myorg/web-01/a", &headers, body("NhCmhg==")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let received = upstream.next().await;
    assert_eq!(received.trailers.as_ref().expect("trailers")["x-amz-checksum-crc32"], "NhCmhg==");
    assert_eq!(received.header("content-encoding"), "");

    let answer = send(proxy.address, "PUT", "/myorg/web-01/a", &headers, body("AAAAAA==")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "BadDigest"));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_small_body_that_is_not_what_was_promised_never_reaches_the_server() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    let zeros = "0".repeat(64);
    for (headers, code) in [
        (&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")][..], "BadDigest"),
        (&[("content-md5", "nonsense")], "InvalidDigest"),
        (&[("x-amz-content-sha256", zeros.as_str())], "XAmzContentSHA256Mismatch"),
        (&[("x-amz-checksum-crc32c", "AAAAAA==")], "BadDigest"),
        (&[("content-encoding", "aws-chunked")], "InvalidRequest"),
        (
            &[("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), ("x-amz-decoded-content-length", "5")],
            "IncompleteBody",
        ),
    ] {
        let answer = send(proxy.address, "PUT", "/myorg/web-01/a", headers, "hello").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, code), "{headers:?}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_large_body_that_is_not_what_was_promised_is_never_permitted_to_commit() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    let zeros = "0".repeat(64);
    for (header, code) in [
        (("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="), "BadDigest"),
        (("x-amz-content-sha256", zeros.as_str()), "XAmzContentSHA256Mismatch"),
    ] {
        let answer = send(proxy.address, "PUT", "/myorg/web-01/a", &[header], payload(LARGE)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, code));
        let received = upstream.next().await;
        assert!(!received.whole && received.trailers.is_none(), "the server must see the upload break off");
    }
}

#[tokio::test]
async fn a_body_cut_off_is_an_incomplete_body_on_both_sides() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    let head = |length: usize| {
        format!(
            "PUT /myorg/web-01/a HTTP/1.1\r\nhost: {}\r\nauthorization: {AUTHORIZATION}\r\ncontent-length: {length}\r\n\r\n",
            proxy.address
        )
    };
    let small = send_raw(proxy.address, format!("{}only this", head(1000)).as_bytes()).await;
    assert!(small.starts_with("HTTP/1.1 400") && small.contains("<Code>IncompleteBody</Code>"), "{small}");
    assert!(upstream.received().is_empty());

    let mut request = head(LARGE).into_bytes();
    request.extend_from_slice(&payload(LARGE / 2));
    let large = send_raw(proxy.address, &request).await;
    assert!(large.starts_with("HTTP/1.1 400") && large.contains("<Code>IncompleteBody</Code>"), "{large}");
    let received = upstream.next().await;
    assert!(!received.whole && received.trailers.is_none());
}

#[tokio::test]
async fn a_refusal_comes_without_a_100_and_without_a_byte_read() {
    let refuse = |_: &_| Response::builder().status(403).body(Full::from("<Error><Code>AccessDenied</Code></Error>"));
    let upstream = Upstream::answering(Reads::HeadOnly, move |head| refuse(head).expect("valid")).await;
    let proxy = Proxy::start(upstream.address);
    let mut client = TcpStream::connect(proxy.address).await.expect("connected");
    let head = format!(
        "PUT /myorg/web-02/a HTTP/1.1\r\nhost: {}\r\nauthorization: {AUTHORIZATION}\r\ncontent-length: {LARGE}\r\n\
         expect: 100-continue\r\n\r\n",
        proxy.address
    );
    client.write_all(head.as_bytes()).await.expect("written");
    let mut answer = String::new();
    soon("the refusal", async {
        let mut buffer = [0; 4096];
        while !answer.contains("</Error>") {
            let read = client.read(&mut buffer).await.expect("no reset");
            assert!(read > 0, "closed after {answer:?}");
            answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(header(&answer, "connection"), "close");
}

#[tokio::test]
async fn a_refusal_arrives_at_a_client_that_sends_all_of_its_body_first() {
    let refuse =
        |_: &_| Response::builder().status(507).body(Full::from("<Error><Code>XKheeperStorageFull</Code></Error>"));
    let upstream = Upstream::answering(Reads::HeadOnly, move |head| refuse(head).expect("valid")).await;
    let proxy = Proxy::start(upstream.address);
    let mut request = format!(
        "PUT /myorg/web-01/a HTTP/1.1\r\nhost: {}\r\nauthorization: {AUTHORIZATION}\r\ncontent-length: {LARGE}\r\n\r\n",
        proxy.address
    )
    .into_bytes();
    request.extend_from_slice(&payload(LARGE));
    let answer = send_raw(proxy.address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 507") && answer.contains("XKheeperStorageFull"), "{answer}");
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_an_upload_arrives() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let client = tokio::spawn(async move { send(proxy.address, "PUT", "/myorg/web-01/a", &[], payload(LARGE)).await });
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    connection.write("HTTP/1.1 100 Continue\r\n\r\n").await;
    connection.read_until("\r\n").await;
    let refusal = "<Error><Code>QuotaExceeded</Code></Error>";
    let length = refusal.len();
    connection
        .write(format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{refusal}"))
        .await;
    let answer = soon("the answer", client).await.expect("no panic");
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "QuotaExceeded"));
    let rest = connection.read_to_end().await;
    assert!(!rest.ends_with(b"\r\n\r\n") && !rest.windows(19).any(|w| w == b"x-kheeper-crc64nvme"), "no trailers");
}

#[tokio::test]
async fn a_success_before_the_whole_upload_is_not_believed() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let client = tokio::spawn(async move { send(proxy.address, "PUT", "/myorg/web-01/a", &[], payload(LARGE)).await });
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    connection.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let answer = soon("the answer", client).await.expect("no panic");
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "InternalError"));
}

/// Serves one GET on a first connection, so that it waits in the proxy's pool.
async fn pooled(scripted: &Scripted, proxy: &Proxy) -> crate::scripted::Connection {
    let address = proxy.address;
    let client = tokio::spawn(async move { send(address, "GET", "/myorg/web-01/x", &[], "").await });
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    connection.write("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(soon("the answer", client).await.expect("no panic").status, 404);
    connection
}

#[tokio::test]
async fn a_small_put_over_a_stale_connection_is_sent_again_as_the_same_attempt() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let mut stale = pooled(&scripted, &proxy).await;
    let address = proxy.address;
    let client = tokio::spawn(async move { send(address, "PUT", "/myorg/web-01/a", &[], "hello").await });
    let first = stale.read_head().await;
    drop(stale);
    let mut fresh = scripted.accept().await;
    let second = fresh.read_head().await;
    assert_eq!(header(&first, "x-kheeper-attempt"), header(&second, "x-kheeper-attempt"));
    assert_eq!(header(&second, "x-kheeper-attempt").len(), 32);
    let body = fresh.read_until("\r\n\r\n").await;
    assert!(body.starts_with("5\r\nhello\r\n0\r\n") && body.contains("x-kheeper-md5: 5d41402a"), "{body}");
    fresh.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(soon("the answer", client).await.expect("no panic").status, 200);
}

#[tokio::test]
async fn a_large_put_over_a_stale_connection_is_sent_again_before_a_byte_is_read() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let mut stale = pooled(&scripted, &proxy).await;
    let address = proxy.address;
    let client = tokio::spawn(async move { send(address, "PUT", "/myorg/web-01/a", &[], payload(LARGE)).await });
    let first = stale.read_head().await;
    drop(stale);
    let mut fresh = scripted.accept().await;
    let second = fresh.read_head().await;
    assert_eq!(header(&first, "x-kheeper-attempt"), header(&second, "x-kheeper-attempt"));
    fresh.write("HTTP/1.1 100 Continue\r\n\r\n").await;
    fresh.read_until("x-kheeper-md5").await;
    fresh.read_until("\r\n\r\n").await;
    fresh.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(soon("the answer", client).await.expect("no panic").status, 200);
}

#[tokio::test]
async fn a_put_that_a_new_connection_lost_is_the_clients_to_repeat() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let client = tokio::spawn(async move { send(proxy.address, "PUT", "/myorg/web-01/a", &[], "hello").await });
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    drop(connection);
    let answer = soon("the answer", client).await.expect("no panic");
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "ServiceUnavailable"));
}
