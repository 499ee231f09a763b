//! Who on this machine is served.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use kheeper_proxy::ListenAddress;
use tokio::net::UnixStream;

use crate::client::{AUTHORIZATION, send, send_over, send_raw};
use crate::running::{Proxy, config};
use crate::upstream::Upstream;

#[tokio::test]
async fn what_the_guard_refuses_never_reaches_the_server() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    let ours = proxy.address.to_string();
    let signed = format!("authorization: {AUTHORIZATION}\r\n");
    for (target, headers, status) in [
        ("/myorg/web-01/a", format!("host: evil.com\r\n{signed}"), 403),
        ("/myorg/web-01/a", signed.clone(), 403),
        ("http://evil.com/myorg/web-01/a", format!("host: {ours}\r\n{signed}"), 403),
        ("/myorg/web-01/a", format!("host: {ours}\r\norigin: http://evil.com\r\n{signed}"), 403),
        ("/myorg/web-01/a", format!("host: {ours}\r\nsec-fetch-site: same-origin\r\n{signed}"), 403),
        ("/myorg/web-01/a", format!("host: {ours}\r\n"), 403),
        ("/myorg/web-01/a", format!("host: {ours}\r\nauthorization: Bearer forged\r\n"), 403),
        ("/myorg/web-01/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0", format!("host: {ours}\r\n"), 403),
        ("/web-01/a", format!("host: myorg.localhost:{}\r\n{signed}", proxy.address.port()), 400),
        ("/-/api/v1/hosts", format!("host: {ours}\r\n{signed}"), 403),
        ("/%2D/api/v1/hosts", format!("host: {ours}\r\n{signed}"), 403),
    ] {
        let answer = send_raw(proxy.address, format!("GET {target} HTTP/1.1\r\n{headers}\r\n").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{target} {headers:?}: {answer}");
        assert!(answer.contains("<Error>") && !answer.to_lowercase().contains("access-control"), "{answer}");
    }
    let preflight = format!("OPTIONS /myorg HTTP/1.1\r\nhost: {ours}\r\norigin: http://evil.com\r\n\r\n");
    assert!(send_raw(proxy.address, preflight.as_bytes()).await.starts_with("HTTP/1.1 403"));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn our_own_endpoints_need_no_signature() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes();
    assert!(send_raw(proxy.address, &get("/-/healthz")).await.ends_with("ok\n"));
    assert_eq!(send(proxy.address, "GET", "/-/readyz", &[], "").await.text(), "ready\n");
    let asked = upstream.next().await;
    assert_eq!((asked.head.uri.path(), asked.header("authorization")), ("/-/readyz", ""));
    assert!(send_raw(proxy.address, &get("/-/metrics")).await.contains("kheeper_proxy_requests_in_flight 1"));
}

#[tokio::test]
async fn a_proxy_without_its_server_is_alive_and_not_ready() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let proxy = Proxy::start(gone);
    assert_eq!(send(proxy.address, "GET", "/-/healthz", &[], "").await.status, 200);
    let readiness = send(proxy.address, "GET", "/-/readyz", &[], "").await;
    assert_eq!(readiness.status, 503);
    assert!(readiness.text().contains("Connection refused"), "{}", readiness.text());
}

#[tokio::test]
async fn only_the_named_users_sockets_are_admitted() {
    let upstream = Upstream::start().await;
    let me = rustix::process::getuid().as_raw();
    for (user, status) in [(me, 200), (me + 1, 403)] {
        let mut config = config(&format!("http://{}", upstream.address));
        config.guard.allow_users = vec![user.to_string()];
        let proxy = Proxy::with(config);
        assert_eq!(send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await.status.as_u16(), status);
        let health = send(proxy.address, "GET", "/-/healthz", &[], "").await;
        assert_eq!(health.status.as_u16(), status, "our own endpoints are no exception");
    }
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn a_unix_socket_serves_whoever_its_credentials_admit_and_leaves_no_file() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("proxy.sock");
    let me = rustix::process::getuid().as_raw();
    for (user, status) in [(me, 200), (me + 1, 403)] {
        let mut config = config(&format!("http://{}", upstream.address));
        config.guard.allow_users = vec![user.to_string()];
        config.listen = Some(ListenAddress::Unix(path.clone()));
        let proxy = Proxy::with(config);
        let stream = UnixStream::connect(&path).await.expect("connected");
        let request = Request::get("/myorg/web-01/a").header("host", "whatever").header("authorization", AUTHORIZATION);
        let answer =
            send_over(stream, request.body(Full::<Bytes>::default()).expect("valid")).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), status);
        proxy.stop.now();
        proxy.running.await.expect("no panic");
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn weaker_configurations_are_refused_before_anything_is_bound() {
    let refused = |change: fn(&mut kheeper_proxy::ProxyConfig)| {
        let mut config = config("http://127.0.0.1:1");
        change(&mut config);
        kheeper_proxy::bind(config).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(
        refused(|config| config.identity.origin = "http://10.0.0.1".parse().expect("valid")).contains("has no TLS")
    );
    assert!(refused(|config| config.listen = "0.0.0.0:0".parse().ok()).contains("not on loopback"));
    assert!(refused(|config| config.guard.allow_users = vec!["no-such-user".into()]).contains("no such user"));
    let other_key = |config: &mut kheeper_proxy::ProxyConfig| {
        config.key = kheeper_identity::PrivateKey::generate().expect("made").into();
    };
    assert!(refused(other_key).contains("not the one that the identity names"));
}
