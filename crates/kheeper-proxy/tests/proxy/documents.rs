//! Bodies that are read whole: DeleteObjects, CompleteMultipartUpload.

use crate::client::send;
use crate::running::Proxy;
use crate::upstream::Upstream;

const DELETE: &str = "<Delete><Object><Key>web-01/a</Key></Object></Delete>";

#[tokio::test]
async fn a_document_goes_on_with_its_length_and_an_attempt() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    let answer = send(proxy.address, "POST", "/myorg?delete=", &[], DELETE).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = upstream.next().await;
    assert_eq!(received.body, DELETE);
    assert_eq!(received.header("content-length"), DELETE.len().to_string());
    assert_eq!(received.header("x-kheeper-attempt").len(), 32);
    assert_eq!(received.header("transfer-encoding"), "");
}

#[tokio::test]
async fn a_framed_document_is_unframed() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    let decoded = DELETE.len().to_string();
    let headers = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", decoded.as_str()),
    ];
    let framed = format!("{:x}\r\n{DELETE}\r\n0\r\n\r\n", DELETE.len());
    assert_eq!(send(proxy.address, "POST", "/myorg/?delete", &headers, framed).await.status, 200);
    assert_eq!(upstream.next().await.body, DELETE);
}

#[tokio::test]
async fn a_document_that_is_damaged_or_too_large_goes_nowhere() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(upstream.address);
    let md5 = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    assert_eq!(send(proxy.address, "POST", "/myorg?delete", &md5, DELETE).await.code(), "BadDigest");
    let large = vec![b' '; 2 * 1024 * 1024 + 1];
    assert_eq!(send(proxy.address, "POST", "/myorg?delete", &[], large).await.code(), "EntityTooLarge");
    assert!(upstream.received().is_empty());
}
