//! A server that records what it is sent and answers as it is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::running::soon;

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    /// None where the body broke off, or the answer did not wait for it.
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) whole: bool,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).map(|value| value.to_str().expect("ASCII")).unwrap_or_default()
    }
}

type Answering = dyn Fn(&Parts) -> Response<Full<Bytes>> + Send + Sync;

/// A server of the test's own.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    arrived: Arc<Notify>,
}

/// Whether the server reads a request's body before it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    Body,
    HeadOnly,
}

impl Upstream {
    /// A server that takes everything and says 200.
    pub(crate) async fn start() -> Self {
        Self::answering(Reads::Body, |_| Response::new(Full::default())).await
    }

    /// A server that answers by `answer`.
    pub(crate) async fn answering(
        reads: Reads,
        answer: impl Fn(&Parts) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let arrived = Arc::new(Notify::new());
        let answer: Arc<Answering> = Arc::new(answer);
        let record = (Arc::clone(&received), Arc::clone(&arrived));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, (received, arrived)) = (Arc::clone(&answer), record.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answer, received, arrived) =
                        (Arc::clone(&answer), Arc::clone(&received), Arc::clone(&arrived));
                    let future: Pin<Box<dyn Future<Output = Result<_, Infallible>> + Send>> = Box::pin(async move {
                        let (head, body) = request.into_parts();
                        let response = answer(&head);
                        let record = match reads {
                            Reads::Body => read(head, body).await,
                            Reads::HeadOnly => Received { head, body: Bytes::new(), trailers: None, whole: false },
                        };
                        received.lock().expect("no panic").push(record);
                        arrived.notify_one();
                        Ok(response)
                    });
                    future
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, received, arrived }
    }

    /// What arrived so far, taken.
    pub(crate) fn received(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().expect("no panic"))
    }

    /// Waits for one request, and takes it.
    pub(crate) async fn next(&self) -> Received {
        soon("a request", async {
            loop {
                if let Some(received) = self.received.lock().expect("no panic").pop() {
                    return received;
                }
                self.arrived.notified().await;
            }
        })
        .await
    }
}

async fn read(head: Parts, mut body: Incoming) -> Received {
    let mut received = Received { head, body: Bytes::new(), trailers: None, whole: true };
    let mut data = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(bytes)) => data.extend_from_slice(&bytes),
            Ok(Err(frame)) => received.trailers = frame.into_trailers().ok(),
            Err(_) => received.whole = false,
        }
    }
    received.body = data.into();
    received
}
