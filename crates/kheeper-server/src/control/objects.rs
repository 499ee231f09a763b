//! `/hosts/{org}/{host}/objects`: what a namespace holds, held at a time, or still keeps.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use kheeper_model::api::{ObjectRecord, ObjectsPage};
use kheeper_model::{HostName, Namespace, ObjectKey, OrgName, Timestamp, limits};
use kheeper_store::{ListEntry, ListQuery, ReadScope, StoreError, VersionCursor, VersionPage, VersionRecord};
use serde::Deserialize;

use super::caller::Caller;
use super::problem::ProblemResponse;
use crate::app::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectsQuery {
    /// Keys begin with this, `host/` not included.
    #[serde(default)]
    prefix: String,
    /// As of this time, in milliseconds.
    at: Option<Timestamp>,
    /// All versions instead of what is current.
    #[serde(default)]
    versions: bool,
    /// What the page before gave as `next`.
    after: Option<String>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<(OrgName, HostName)>, PathRejection>,
    query: Result<Query<ObjectsQuery>, QueryRejection>,
) -> Result<Json<ObjectsPage>, ProblemResponse> {
    let Path((org, host)) = path?;
    let Query(query) = query?;
    let namespace = Namespace { org, host };
    if query.at.is_some() || query.versions {
        caller.owner_of(&namespace.org)?;
    } else {
        caller.may_list(&namespace)?;
    }
    if app.store.host(&namespace).await?.is_none() {
        return Err(StoreError::NoSuchHost(namespace).into());
    }
    let prefix = format!("{}{}", namespace.key_prefix(), query.prefix);
    let page = match (query.versions, query.at) {
        (true, Some(_)) => {
            return Err(ProblemResponse::bad_request("malformed-query", "versions are listed as they are now"));
        }
        (true, None) => versions(&app, &namespace, &prefix, query.after.as_deref()).await?,
        (false, at) => objects(&app, namespace, prefix, at, query.after).await?,
    };
    Ok(Json(page))
}

async fn objects(
    app: &App,
    namespace: Namespace,
    prefix: String,
    at: Option<Timestamp>,
    after: Option<String>,
) -> Result<ObjectsPage, ProblemResponse> {
    let scope = ReadScope::Hosts(namespace.org, BTreeSet::from([namespace.host]));
    let reader = match at {
        Some(at) => app.store.read_store_at(scope, at)?,
        None => app.store.read_store(scope),
    };
    let after = after.map(String::into_bytes);
    let query = ListQuery { prefix: prefix.into_bytes(), delimiter: None, after, max: limits::LIST_PAGE_MAX };
    let page = reader.list(query).await?;
    let objects = page.entries.into_iter().filter_map(|entry| match entry {
        ListEntry::Object(object) => Some(ObjectRecord {
            key: object.key.into(),
            bytes: object.bytes,
            etag: object.etag.as_str().to_owned(),
            last_modified: object.last_modified,
            committed_at: None,
            hidden_at: None,
            kept_until: None,
        }),
        ListEntry::CommonPrefix(_) => None,
    });
    // Keys are text, and so is where a listing without a delimiter goes on.
    Ok(ObjectsPage { objects: objects.collect(), next: page.next.and_then(|next| String::from_utf8(next).ok()) })
}

async fn versions(
    app: &App,
    namespace: &Namespace,
    prefix: &str,
    after: Option<&str>,
) -> Result<ObjectsPage, ProblemResponse> {
    let after = match after {
        Some(text) => Some(read_cursor(text).ok_or_else(|| {
            ProblemResponse::bad_request("bad-cursor", "`after` is not what the page before gave as `next`")
        })?),
        None => None,
    };
    let VersionPage { versions, next } = app.store.versions(namespace, prefix, after, limits::LIST_PAGE_MAX).await?;
    let next = next.map(|cursor| format!("{}:{}", cursor.committed_at.as_millis(), cursor.key));
    Ok(ObjectsPage { objects: versions.into_iter().map(version_record).collect(), next })
}

fn version_record(version: VersionRecord) -> ObjectRecord {
    ObjectRecord {
        key: version.key.into(),
        bytes: version.bytes,
        etag: version.etag.as_str().to_owned(),
        last_modified: version.last_modified,
        committed_at: Some(version.committed_at),
        hidden_at: version.hidden_at,
        kept_until: version.purge_after,
    }
}

fn read_cursor(text: &str) -> Option<VersionCursor> {
    let (committed_at, key) = text.split_once(':')?;
    Some(VersionCursor { key: key.parse::<ObjectKey>().ok()?, committed_at: Timestamp(committed_at.parse().ok()?) })
}
