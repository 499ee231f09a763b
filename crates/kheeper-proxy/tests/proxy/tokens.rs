//! Tokens that the server no longer takes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::client::send;
use crate::running::Proxy;
use crate::upstream::{Reads, Upstream};

/// Refuses the first `refusals` requests with this error and this clock, then says 200.
async fn refusing(refusals: usize, status: u16, code: &'static str, clock: SystemTime) -> Upstream {
    let asked = AtomicUsize::new(0);
    Upstream::answering(Reads::HeadOnly, move |_| {
        let response = Response::builder().header("date", httpdate::fmt_http_date(clock));
        let refuse = asked.fetch_add(1, Ordering::SeqCst) < refusals;
        let (status, body) =
            if refuse { (status, format!("<Error><Code>{code}</Code></Error>")) } else { (200, String::new()) };
        response.status(status).body(Full::from(body)).expect("valid")
    })
    .await
}

#[tokio::test]
async fn an_expired_token_is_replaced_and_the_client_never_sees_it() {
    for (status, code) in [(400, "ExpiredToken"), (403, "RequestTimeTooSkewed")] {
        for (method, body) in [("GET", Bytes::new()), ("PUT", Bytes::from_static(b"hello"))] {
            let upstream = refusing(1, status, code, SystemTime::now()).await;
            let proxy = Proxy::start(upstream.address);
            let answer = send(proxy.address, method, "/myorg/web-01/a", &[], body).await;
            assert_eq!(answer.status, 200, "{method} {code}: {}", answer.text());
            assert_eq!(upstream.received().len(), 2);
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_replaced_before_a_byte_of_a_large_body_is_read() {
    let upstream = refusing(1, 400, "ExpiredToken", SystemTime::now()).await;
    let proxy = Proxy::start(upstream.address);
    let answer = send(proxy.address, "PUT", "/myorg/web-01/a", &[], vec![0; 1_000_000]).await;
    // The second try is answered 200 before the body was asked for, which the proxy must not believe: it was made.
    assert_eq!(answer.code(), "InternalError");
    let attempts: Vec<String> = upstream.received().iter().map(|r| r.header("x-kheeper-attempt").to_owned()).collect();
    assert!(attempts.len() == 2 && attempts[0] == attempts[1], "{attempts:?}");
}

#[tokio::test]
async fn a_token_is_replaced_once_and_then_the_refusal_stands() {
    let upstream = refusing(9, 400, "ExpiredToken", SystemTime::now()).await;
    let proxy = Proxy::start(upstream.address);
    let answer = send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "ExpiredToken"));
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn a_wrong_clock_is_named_with_its_seconds_and_not_tried_again() {
    for (status, code) in [(400, "ExpiredToken"), (403, "RequestTimeTooSkewed")] {
        let upstream = refusing(9, status, code, SystemTime::now() + Duration::from_secs(7200)).await;
        let proxy = Proxy::start(upstream.address);
        let answer = send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "RequestTimeTooSkewed"));
        let text = answer.text();
        assert!(text.contains("7200 s behind") || text.contains("7199 s behind"), "{text}");
        assert_eq!(upstream.received().len(), 1);
        let metrics = send(proxy.address, "GET", "/-/metrics", &[], "").await.text();
        assert!(metrics.contains("kheeper_proxy_clock_ahead_seconds -7"), "{metrics}");
        assert_eq!(send(proxy.address, "HEAD", "/myorg/web-01/a", &[], "").await.status, 403);
    }
}

#[tokio::test]
async fn any_other_refusal_is_passed_on_at_once() {
    let upstream = refusing(9, 403, "AccessDenied", SystemTime::now()).await;
    let proxy = Proxy::start(upstream.address);
    assert_eq!(send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await.code(), "AccessDenied");
    assert_eq!(send(proxy.address, "HEAD", "/myorg/web-01/a", &[], "").await.status, 403);
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn drift_is_measured_on_answers_that_refuse_nothing() {
    let upstream = refusing(0, 200, "", SystemTime::now() - Duration::from_secs(200)).await;
    let proxy = Proxy::start(upstream.address);
    let metrics = || async { send(proxy.address, "GET", "/-/metrics", &[], "").await.text() };
    assert!(!metrics().await.contains("clock_ahead"), "nothing is known yet");
    assert_eq!(send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await.status, 200);
    let metrics = metrics().await;
    assert!(metrics.contains("kheeper_proxy_clock_ahead_seconds 20"), "{metrics}");
}
