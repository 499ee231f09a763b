//! One request, start to end: parse, authenticate, admit, authorize, dispatch, respond.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use kheeper_model::AttemptId;
use kheeper_s3::header::check_section;
use kheeper_s3::{Operation, S3Error, as_of};
use tower::ServiceExt as _;

use super::admit::{admit, check_length, demand};
use super::audit_events as audit;
use super::authenticate::{Identity, authenticate};
use super::authorize::{authorize, class_name, explain};
use super::body::RequestBody;
use super::dispatch::{Call, dispatch};
use super::lending::{ShownHosts, grant_for, grants_used};
use super::respond::{self, Holding, Overwrote, ResponseBody};
use super::traffic::Meter;
use crate::app::App;
use crate::control::{self, CallSeen};
use crate::error::Refusal;
use crate::listen::Service;

/// Everything of ours is below it; `-` can be no org.
const CONTROL_PREFIX: &str = "/-/";
/// A call of the control API has so long, its body included: anyone may begin one.
const CONTROL_DEADLINE: Duration = Duration::from_secs(60);

/// Answers requests: S3's own, and those of the control API.
pub(crate) struct Handler {
    app: Arc<App>,
    control: axum::Router,
}

impl Handler {
    /// A handler for `app`.
    pub(crate) fn new(app: &Arc<App>) -> Arc<Self> {
        Arc::new(Self { app: Arc::clone(app), control: control::router(Arc::clone(app)) })
    }
}

impl Service for Handler {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Response<ResponseBody> {
        if !self.app.admits_address(peer.ip()) {
            tracing::warn!(%peer, "a connection from outside --behind-tls-proxy was refused");
            return respond::status(StatusCode::FORBIDDEN);
        }
        if let Err(error) = check_section(request.uri(), request.headers()) {
            let request_id = AttemptId::random().to_string();
            let is_head = request.method() == Method::HEAD;
            let mut response = respond::error(&error, is_head, request.uri().path(), &request_id);
            respond::close_after(&mut response);
            return response;
        }
        if request.uri().path().starts_with(CONTROL_PREFIX) {
            call_control(&self.app, self.control.clone(), request, peer.ip()).await
        } else {
            s3(&self.app, request, peer).await
        }
    }
}

async fn s3(app: &Arc<App>, request: Request<Incoming>, peer: SocketAddr) -> Response<ResponseBody> {
    let request_id = AttemptId::random().to_string();
    let (head, incoming) = request.into_parts();
    let mut body = RequestBody::new(incoming, app.body_rate_min);
    let from = app.address_of(peer.ip(), &head.headers);
    let mut response = match object(app, &head, &mut body, from).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%request_id, %peer, method = %head.method, code = error.code.as_str(), "refused");
            respond::error(&error, head.method == Method::HEAD, head.uri.path(), &request_id)
        }
    };
    if !body.is_read() {
        respond::close_after(&mut response);
    }
    respond::set(&mut response, respond::REQUEST_ID, &request_id);
    response
}

/// The six steps. Who is calling is settled before anything that was wrong with the request is told, and once more if they
/// had to wait; what they may do is judged when their turn has come.
async fn object(
    app: &Arc<App>,
    head: &Parts,
    body: &mut RequestBody,
    from: IpAddr,
) -> Result<Response<ResponseBody>, S3Error> {
    let parsed = Operation::parse(&head.method, head.uri.path(), head.uri.query(), &head.headers);
    let mut identity = known(app, head, from).await?;
    let caller = identity.store_caller().subject;
    let place = admit(app, &caller, demand(parsed.as_ref().ok(), &head.headers), head).await?;
    if place.was_waited_for() {
        identity = known(app, head, from).await?;
    }
    let answered = allowed(app, &identity, parsed, head, body).await;
    if let Err(error) = &answered {
        audit::refused_to(app, &identity, error, &head.method, head.uri.path());
    }
    Ok(answered?.map(|body| Holding::until_sent(body, place)))
}

/// Who is calling; a refusal is written down.
async fn known(app: &Arc<App>, head: &Parts, from: IpAddr) -> Result<Identity, S3Error> {
    authenticate(app, &head.headers, from).await.map_err(|refusal| {
        audit::refused(app, &refusal, from, &head.method, head.uri.path());
        refusal.into()
    })
}

/// What is left once it is known who is calling.
async fn allowed(
    app: &Arc<App>,
    identity: &Identity,
    parsed: Result<Operation, S3Error>,
    head: &Parts,
    body: &mut RequestBody,
) -> Result<Response<ResponseBody>, S3Error> {
    let now = app.clock.now();
    let operation = parsed.map_err(|error| explain(identity, head, now, error))?;
    let access = authorize(&app.store, identity, &operation, now, as_of::parse(&head.headers)?)?;
    let named = grant_for(identity, &operation).cloned();
    check_length(&operation, &head.headers)?;
    let (name, class) = (operation.name(), operation.class());
    let meter = Meter::new(app.store.clone(), class);
    let answered = dispatch(Call::new(app, identity, head, body, meter)?, access, operation).await;
    let outcome = answered.as_ref().map_or_else(S3Error::status, Response::status);
    metrics::counter!(
        "kheeper_requests_total",
        "operation" => name, "class" => class_name(class), "status" => outcome.as_str().to_owned(),
    )
    .increment(1);
    if let (Some(grant), Err(_)) = (&named, &answered) {
        // That something is not there was read by the grant, too.
        audit::lent(app, identity, grant, name, head.uri.path());
    }
    let mut response = answered?;
    if response.extensions_mut().remove::<Overwrote>().is_some() {
        audit::overwritten(app, identity, name, head.uri.path());
    }
    let shown = response.extensions_mut().remove::<ShownHosts>();
    for grant in grants_used(identity, named, shown.as_ref(), now) {
        respond::add_grant(&mut response, &grant, now);
        audit::lent(app, identity, &grant, name, head.uri.path());
    }
    Ok(response)
}

async fn call_control(
    app: &App,
    router: axum::Router,
    request: Request<Incoming>,
    peer: IpAddr,
) -> Response<ResponseBody> {
    let from = app.address_of(peer, request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let seen = CallSeen::new(from);
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(seen.clone());
    let called = tokio::time::timeout(CONTROL_DEADLINE, router.oneshot(request)).await;
    let response = match called {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => return respond::status(StatusCode::REQUEST_TIMEOUT),
    };
    if response.status() == StatusCode::FORBIDDEN {
        match seen.identity() {
            Some(identity) => audit::denied(app, identity, &method, &path),
            None => audit::refused(app, &Refusal::Unauthenticated("control"), from, &method, &path),
        }
    }
    response.map(|body| body.map_err(std::io::Error::other).boxed_unsync())
}
