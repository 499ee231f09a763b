//! From a client's request to the server's answer.
//!
//! What a request means is decided by [`kheeper_s3::Operation`], the same code that the server uses: an upload is
//! streamed through (`upload`), a document is read whole, everything else has no body that means anything. The answer
//! streams back (`download`), and an interrupted GET is resumed where it stopped.

mod answer;
mod client_body;
mod download;
mod exchange;
mod request_head;
mod tries;
mod upload;

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use kheeper_model::AttemptId;
use kheeper_model::limits::XML_BODY_BYTES_MAX;
use kheeper_s3::body::declared::Declared;
use kheeper_s3::operation::BodyKind;
use kheeper_s3::{Operation, OperationClass, OperationKind, S3Error, S3ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use answer::AnswerBody;
pub(crate) use client_body::ClientBody;

use crate::error::Refusal;
use crate::limits::SLOT_WAIT_MAX;
use crate::proxy::Proxy;
use crate::upstream::RequestBody;
use client_body::read_whole;
use exchange::exchange;
use request_head::RequestHead;

/// Forwards one request that the local guard admitted.
pub(crate) async fn forward(
    proxy: &Arc<Proxy>,
    head: Parts,
    body: &mut ClientBody,
) -> Result<Response<AnswerBody>, Refusal> {
    let kind = Operation::parse(&head.method, head.uri.path(), head.uri.query(), &head.headers)?.kind();
    let changes = matches!(kind.class(), OperationClass::Write | OperationClass::Delete);
    if changes && let Some(why) = proxy.writes_refused() {
        return Err(Refusal::denied(why.to_owned()));
    }
    let (mut request, declared) = RequestHead::new(&head, &proxy.authority, kind, changes.then(AttemptId::random))?;
    if let Some(at) = &proxy.at {
        request.look_at(at);
    }
    let slots = if kind.body() == BodyKind::None { &proxy.downloads } else { &proxy.uploads };
    let slot = take_slot(slots).await?;
    let answer = match kind.body() {
        BodyKind::None => exchange(proxy, &request, || RequestBody::Empty).await?,
        BodyKind::Document => {
            let (data, _) = read_whole(body, &declared, XML_BODY_BYTES_MAX, &proxy.metrics).await?;
            exchange(proxy, &request, || RequestBody::Whole(Some(data.clone()))).await?
        }
        BodyKind::Payload => upload::upload(proxy, request.clone(), &declared, body).await?,
    };
    proxy.grants.look_at(&answer.head.headers);
    proxy.compare_clocks(&answer.head.headers);
    let resumable = (kind == OperationKind::GetObject).then_some(request);
    Ok(download::deliver(proxy, resumable, answer, slot))
}

async fn take_slot(slots: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    let slot = tokio::time::timeout(SLOT_WAIT_MAX, Arc::clone(slots).acquire_owned()).await;
    slot.ok().and_then(Result::ok).ok_or_else(|| {
        let message = "The proxy serves as many requests as it may, and none ended in time.";
        S3Error::new(S3ErrorCode::SlowDown).with_message(message).into()
    })
}

/// What a body promises, and none where it means nothing.
fn declared_body(kind: OperationKind, headers: &http::HeaderMap) -> Result<Declared, S3Error> {
    match kind.body() {
        BodyKind::None => Declared::from_headers(&http::HeaderMap::new()),
        BodyKind::Document | BodyKind::Payload => Declared::for_operation(kind, headers),
    }
}
