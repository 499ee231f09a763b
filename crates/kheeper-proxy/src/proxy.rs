//! One request, from its head to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;
use kheeper_identity::{IdentitySubject, Scope};
use kheeper_model::{AttemptId, Clock};
use kheeper_s3::header::check_section;
use kheeper_s3::{S3Error, S3ErrorCode, as_of};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::attach_token::TokenSource;
use crate::check_local_caller::{Caller, Guard, is_s3_method};
use crate::clock_drift::ClockDrift;
use crate::config::{Access, ProxyConfig};
use crate::error::{Refusal, StartError};
use crate::forward::{self, AnswerBody, ClientBody};
use crate::grant_notice::GrantNotices;
use crate::limits::{DOWNLOADS_MAX, UPLOADS_MAX};
use crate::metrics::Metrics;
use crate::own_endpoints::{self, Readiness};
use crate::upstream::{Connector, Pool};

/// Everything that requests share.
pub(crate) struct Proxy {
    pub(crate) guard: Guard,
    pub(crate) metrics: Metrics,
    pub(crate) pool: Pool,
    pub(crate) tokens: TokenSource,
    /// `host:port` of the origin, for `Host`.
    pub(crate) authority: HeaderValue,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) downloads: Arc<Semaphore>,
    pub(crate) readiness: Readiness,
    pub(crate) drift: ClockDrift,
    /// What ends TLS on the local side, where it is spoken.
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) grants: GrantNotices,
    /// When requests look at, if not now.
    pub(crate) at: Option<HeaderValue>,
    writes_refused: Option<String>,
}

impl Proxy {
    /// Loads what has to be loaded; binds and connects to nothing yet.
    pub(crate) fn new(
        config: &ProxyConfig,
        tls: Option<TlsAcceptor>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let identity = &config.identity;
        let scope = match &config.access {
            Access::Full => None,
            Access::Read(scope) => Some(scope.clone()),
        };
        let authority = HeaderValue::try_from(identity.origin.authority())
            .map_err(|_| StartError::Config(format!("the origin {} cannot be a Host header", identity.origin)))?;
        let tokens = TokenSource::new(
            Arc::clone(&config.key),
            identity.subject.id(),
            identity.origin.clone(),
            scope.clone(),
            clock,
        );
        Ok(Self {
            guard: Guard::new(&config.guard)?,
            metrics: Metrics::default(),
            pool: Pool::new(Connector::new(&identity.origin, &config.trust)?),
            tokens,
            authority,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
            readiness: Readiness::default(),
            drift: ClockDrift::default(),
            tls,
            grants: GrantNotices::default(),
            at: config.at.map(as_of::header_value),
            writes_refused: why_no_writes(config, scope.as_ref()),
        })
    }

    /// Compares the clocks by an answer of the server's: the seconds by which ours is ahead.
    pub(crate) fn compare_clocks(&self, headers: &http::HeaderMap) -> Option<i64> {
        self.drift.observe(headers, self.tokens.now())
    }

    /// Why this proxy forwards no writes, if it does not.
    pub(crate) fn writes_refused(&self) -> Option<&str> {
        self.writes_refused.as_deref()
    }

    /// Answers one request. Never fails: an error is an answer too.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>, caller: Caller) -> Response<AnswerBody> {
        let present = self.metrics.in_flight.enter();
        let request_id = AttemptId::random().to_string();
        let (head, body) = request.into_parts();
        // Whoever expects a go-ahead for an empty body gets none from hyper, and botocore (aws cli, barman) then takes the
        // status of this answer for the next one's too, until the connection is closed.
        let expects_in_vain = head.headers.contains_key(header::EXPECT) && body.is_end_stream();
        let mut body = ClientBody::new(body);
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let mut response = match self.route(head, &mut body, caller).await {
            Ok(response) => response,
            Err(refusal) => self.refuse(&method, &path, &request_id, refusal),
        };
        if expects_in_vain || !body.is_finished() {
            // Nobody will read the rest: without this a client would send it all, and then another request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        tracing::debug!(%method, path, status = response.status().as_u16(), request_id, "answered");
        self.metrics.answered(response.status());
        response.map(|body| body.holding(present))
    }

    async fn route(
        self: &Arc<Self>,
        head: Parts,
        body: &mut ClientBody,
        caller: Caller,
    ) -> Result<Response<AnswerBody>, Refusal> {
        self.guard.check_caller(caller, &head)?;
        check_section(&head.uri, &head.headers)?;
        if own_endpoints::is_own(head.uri.path()) {
            return own_endpoints::answer(self, &head).await;
        }
        self.guard.check_signed(&head.headers)?;
        if !is_s3_method(&head.method) {
            return Err(S3Error::new(S3ErrorCode::MethodNotAllowed).into());
        }
        forward::forward(self, head, body).await
    }

    /// The proxy's own error, logged here and nowhere else.
    fn refuse(&self, method: &Method, path: &str, request_id: &str, refusal: Refusal) -> Response<AnswerBody> {
        let Refusal { error, detail } = refusal;
        let detail = detail.as_deref().unwrap_or_default();
        tracing::warn!(%method, path, code = %error.code, why = %error.message, detail, request_id, "refused by the proxy");
        self.metrics.refused.add(1);
        if error.code == S3ErrorCode::ServiceUnavailable {
            self.metrics.upstream_failures.add(1);
        }
        let body = if *method == Method::HEAD { Bytes::new() } else { error.to_xml(path, request_id) };
        let mut response = Response::new(AnswerBody::whole(body));
        *response.status_mut() = error.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        if let Ok(request_id) = HeaderValue::from_str(request_id) {
            headers.insert("x-amz-request-id", request_id);
        }
        response
    }
}

fn why_no_writes(config: &ProxyConfig, scope: Option<&Scope>) -> Option<String> {
    if scope.is_some() {
        let owner = match &config.identity.subject {
            IdentitySubject::User { .. } => "an owner reads the backups of every host and writes none",
            IdentitySubject::Host { .. } => "it was started with a scope",
        };
        return Some(format!("this proxy is read-only: {owner}."));
    }
    config.identity.why_no_writes_here(config.machine_id.as_ref())
}
