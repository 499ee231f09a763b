//! `GET /bucket/key`: the first batch of bytes is read and verified before the head is sent, and every later one
//! before it is; damage found later cuts the connection.

use std::io;
use std::sync::Arc;

use futures_util::stream::try_unfold;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use kheeper_model::{ObjectKey, OrgName};
use kheeper_s3::operation::ReadObject;
use kheeper_s3::{S3Error, S3ErrorCode};
use kheeper_store::{ContentStream, ReadStore};

use super::object_headers;
use super::read_span::Span;
use crate::app::App;
use crate::request::authenticate::{Identity, good_standing};
use crate::request::authorize::may_read;
use crate::request::dispatch::{Call, read};
use crate::request::respond::{self, ResponseBody};
use crate::request::revocation::EpochWatch;
use crate::request::traffic::Meter;

pub(crate) async fn handle(
    mut call: Call<'_>,
    store: ReadStore,
    get: ReadObject,
) -> Result<Response<ResponseBody>, S3Error> {
    let object = read(store.get(&get.key)).await?;
    let meta = &object.meta;
    call.meter.charge(&meta.namespace_id);
    if let Err(error) = get.conditions.evaluate(&meta.etag, meta.last_modified) {
        return not_modified(error, meta);
    }
    let parts = if get.part_number.is_some() { object.parts() } else { Vec::new() };
    let span = Span::of(&get, meta, &parts)?;
    // The store's own read-ahead is bounded by the disk, not by the index: no deadline of five seconds here.
    let stream = object.stream(span.bytes(meta)).await.map_err(|error| crate::error::store_error(&error))?;
    let sending = Sending {
        stream,
        meter: call.meter,
        revoked: call.app.revocation.watch(),
        app: Arc::clone(call.app),
        identity: call.identity.clone(),
        bucket: store.scope().org().clone(),
        key: get.key.clone(),
    };
    let mut response = Response::new(sending.into_body());
    object_headers::set_stored(&mut response, meta, &get.overrides);
    let checksum = get.wants_checksum.then(|| object.checksum());
    object_headers::set_span(&mut response, meta, &span, checksum.as_ref());
    if get.part_number.is_some() {
        object_headers::set_parts_count(&mut response, meta);
    }
    Ok(response)
}

/// 304 names the version that was not modified; every other failed condition is an error like any.
pub(super) fn not_modified(
    error: S3Error,
    meta: &kheeper_store::ObjectMeta,
) -> Result<Response<ResponseBody>, S3Error> {
    if error.code != S3ErrorCode::NotModified {
        return Err(error);
    }
    let mut response = respond::status(StatusCode::NOT_MODIFIED);
    object_headers::set_validators(&mut response, meta);
    Ok(response)
}

/// An answer on its way.
struct Sending {
    stream: ContentStream,
    meter: Meter,
    revoked: EpochWatch,
    app: Arc<App>,
    identity: Identity,
    bucket: OrgName,
    key: ObjectKey,
}

impl Sending {
    fn into_body(self) -> ResponseBody {
        let frames = try_unfold(self, |mut sending| async move {
            sending.check_caller().await?;
            match sending.stream.next().await {
                None => Ok(None),
                Some(Ok(bytes)) => {
                    sending.meter.sent(bytes.len() as u64);
                    Ok(Some((Frame::data(bytes), sending)))
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "an answer was cut: its bytes could not be read");
                    Err(io::Error::other("the object could not be read to its end"))
                }
            }
        });
        StreamBody::new(frames).boxed_unsync()
    }

    /// Whoever is being answered must still be let in after a revocation, and what lends them the object must not have
    /// ended meanwhile.
    async fn check_caller(&mut self) -> io::Result<()> {
        let now = self.app.clock.now();
        let stands = !self.revoked.moved() || self.look_up_caller().await;
        let stands = stands && self.identity.record.key_ends_at.is_none_or(|ends_at| now < ends_at);
        if stands && may_read(&self.identity, &self.bucket, &self.key, now) {
            return Ok(());
        }
        tracing::info!(key_id = %self.identity.record.key_id, "an answer was cut: its caller may not read it any more");
        Err(io::Error::other("the caller may not read it any more"))
    }

    /// What the index says of the caller now. False if that is nothing good, or it cannot say.
    async fn look_up_caller(&mut self) -> bool {
        let caller = self.identity.store_caller();
        match self.app.store.caller(&caller.key_id, caller.subject.as_str()).await {
            Ok(Some(record)) => {
                let stands = good_standing(&record).is_ok();
                self.identity.record = record;
                stands
            }
            Ok(None) | Err(_) => false,
        }
    }
}
