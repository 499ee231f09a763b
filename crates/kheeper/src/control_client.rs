//! Calls of the control API: one connection, one request, one answer, each with a deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kheeper_identity::token::{AccessRequest, mint_access};
use kheeper_identity::{Identity, Origin, PrivateKey, ServerTrust, SubjectId};
use kheeper_model::api::Problem;
use kheeper_model::limits::CLOCK_SKEW_SECS_MAX;
use kheeper_model::{Clock as _, SystemClock, Timestamp};
use rustls::CertificateError;
use rustls_pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::cli::GlobalArgs;
use crate::error::{ControlError, Failure};
use crate::exit_code::ExitCode;

/// Connecting and the TLS handshake, each.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// From the request to the end of the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer, at the most.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Seconds that a token for one call lives.
const TOKEN_TTL_SECS: u64 = 60;

/// A server, and who calls it.
pub(crate) struct ControlClient {
    origin: Origin,
    tls: Option<TlsConnector>,
    caller: Option<Caller>,
}

/// What tokens are made of.
struct Caller {
    subject: SubjectId,
    key: Arc<PrivateKey>,
}

/// What a call returned, and when by the server's clock.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// The record or records.
    pub(crate) value: T,
    /// The server's clock, or ours where it sent none.
    pub(crate) server_time: Timestamp,
}

impl ControlClient {
    /// A client that calls as nobody: for joining.
    pub(crate) fn anonymous(origin: Origin, trust: &ServerTrust, global: &GlobalArgs) -> anyhow::Result<Self> {
        global.check_origin(&origin)?;
        let tls = if origin.is_https() { Some(TlsConnector::from(Arc::new(trust.client_config()?))) } else { None };
        Ok(Self { origin, tls, caller: None })
    }

    /// A client that calls with an identity.
    pub(crate) fn with_identity(
        identity: &Identity,
        key: Arc<PrivateKey>,
        global: &GlobalArgs,
    ) -> anyhow::Result<Self> {
        let trust = ServerTrust::choose(global.ca_file.clone(), identity.pin);
        let mut client = Self::anonymous(identity.origin.clone(), &trust, global)?;
        client.caller = Some(Caller { subject: identity.subject.id(), key });
        Ok(client)
    }

    /// A client that calls with the identity of the context in use.
    pub(crate) fn for_context(global: &GlobalArgs) -> anyhow::Result<Self> {
        let (identity, key) = global.context()?.identity_and_key()?;
        Self::with_identity(&identity, Arc::new(key), global)
    }

    /// `GET path`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ControlError> {
        self.call(Method::GET, path, None).await
    }

    /// `POST path` with a JSON body.
    pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Answer<T>, ControlError> {
        let body = serde_json::to_vec(body).expect("the API's records are JSON");
        self.call(Method::POST, path, Some(body)).await
    }

    /// `PUT path` with a JSON body.
    pub(crate) async fn put<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Answer<T>, ControlError> {
        let body = serde_json::to_vec(body).expect("the API's records are JSON");
        self.call(Method::PUT, path, Some(body)).await
    }

    /// `POST path` without a body.
    pub(crate) async fn post_empty<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ControlError> {
        self.call(Method::POST, path, None).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ControlError> {
        self.call(Method::DELETE, path, None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer<T>, ControlError> {
        let request = self.request(method, path, body);
        let response = self.send(request).await?;
        let server_time = date_of(&response);
        let status = response.status();
        let body = response.into_body();
        if status.is_success() {
            let value = serde_json::from_slice(&body).map_err(|error| self.not_kheeper(status, &error.to_string()))?;
            return Ok(Answer { value, server_time: server_time.unwrap_or_else(|| SystemClock.now()) });
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
            return Err(self.not_kheeper(status, "no problem document in the answer"));
        };
        Err(self.clock_off(status, server_time).unwrap_or(ControlError::Refused { problem }))
    }

    fn request(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/-/api/v1{path}"))
            .header(header::HOST, self.origin.authority())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("kheeper/", env!("CARGO_PKG_VERSION")));
        if let Some(caller) = &self.caller {
            let mut bearer = caller.bearer(&self.origin);
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(Full::from(body.unwrap_or_default())).expect("paths are built from validated names")
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ControlError> {
        let address = (self.origin.connect_host(), self.origin.port());
        let unreachable = |why: String| ControlError::Unreachable { origin: self.origin.clone(), why };
        let tcp = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Err(_) => return Err(unreachable(format!("no connection within {CONNECT_TIMEOUT:?}"))),
        };
        let Some(tls) = &self.tls else { return self.exchange(tcp, request).await };
        let name = ServerName::try_from(self.origin.connect_host().to_owned())
            .map_err(|error| unreachable(error.to_string()))?;
        match timeout(CONNECT_TIMEOUT, tls.connect(name, tcp)).await {
            Ok(Ok(stream)) => self.exchange(stream, request).await,
            Ok(Err(error)) => Err(self.tls_error(&error)),
            Err(_) => Err(unreachable(format!("no TLS handshake within {CONNECT_TIMEOUT:?}"))),
        }
    }

    async fn exchange<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ControlError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let changes = request.method() != Method::GET;
        let no_answer = |why: String| ControlError::NoAnswer { origin: self.origin.clone(), why, changes };
        let http_error = |error: hyper::Error| match error.is_parse() {
            true => ControlError::NotKheeper { origin: self.origin.clone(), what: format!("not HTTP: {error}") },
            false => no_answer(error.to_string()),
        };
        let exchange = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(http_error)?;
            let connection = tokio::spawn(connection);
            let (head, body) = sender.send_request(request).await.map_err(http_error)?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            connection.abort();
            Ok(Response::from_parts(head, body.map_err(|error| no_answer(error.to_string()))?.to_bytes()))
        };
        timeout(ANSWER_TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(no_answer(format!("no answer within {ANSWER_TIMEOUT:?}"))))
    }

    fn tls_error(&self, error: &std::io::Error) -> ControlError {
        let origin = self.origin.clone();
        let why = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => why,
            _ => return ControlError::Tls { origin, why: error.to_string() },
        };
        let why = match why {
            CertificateError::UnknownIssuer => "no authority that is believed here signed it".to_owned(),
            CertificateError::Other(inner) => inner.0.to_string(),
            other => other.to_string(),
        };
        ControlError::CertificateNotTrusted { origin, why }
    }

    fn not_kheeper(&self, status: StatusCode, why: &str) -> ControlError {
        ControlError::NotKheeper { origin: self.origin.clone(), what: format!("status {}, {why}", status.as_u16()) }
    }

    /// A refusal that the clocks explain.
    fn clock_off(&self, status: StatusCode, server_time: Option<Timestamp>) -> Option<ControlError> {
        let refused = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let difference = SystemClock.now().as_secs() - server_time?.as_secs();
        let secs = difference.unsigned_abs();
        (refused && self.caller.is_some() && secs > CLOCK_SKEW_SECS_MAX).then(|| ControlError::ClockOff {
            origin: self.origin.clone(),
            secs,
            ahead: difference > 0,
        })
    }
}

impl Caller {
    fn bearer(&self, audience: &Origin) -> HeaderValue {
        let request = AccessRequest {
            subject: &self.subject,
            audience,
            now: SystemClock.now(),
            ttl_secs: TOKEN_TTL_SECS,
            scope: None,
        };
        let token = mint_access(&self.key, &request);
        HeaderValue::try_from(format!("Bearer {}", token.reveal())).expect("a token is base64url and dots")
    }
}

fn date_of<B>(response: &Response<B>) -> Option<Timestamp> {
    let date = response.headers().get(header::DATE)?.to_str().ok()?;
    let since_1970 = httpdate::parse_http_date(date).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_secs(i64::try_from(since_1970.as_secs()).ok()?))
}

impl GlobalArgs {
    /// Refuses to send a token, which is as good as a password for its minutes, over a network in the clear.
    fn check_origin(&self, origin: &Origin) -> Result<(), Failure> {
        if origin.is_https() || origin.is_loopback() || self.allow_plain_http {
            return Ok(());
        }
        let message = format!(
            "{origin} is not protected by TLS, and whoever listens on the way could use what is sent: use https://, or say --allow-plain-http"
        );
        Err(Failure::new(ExitCode::Config, message))
    }
}

#[cfg(test)]
mod tests;
