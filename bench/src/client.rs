//! One connection, one request at a time: as lean as HTTP/1.1 gets, so that the client does not hide the servers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http::header::{AUTHORIZATION, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kheeper_e2e::sigv4::{self, StaticKey};
use tokio::net::TcpStream;

use crate::case::Verb;
use crate::payload::Payload;

/// The client's read buffer; hyper's own default, stated because it shapes GET.
const READ_BUFFER_BYTES: usize = 400 * 1024;

/// Where requests go, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The address.
    pub(crate) address: SocketAddr,
    /// What every path begins with, `/bucket/prefix/` included.
    pub(crate) prefix: String,
    /// How it is asked.
    pub(crate) credential: Credential,
}

/// What a request says about its caller.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// A token, for `kheeper-server`.
    Bearer(String),
    /// A signature. The proxy only looks whether there is one, but S3 clients make it all the same.
    Signature(StaticKey),
}

/// A connection to a [`Target`].
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    host: String,
    sender: SendRequest<Payload>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(target: &Target) -> anyhow::Result<Self> {
        let sender = open(target.address).await?;
        Ok(Self { target: target.clone(), host: target.address.to_string(), sender })
    }

    /// Does one request to its very end and says how long it took. A GET must bring exactly `bytes` bytes.
    pub(crate) async fn run(&mut self, verb: Verb, key: &str, bytes: u64) -> anyhow::Result<Duration> {
        let path = format!("{}{key}", self.target.prefix);
        match verb {
            Verb::Put => self.exchange(Method::PUT, &path, bytes, 0).await,
            Verb::Get => self.exchange(Method::GET, &path, 0, bytes).await,
            Verb::Delete => self.exchange(Method::DELETE, &path, 0, 0).await,
        }
        .with_context(|| format!("{verb} {path} at {}", self.target.address))
    }

    /// Makes the bucket that the prefix begins with.
    pub(crate) async fn make_bucket(&mut self) -> anyhow::Result<()> {
        let bucket = self.target.prefix.split('/').nth(1).unwrap_or_default().to_owned();
        self.exchange(Method::PUT, &format!("/{bucket}"), 0, 0).await?;
        Ok(())
    }

    /// GETs a path as it is, which must succeed.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Duration> {
        self.exchange(Method::GET, path, 0, 0).await
    }

    /// GETs a path with another token, and says what became of it.
    pub(crate) async fn status_as(&mut self, path: &str, token: &str) -> anyhow::Result<StatusCode> {
        self.target.credential = Credential::Bearer(token.to_owned());
        if self.sender.ready().await.is_err() {
            self.sender = open(self.target.address).await?;
        }
        let response = self.sender.send_request(self.request(Method::GET, path, 0)?).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok(status)
    }

    async fn exchange(&mut self, method: Method, path: &str, sent: u64, expected: u64) -> anyhow::Result<Duration> {
        if self.sender.ready().await.is_err() {
            self.sender = open(self.target.address).await?;
        }
        let request = self.request(method, path, sent)?;
        let begun = Instant::now();
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let text = body.collect().await?.to_bytes();
            bail!("{status}: {}", String::from_utf8_lossy(&text));
        }
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        let took = begun.elapsed();
        ensure!(expected == 0 || received == expected, "{received} bytes came instead of {expected}");
        Ok(took)
    }

    fn request(&self, method: Method, path: &str, sent: u64) -> anyhow::Result<Request<Payload>> {
        let request = Request::builder().uri(path).header(HOST, &self.host);
        let request = match &self.target.credential {
            Credential::Bearer(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            Credential::Signature(key) => {
                let unsigned = sigv4::Unsigned {
                    method: method.as_str(),
                    path,
                    query: "",
                    headers: &[("host", &self.host), ("x-amz-content-sha256", sigv4::UNSIGNED)],
                    payload: sigv4::UNSIGNED,
                };
                let signature = sigv4::sign(*key, &unsigned, Timestamp::now());
                request
                    .header("x-amz-content-sha256", sigv4::UNSIGNED)
                    .header("x-amz-date", signature.date)
                    .header(AUTHORIZATION, signature.authorization)
            }
        };
        Ok(request.method(method).body(Payload::new(sent))?)
    }
}

async fn open(address: SocketAddr) -> anyhow::Result<SendRequest<Payload>> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("failed to connect to {address}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) =
        http1::Builder::new().max_buf_size(READ_BUFFER_BYTES).handshake(TokioIo::new(stream)).await?;
    // It ends with the sender; what breaks it is told to the request in flight.
    tokio::spawn(connection);
    Ok(sender)
}
