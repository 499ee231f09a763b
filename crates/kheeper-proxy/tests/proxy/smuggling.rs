//! Requests that try to be two, or somebody else's: what reaches the server is one request with our names in it, or none.

use kheeper_proxy::ProxyConfig;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::AUTHORIZATION;
use crate::running::{Proxy, config, soon};
use crate::upstream::{Received, Upstream};

/// What may reach the server of a request's head: our own four, and what the policy list of `kheeper-s3` knows.
const LET_THROUGH: [&str; 13] = [
    "authorization",
    "content-type",
    "expect",
    "host",
    "if-match",
    "range",
    "trailer",
    "transfer-encoding",
    "user-agent",
    "x-amz-meta-a",
    "x-amz-meta-b",
    "x-kheeper-attempt",
    "x-kheeper-length",
];

/// What a request may come to.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// Refused with this status, and the server hears nothing.
    Refused(u16),
    /// One request with this body.
    One(&'static str),
}

use Outcome::{One, Refused};

struct Scene {
    proxy: Proxy,
    upstream: Upstream,
    host: String,
}

impl Scene {
    async fn start(change: impl FnOnce(&mut ProxyConfig)) -> Self {
        let upstream = Upstream::start().await;
        let mut config = config(&format!("http://{}", upstream.address));
        change(&mut config);
        let proxy = Proxy::with(config);
        let host = proxy.address.to_string();
        Self { proxy, upstream, host }
    }

    /// Sends `request`, in which `{host}` and `{auth}` stand for what an honest client says, and checks what came of it.
    async fn expect(&self, request: &str, outcome: Outcome) {
        let sent = request.replace("{host}", &self.host).replace("{auth}", AUTHORIZATION);
        let answer = exchange(self.proxy.address, &sent).await;
        let received = self.upstream.received();
        match outcome {
            Refused(status) => {
                assert!(answer.get(8..12) == Some(&format!(" {status}")), "{request:?}: {answer}");
                assert!(received.is_empty(), "{request:?} reached the server: {received:?}");
            }
            One(body) => {
                assert!(answer.get(8..12) == Some(" 200"), "{request:?}: {answer}");
                let [one] = received.as_slice() else { panic!("{request:?} became {received:?}") };
                assert_eq!(one.body, body, "{request:?}");
            }
        }
        received.iter().for_each(|received| self.check_head(request, received));
    }

    fn check_head(&self, request: &str, received: &Received) {
        let headers = &received.head.headers;
        let tokens: Vec<_> = headers.get_all("authorization").iter().collect();
        assert!(
            tokens.len() == 1 && received.header("authorization").starts_with("Bearer ey"),
            "{request:?}: {tokens:?}"
        );
        assert_eq!(received.header("host"), self.upstream.address.to_string(), "{request:?}");
        assert_eq!(headers.get_all("host").iter().count(), 1, "{request:?}");
        for name in headers.keys() {
            assert!(LET_THROUGH.contains(&name.as_str()), "{request:?} let {name} through");
        }
        assert!(!format!("{headers:?}").contains("forged"), "{request:?}: {headers:?}");
        let target = received.head.uri.to_string();
        assert!(target.starts_with('/') && !target.to_lowercase().contains("amz-"), "{request:?}: {target}");
    }
}

/// Sends these bytes and reads until the proxy closes. The writing side stays open: a client that has gone gets no answer.
async fn exchange(proxy: std::net::SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(proxy).await.expect("connected");
    stream.write_all(bytes.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = soon("the end of the answer", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_has_one_length_or_the_request_is_refused() {
    let scene = Scene::start(|_| {}).await;
    let put = "PUT /myorg/web-01/a HTTP/1.1\r\nhost: {host}\r\nauthorization: {auth}\r\nconnection: close\r\n";
    let smuggled = "GET /myorg/web-01/smuggled HTTP/1.1\r\nhost: {host}\r\nauthorization: {auth}\r\n\r\n";
    for (rest, outcome) in [
        ("content-length: 3\r\n\r\nabc", One("abc")),
        ("content-length: 3\r\ncontent-length: 3\r\n\r\nabc", One("abc")),
        ("content-length: 3\r\ncontent-length: 4\r\n\r\nabcd", Refused(400)),
        ("content-length: 3, 4\r\n\r\nabcd", Refused(400)),
        ("content-length: +3\r\n\r\nabc", Refused(400)),
        ("content-length: -1\r\n\r\n", Refused(400)),
        ("content-length: 0x3\r\n\r\nabc", Refused(400)),
        ("content-length: 18446744073709551617\r\n\r\nabc", Refused(400)),
        ("content-length : 3\r\n\r\nabc", Refused(400)),
        ("content-length\r\n\r\nabc", Refused(400)),
        ("content-length: 3\r\n content-length: 4\r\n\r\nabcd", Refused(400)),
        (
            "transfer-encoding: chunked\r\nx-amz-decoded-content-length: 3\r\n\r\n3;x=\"\ny\r\nabc\r\n0\r\n\r\n",
            Refused(400),
        ),
        ("transfer-encoding: chunked, identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        ("transfer-encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        ("transfer-encoding:\x0bchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Refused(400)),
    ] {
        scene.expect(&format!("{put}{rest}"), outcome).await;
    }
    // What follows an honest body is a request of its own or nothing, never a part of the one before.
    scene.expect(&format!("{put}content-length: 3\r\n\r\nabc{smuggled}"), One("abc")).await;
}

#[tokio::test]
async fn a_length_beside_chunks_never_splits_a_request() {
    let scene = Scene::start(|_| {}).await;
    let smuggled = "GET /myorg/web-01/smuggled HTTP/1.1\r\nhost: {host}\r\nauthorization: {auth}\r\n\r\n";
    for lengths in
        ["content-length: 5\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 5"]
    {
        let request = format!(
            "PUT /myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\nauthorization: {{auth}}\r\n{lengths}\r\nconnection: close\r\n\r\n0\r\n\r\n{smuggled}"
        );
        let sent = request.replace("{host}", &scene.host).replace("{auth}", AUTHORIZATION);
        let answer = exchange(scene.proxy.address, &sent).await;
        let paths: Vec<String> = scene.upstream.received().iter().map(|got| got.head.uri.to_string()).collect();
        assert!(!paths.contains(&"/myorg/web-01/smuggled".to_owned()), "{lengths}: {paths:?} {answer}");
    }
}

#[tokio::test]
async fn a_head_names_one_server_and_folds_nothing() {
    let scene = Scene::start(|_| {}).await;
    let signed = "authorization: {auth}\r\nconnection: close\r\n";
    for (request, outcome) in [
        (format!("GET /myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\n{signed}\r\n"), One("")),
        (format!("GET http://{{host}}/myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\n{signed}\r\n"), One("")),
        (format!("GET http://evil.com/myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\n{signed}\r\n"), Refused(403)),
        (format!("GET http://{{host}}/myorg/web-01/a HTTP/1.1\r\nhost: evil.com\r\n{signed}\r\n"), Refused(403)),
        (
            format!("GET http://evil.com@{{host}}/myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\n{signed}\r\n"),
            Refused(403),
        ),
        (format!("GET /myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\nhost: evil.com\r\n{signed}\r\n"), Refused(403)),
        (format!("GET /myorg/web-01/a HTTP/1.1\r\nhost: {{host}}, evil.com\r\n{signed}\r\n"), Refused(403)),
        (format!("GET /myorg/web-01/a HTTP/1.1\r\n{signed}\r\n"), Refused(403)),
        // HTTP/1.0 needs no Host of its own; ours does, and then it is a request like any other.
        (format!("GET /myorg/web-01/a HTTP/1.0\r\n{signed}\r\n"), Refused(403)),
        (format!("GET /myorg/web-01/a HTTP/1.0\r\nhost: {{host}}\r\n{signed}\r\n"), One("")),
        (
            format!("GET /myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\nx-amz-meta-a: b\r\n folded: c\r\n{signed}\r\n"),
            Refused(400),
        ),
        (format!("GET /myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\nx-amz-meta-a: b\0c\r\n{signed}\r\n"), Refused(400)),
        (
            format!(
                "GET /myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\nx-amz-meta-a: b\rauthorization: forged\r\n{signed}\r\n"
            ),
            Refused(400),
        ),
        (format!("GET /myorg/web-01/a\tHTTP/1.1\r\nhost: {{host}}\r\n{signed}\r\n"), Refused(400)),
        (format!("GET /myorg/web-01/a HTTP/2.0\r\nhost: {{host}}\r\n{signed}\r\n"), Refused(400)),
        (format!("GET /myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\n{signed}{signed}\r\n"), Refused(403)),
        (
            "CONNECT evil.com:443 HTTP/1.1\r\nhost: evil.com:443\r\nauthorization: {auth}\r\nconnection: close\r\n\r\n"
                .to_owned(),
            Refused(403),
        ),
    ] {
        scene.expect(&request, outcome).await;
    }
}

#[tokio::test]
async fn nothing_that_a_client_says_becomes_identity() {
    let scene = Scene::start(|_| {}).await;
    let head = |target: &str, more: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: {{host}}\r\nauthorization: {{auth}}\r\n{more}\r\n")
    };
    for more in [
        "connection: close, authorization\r\n",
        "connection: close, x-kheeper-attempt, host\r\n",
        "connection: close\r\nproxy-authorization: Bearer forged\r\n",
        "connection: close\r\nx-forwarded-for: forged\r\nx-forwarded-host: forged\r\nforwarded: for=forged\r\n",
        "connection: close\r\nx-real-ip: forged\r\nvia: forged\r\ncookie: forged\r\n",
        "connection: close\r\nx-kheeper-attempt: forged\r\nx-kheeper-length: 3\r\nx-kheeper-subject: forged\r\n",
        "connection: close\r\nx-amz-security-token: forged\r\nx-amz-date: 20260101T000000Z\r\n",
        "connection: close\r\nx-http-method-override: DELETE\r\nx-original-url: /forged\r\nx-rewrite-url: /forged\r\n",
        "connection: close, upgrade\r\nupgrade: h2c\r\nhttp2-settings: forged\r\n",
        "connection: close\r\nkeep-alive: forged\r\n",
    ] {
        scene.expect(&head("/myorg/web-01/a", more), One("")).await;
    }
    let presigned = "/myorg/web-01/a?X-Amz-Algorithm=forged&x-AMZ-credential=forged&X%2dAmz-Signature=forged&X-Amz-Security-Token=forged";
    scene.expect(&head(presigned, "connection: close\r\n"), One("")).await;
    let forged =
        "GET /myorg/web-01/a HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer forged\r\nconnection: close\r\n\r\n";
    scene.expect(forged, Refused(403)).await;
    // Even where unsigned requests are served, a Bearer of the client's goes nowhere.
    let trusting = Scene::start(|config| config.guard.allow_unsigned = true).await;
    trusting.expect(forged, One("")).await;
}

#[tokio::test]
async fn line_ends_in_metadata_are_refused_and_encoded_ones_stay_encoded() {
    let scene = Scene::start(|_| {}).await;
    let put = |value: &str| {
        format!(
            "PUT /myorg/web-01/a HTTP/1.1\r\nhost: {{host}}\r\nauthorization: {{auth}}\r\nconnection: close\r\n\
             content-length: 1\r\nx-amz-meta-a: {value}\r\n\r\nx"
        )
    };
    scene.expect(&put("a%0d%0aauthorization: x"), One("x")).await;
    scene.expect(&put("=?UTF-8?Q?a=0D=0Ab?="), One("x")).await;
    for bad in ["a\rb", "a\0b", "a\x7fb"] {
        scene.expect(&put(bad), Refused(400)).await;
    }
    // A bare line feed ends a line (RFC 9112 allows that); what follows is then a second Authorization.
    scene.expect(&put("a\nauthorization: forged"), Refused(403)).await;
}
