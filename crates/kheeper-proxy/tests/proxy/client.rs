//! An S3 client with dummy credentials.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::running::soon;

/// What every S3 client sends, whatever its credentials.
pub(crate) const AUTHORIZATION: &str =
    "AWS4-HMAC-SHA256 Credential=dummy/20260101/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=00";

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The code of an error document.
    pub(crate) fn code(&self) -> String {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let inside = text.split_once("<Code>").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        inside.split_once("</Code>").map(|(code, _)| code.to_owned()).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one signed request over a connection of its own; an error when the answer broke off.
pub(crate) async fn try_send(
    proxy: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answer, hyper::Error> {
    let stream = TcpStream::connect(proxy).await.expect("connected");
    let mut request = Request::builder().method(method).uri(target).header("host", proxy.to_string());
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        request = request.header("authorization", AUTHORIZATION);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send_over(stream, request.body(Full::new(body.into())).expect("valid")).await
}

/// The same, where the answer must be whole.
pub(crate) async fn send(
    proxy: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    try_send(proxy, method, target, headers, body).await.expect("an answer")
}

/// Sends one request over this connection.
pub(crate) async fn send_over<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = soon("an answer", sender.send_request(request)).await?;
    let (head, body) = response.into_parts();
    let body = soon("the answer's body", body.collect()).await?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// Sends these very bytes, then nothing more, and reads until the other side closes.
pub(crate) async fn send_raw(proxy: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(proxy).await.expect("connected");
    stream.write_all(bytes).await.expect("written");
    stream.shutdown().await.expect("shut");
    let mut answer = Vec::new();
    soon("the end of the answer", stream.read_to_end(&mut answer)).await.expect("no reset");
    String::from_utf8_lossy(&answer).into_owned()
}
