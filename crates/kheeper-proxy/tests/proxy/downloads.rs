//! GET: what comes back, and what happens when it stops coming.

use crate::client::{send, try_send};
use crate::running::{Proxy, soon};
use crate::scripted::{Scripted, header};

const BODY: &str = "0123456789abcdefghij";

fn head_200() -> String {
    format!("HTTP/1.1 200 OK\r\netag: \"abc\"\r\ncontent-length: {}\r\n\r\n", BODY.len())
}

fn head_206(etag: &str, first: usize) -> String {
    let (last, total) = (BODY.len() - 1, BODY.len());
    format!(
        "HTTP/1.1 206 Partial Content\r\netag: \"{etag}\"\r\ncontent-length: {}\r\ncontent-range: bytes {first}-{last}/{total}\r\n\r\n",
        total - first
    )
}

#[tokio::test]
async fn an_interrupted_get_goes_on_where_it_stopped() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let client = tokio::spawn(async move { send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await });
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    connection.write(format!("{}{}", head_200(), &BODY[..7])).await;
    drop(connection);

    let mut connection = scripted.accept().await;
    let request = connection.read_head().await;
    assert_eq!((header(&request, "range"), header(&request, "if-match")), ("bytes=7-19", "\"abc\""));
    connection.write(format!("{}{}", head_206("abc", 7), &BODY[7..11])).await;
    drop(connection);

    let mut connection = scripted.accept().await;
    assert_eq!(header(&connection.read_head().await, "range"), "bytes=11-19");
    connection.write(format!("{}{}", head_206("abc", 11), &BODY[11..])).await;
    let answer = soon("the answer", client).await.expect("no panic");
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, BODY));
}

#[tokio::test]
async fn an_interrupted_range_goes_on_within_the_range() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let range = [("range", "bytes=5-")];
    let client = tokio::spawn(async move { send(proxy.address, "GET", "/myorg/web-01/a", &range, "").await });
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    connection.write(format!("{}{}", head_206("abc", 5), &BODY[5..9])).await;
    drop(connection);
    let mut connection = scripted.accept().await;
    assert_eq!(header(&connection.read_head().await, "range"), "bytes=9-19");
    connection.write(format!("{}{}", head_206("abc", 9), &BODY[9..])).await;
    let answer = soon("the answer", client).await.expect("no panic");
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (206, &BODY[5..]));
}

#[tokio::test]
async fn a_get_that_cannot_go_on_is_aborted_and_never_ends_cleanly() {
    let other_object = format!("{}{}", head_206("other", 7), &BODY[7..]);
    let whole_again = format!("{}{BODY}", head_200());
    let changed = "HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\n\r\n".to_owned();
    for resumed in [other_object, whole_again, changed] {
        let scripted = Scripted::bind().await;
        let proxy = Proxy::start(scripted.address);
        let client = tokio::spawn(async move { try_send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await });
        let mut connection = scripted.accept().await;
        connection.read_head().await;
        connection.write(format!("{}{}", head_200(), &BODY[..7])).await;
        drop(connection);
        let mut connection = scripted.accept().await;
        connection.read_head().await;
        connection.write(&resumed).await;
        let answer = soon("the answer", client).await.expect("no panic");
        assert!(answer.is_err(), "{resumed} must not complete the download: {answer:?}");
    }
}

#[tokio::test]
async fn a_resumption_that_brings_nothing_is_the_last() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let client = tokio::spawn(async move { try_send(proxy.address, "GET", "/myorg/web-01/a", &[], "").await });
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    connection.write(format!("{}{}", head_200(), &BODY[..7])).await;
    drop(connection);
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    connection.write(head_206("abc", 7)).await;
    drop(connection);
    assert!(soon("the answer", client).await.expect("no panic").is_err());
}

#[tokio::test]
async fn an_answer_of_unknown_length_is_not_ended_cleanly_either() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let client = tokio::spawn(async move { try_send(proxy.address, "GET", "/myorg?list-type=2", &[], "").await });
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n<List\r\n").await;
    drop(connection);
    assert!(soon("the answer", client).await.expect("no panic").is_err());
}

#[tokio::test]
async fn a_get_whose_connection_broke_before_an_answer_is_asked_again_once() {
    let scripted = Scripted::bind().await;
    let proxy = Proxy::start(scripted.address);
    let address = proxy.address;
    let client = tokio::spawn(async move { send(address, "GET", "/myorg/web-01/a", &[], "").await });
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    drop(connection);
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    connection.write(format!("{}{BODY}", head_200())).await;
    assert_eq!(soon("the answer", client).await.expect("no panic").text(), BODY);

    let client = tokio::spawn(async move { send(address, "GET", "/myorg/web-01/a", &[], "").await });
    // The first try goes over the connection that waits, the second over a new one, and there is no third.
    connection.read_head().await;
    drop(connection);
    let mut connection = scripted.accept().await;
    connection.read_head().await;
    drop(connection);
    let answer = soon("the answer", client).await.expect("no panic");
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "ServiceUnavailable"));
}
