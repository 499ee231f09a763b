//! Connections that wait for the next request.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::body::RequestBody;
use super::connect::{ConnectError, Connector};
use crate::limits::{IDLE_UPSTREAM_MAX, IDLE_UPSTREAM_TIME};

/// Connections to the origin, reused last in, first out, so that those not needed grow old and go.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    connector: Connector,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// Whether a connection that was used before will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// It will.
    Allowed,
    /// A new one is needed.
    Never,
}

/// One connection, for one request.
pub(crate) struct Lease {
    sender: SendRequest<RequestBody>,
    pool: Pool,
    /// Whether it was used before, so that the server may have closed it meanwhile.
    pub(crate) reused: bool,
}

impl Pool {
    pub(crate) fn new(connector: Connector) -> Self {
        Self(Arc::new(Inner { connector, idle: Mutex::default() }))
    }

    /// A connection: one that waits, or a new one.
    pub(crate) async fn lease(&self, reuse: Reuse) -> Result<Lease, ConnectError> {
        if reuse == Reuse::Allowed
            && let Some(sender) = self.take_idle()
        {
            return Ok(Lease { sender, pool: self.clone(), reused: true });
        }
        Ok(Lease { sender: self.0.connector.connect().await?, pool: self.clone(), reused: false })
    }

    fn take_idle(&self) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE_UPSTREAM_TIME && idle.sender.is_ready());
        idle.pop().map(|idle| idle.sender)
    }

    fn put_idle(&self, sender: SendRequest<RequestBody>) {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE_UPSTREAM_TIME && !idle.sender.is_closed());
        if idle.len() < IDLE_UPSTREAM_MAX {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }
}

impl Lease {
    /// Sends one request; the answer is its head, the body follows. The connection goes back to the pool by itself
    /// once both bodies are through, and is dropped when either breaks off.
    pub(crate) async fn send(self, request: Request<RequestBody>) -> hyper::Result<Response<Incoming>> {
        let Self { mut sender, pool, reused: _ } = self;
        let response = sender.send_request(request).await?;
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                pool.put_idle(sender);
            }
        });
        Ok(response)
    }
}
