//! Answers: passed on as they are, or the proxy's own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use kheeper_identity::{IdentitySubject, MachineId, Scope};
use kheeper_model::UserId;
use kheeper_proxy::Access;
use tokio::net::TcpListener;

use crate::client::{send, try_send};
use crate::running::{Proxy, config, soon};
use crate::scripted::Scripted;
use crate::upstream::{Reads, Upstream};

#[tokio::test]
async fn an_error_of_the_server_is_passed_on_as_it_is() {
    let document = "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>";
    let upstream = Upstream::answering(Reads::Body, move |_| {
        let response = Response::builder().status(404).header("x-amz-request-id", "42").header("connection", "x-hop");
        response.header("x-hop", "1").body(Full::from(document)).expect("valid")
    })
    .await;
    let proxy = Proxy::start(upstream.address);
    let answer = send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (404, document));
    assert_eq!(answer.headers["x-amz-request-id"], "42");
    assert!(!answer.headers.contains_key("x-hop"));
}

#[tokio::test]
async fn a_head_keeps_the_length_of_what_it_does_not_send() {
    let upstream = Upstream::answering(Reads::Body, |_| {
        let response = Response::builder().header("content-length", "123456789").header("etag", "\"a\"");
        response.header("last-modified", "Sun, 22 Nov 2026 18:00:00 GMT").body(Full::default()).expect("valid")
    })
    .await;
    let proxy = Proxy::start(upstream.address);
    let answer = send(proxy.address, "HEAD", "/myorg/web-01/a", &[], "").await;
    assert_eq!(answer.headers["content-length"], "123456789");
    assert_eq!(answer.headers["last-modified"], "Sun, 22 Nov 2026 18:00:00 GMT");
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn a_204_has_no_body_and_a_conditional_304_neither() {
    let upstream = Upstream::answering(Reads::Body, |head| {
        let status = if head.method == "DELETE" { 204 } else { 304 };
        Response::builder().status(status).body(Full::default()).expect("valid")
    })
    .await;
    let proxy = Proxy::start(upstream.address);
    assert_eq!(send(proxy.address, "DELETE", "/myorg/web-01/a", &[], "").await.status, 204);
    let not_modified = send(proxy.address, "GET", "/myorg/web-01/a", &[("if-none-match", "\"a\"")], "").await;
    assert_eq!(not_modified.status, 304);
}

#[tokio::test]
async fn a_server_that_is_down_is_a_503_at_once_that_says_so() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let proxy = Proxy::start(gone);
    for (method, target, body) in [
        ("GET", "/myorg/web-01/a", Bytes::new()),
        ("PUT", "/myorg/web-01/a", Bytes::from_static(b"hello")),
        ("PUT", "/myorg/web-01/a", Bytes::from(vec![0; 1_000_000])),
        ("POST", "/myorg?delete", Bytes::from_static(b"<Delete/>")),
    ] {
        let began = Instant::now();
        let answer = send(proxy.address, method, target, &[], body).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{method} took {:?}", began.elapsed());
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "ServiceUnavailable"), "{method}");
        assert!(answer.text().contains("Connection refused"), "{}", answer.text());
    }
    let answer = send(proxy.address, "HEAD", "/myorg/web-01/a", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (503, 0));
}

#[tokio::test]
async fn what_s3_does_not_have_is_refused_here() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    for (method, target, headers, status, code) in [
        ("GET", "/myorg/web-01/a?acl", &[][..], 501, "NotImplemented"),
        ("PUT", "/myorg/web-01/a", &[("x-amz-object-lock-mode", "GOVERNANCE")], 501, "NotImplemented"),
        ("PATCH", "/myorg/web-01/a", &[], 405, "MethodNotAllowed"),
        ("GET", "/myorg/web-01/%zz", &[], 400, "InvalidURI"),
        ("GET", "/no_bucket/a", &[], 403, "AccessDenied"),
    ] {
        let answer = send(proxy.address, method, target, headers, "").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{method} {target}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_persons_proxy_reads_and_writes_nothing() {
    let upstream = Upstream::start().await;
    let mut config = config(&format!("http://{}", upstream.address));
    config.identity.subject = IdentitySubject::User { user_id: UserId::random() };
    config.access = Access::Read(Scope::read());
    let proxy = Proxy::with(config);
    assert_eq!(send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await.status, 200);
    assert_eq!(upstream.received().len(), 1);
    for (method, target) in [
        ("PUT", "/myorg/web-01/a"),
        ("DELETE", "/myorg/web-01/a"),
        ("POST", "/myorg?delete"),
        ("POST", "/myorg/web-01/a?uploads"),
        ("PUT", "/myorg"),
    ] {
        let answer = send(proxy.address, method, target, &[("content-length", "0")], "").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "AccessDenied"), "{method} {target}");
        assert!(answer.text().contains("read-only"), "{}", answer.text());
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_cloned_machine_reads_and_does_not_write() {
    let upstream = Upstream::start().await;
    let machine = |id: &str| -> Option<MachineId> { serde_json::from_value(id.into()).expect("any text is one") };
    for (here, put) in [(machine("aa"), 200), (machine("bb"), 403), (None, 200)] {
        let mut config = config(&format!("http://{}", upstream.address));
        config.identity.machine_id = machine("aa");
        config.machine_id = here;
        let proxy = Proxy::with(config);
        let answer = send(proxy.address, "PUT", "/myorg/web-01/a", &[], "hello").await;
        assert_eq!(answer.status.as_u16(), put, "{}", answer.text());
        assert!(put == 200 || answer.text().contains("kheeper hosts rejoin"), "{}", answer.text());
        assert_eq!(send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await.status, 200);
    }
}

#[tokio::test]
async fn what_is_in_flight_finishes_after_stop_and_nothing_new_begins() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let address = proxy.address;
    let client = tokio::spawn(async move { try_send(address, "GET", "/myorg/web-01/a", &[], "").await });
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    proxy.stop.now();
    // The listener is closed before the drain begins; a connection made meanwhile would hang in its queue for ever.
    let refused = soon("a refused connection", async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    refused.await;
    connection.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let answer = soon("the answer", client).await.expect("no panic").expect("whole");
    assert_eq!(answer.text(), "hello");
    soon("the end of the proxy", proxy.running).await.expect("no panic");
}
