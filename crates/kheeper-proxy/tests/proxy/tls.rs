//! TLS to the server: whom the proxy believes, and what crosses the wire before it does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kheeper_identity::{Pin, ServerTrust};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::client::send;
use crate::running::{Proxy, config, soon};
use crate::scripted::Scripted;

/// A server's own authority and the certificate that it issued for `name`.
fn certificates(name: &str) -> (Pin, TlsAcceptor) {
    certificates_good_until(name, 4000)
}

/// The same, good until that year.
fn certificates_good_until(name: &str, year: i32) -> (Pin, TlsAcceptor) {
    let authority_key = KeyPair::generate().expect("made");
    let mut authority = CertificateParams::new(Vec::new()).expect("valid");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_der: CertificateDer<'static> = authority.self_signed(&authority_key).expect("signed").der().clone();
    let key = KeyPair::generate().expect("made");
    let issuer = Issuer::new(authority, authority_key);
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).expect("valid");
    leaf.not_after = rcgen::date_time_ymd(year, 1, 1);
    let leaf = leaf.signed_by(&key, &issuer).expect("signed");
    let chain = vec![leaf.der().clone(), authority_der.clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let server =
        server.expect("valid").with_no_client_auth().with_single_cert(chain, key).expect("they belong together");
    (Pin::of_certificate(&authority_der), TlsAcceptor::from(Arc::new(server)))
}

/// Answers one request, and gives what it read once the handshake was done, if it was.
async fn serve_one(listener: TcpListener, acceptor: TlsAcceptor) -> Option<String> {
    let (stream, _) = listener.accept().await.expect("accepted");
    let mut stream = acceptor.accept(stream).await.ok()?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return Some(String::from_utf8_lossy(&request).into_owned()),
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.expect("written");
    let _ = stream.shutdown().await;
    Some(String::from_utf8_lossy(&request).into_owned())
}

async fn ask(name: &str, trust: impl FnOnce(Pin) -> ServerTrust) -> (u16, String, Option<String>) {
    ask_server(certificates(name), trust).await
}

async fn ask_server(
    (pin, acceptor): (Pin, TlsAcceptor),
    trust: impl FnOnce(Pin) -> ServerTrust,
) -> (u16, String, Option<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = tokio::spawn(serve_one(listener, acceptor));
    let mut config = config(&format!("https://127.0.0.1:{port}"));
    config.trust = trust(pin);
    let proxy = Proxy::with(config);
    let answer = send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await;
    (answer.status.as_u16(), answer.text(), soon("the server's end", server).await.expect("no panic"))
}

#[tokio::test]
async fn the_pinned_authority_is_believed() {
    let (status, text, request) = ask("127.0.0.1", ServerTrust::Pinned).await;
    assert_eq!((status, text.as_str()), (200, "hello"));
    assert!(request.expect("a request").contains("authorization: Bearer ey"));
}

#[tokio::test]
async fn another_authority_or_another_name_gets_no_token() {
    for (name, pin) in [("127.0.0.1", Some(Pin::of_certificate(b"another"))), ("other.example.com", None)] {
        let (status, text, request) = ask(name, |own| ServerTrust::Pinned(pin.unwrap_or(own))).await;
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("TLS failed"), "{text}");
        assert!(
            request.is_none_or(|request| request.is_empty()),
            "nothing may be sent before the certificate is believed"
        );
    }
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_is_a_503_within_2_s() {
    let scripted = Scripted::bind().await;
    let mut config = config(&format!("https://{}", scripted.address));
    config.trust = ServerTrust::Pinned(Pin::of_certificate(b"whatever"));
    let proxy = Proxy::with(config);
    let began = Instant::now();
    let answer = send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await;
    assert_eq!(answer.status, 503);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_expired_certificate_gets_no_token() {
    let (status, text, request) = ask_server(certificates_good_until("127.0.0.1", 2020), ServerTrust::Pinned).await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("TLS failed") && text.to_lowercase().contains("expired"), "{text}");
    assert!(request.is_none_or(|request| request.is_empty()), "nothing may be sent before the certificate is believed");
}

/// A server hello of TLS 1.1 with a cipher suite of that time.
const TLS_1_1_HELLO: [u8; 47] = {
    let mut hello = [7; 47];
    let head = [0x16, 0x03, 0x02, 0, 42, 0x02, 0, 0, 38, 0x03, 0x02];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    // After the random: no session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello[43] = 0;
    hello[44] = 0x00;
    hello[45] = 0x2f;
    hello[46] = 0;
    hello
};

#[tokio::test]
async fn a_server_without_modern_tls_sees_not_one_byte_of_a_token() {
    for answer in [&TLS_1_1_HELLO[..], b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"] {
        let scripted = Scripted::bind().await;
        let mut config = config(&format!("https://{}", scripted.address));
        config.trust = ServerTrust::Pinned(Pin::of_certificate(b"whatever"));
        let proxy = Proxy::with(config);
        let server = tokio::spawn(async move {
            let mut connection = scripted.accept().await;
            connection.write(answer).await;
            connection.read_to_end().await
        });
        let refused = send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        let wire = String::from_utf8_lossy(&soon("what was sent", server).await.expect("no panic")).into_owned();
        assert!(!wire.is_empty(), "a client hello at least");
        for secret in ["Bearer", "eyJ", "authorization", "myorg"] {
            assert!(!wire.contains(secret), "{secret} was on the wire");
        }
    }
}
