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
    let authority_key = KeyPair::generate().expect("made");
    let mut authority = CertificateParams::new(Vec::new()).expect("valid");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_der: CertificateDer<'static> = authority.self_signed(&authority_key).expect("signed").der().clone();
    let key = KeyPair::generate().expect("made");
    let issuer = Issuer::new(authority, authority_key);
    let leaf = CertificateParams::new(vec![name.to_owned()]).expect("valid").signed_by(&key, &issuer).expect("signed");
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
    let (pin, acceptor) = certificates(name);
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
