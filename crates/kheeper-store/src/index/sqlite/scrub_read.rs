//! What scrub and fsck read: whose a damaged content is, and how far scrub has come.

use std::collections::BTreeSet;

use kheeper_model::{ContentId, Namespace};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::object_read::content_body;
use super::rows::{RowExt as _, content_bytes};
use crate::blob::BlobName;
use crate::index::{ContentBody, ContentOwner};
use crate::scrub_state::ScrubState;

/// Versions of one read, so that it is a short one.
const ROWS_PER_READ: usize = 5000;

/// A row of `version`, as a place to go on after.
#[derive(Debug, Clone)]
pub(super) struct VersionRow {
    org_no: i64,
    key: Vec<u8>,
    committed_at: i64,
}

impl VersionRow {
    /// Before all rows.
    pub(super) const FIRST: Self = Self { org_no: i64::MIN, key: Vec::new(), committed_at: i64::MIN };
}

/// Some of the versions that were looked for.
pub(super) struct OwnerPage {
    pub(super) owners: Vec<ContentOwner>,
    /// Where to go on; none at the end.
    pub(super) next: Option<VersionRow>,
}

/// Whether a blob is named by a manifest that is not condemned, or is a part of an open upload.
pub(super) fn is_live(connection: &mut Connection, blob: &BlobName) -> rusqlite::Result<bool> {
    let view = connection.transaction()?;
    let id = content_bytes(&blob.content);
    let is_part = view
        .prepare_cached("SELECT 1 FROM part WHERE content_id = ?1 AND number = ?2 AND suffix = ?3")?
        .exists(params![id, blob.part, blob.suffix])?;
    let condemned = view
        .prepare_cached("SELECT 1 FROM content WHERE content_id = ?1 AND condemned_at IS NOT NULL")?
        .exists([id])?;
    Ok(is_part
        || !condemned
            && match content_body(&view, &blob.content)?.map(|(body, _)| body) {
                None | Some(Ok(ContentBody::Inline(_))) => false,
                Some(Ok(ContentBody::Blobs(manifest))) => manifest.segments().iter().any(|s| s.blob == *blob),
                Some(Err(_)) => true,
            })
}

/// The versions of these contents among those that follow a row. Contents have no index by which to find their versions:
/// it would cost every PUT, and is wanted only when something is damaged.
pub(super) fn owners(
    connection: &Connection,
    contents: &BTreeSet<ContentId>,
    after: &VersionRow,
) -> rusqlite::Result<OwnerPage> {
    let mut statement = connection.prepare_cached(
        "SELECT v.content_id, o.name, n.host, v.key, v.committed_at, v.hidden_at, v.org_no
         FROM version v JOIN namespace n USING (namespace_no) JOIN org o ON o.org_no = v.org_no
         WHERE (v.org_no, v.key, v.committed_at) > (?1, ?2, ?3) ORDER BY v.org_no, v.key, v.committed_at LIMIT ?4",
    )?;
    let max = i64::try_from(ROWS_PER_READ).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![after.org_no, after.key, after.committed_at, max])?;
    let mut page = OwnerPage { owners: Vec::new(), next: None };
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        seen += 1;
        if contents.contains(&row.content(0)?) {
            page.owners.push(owner(row)?);
        }
        if seen == ROWS_PER_READ {
            page.next = Some(VersionRow { org_no: row.get(6)?, key: row.get(3)?, committed_at: row.get(4)? });
        }
    }
    Ok(page)
}

/// The open uploads that these contents are of.
pub(super) fn uploads_of(
    connection: &Connection,
    contents: &BTreeSet<ContentId>,
) -> rusqlite::Result<Vec<ContentOwner>> {
    let mut statement = connection.prepare_cached(
        "SELECT u.content_id, o.name, n.host, u.key, NULL, NULL
         FROM upload u JOIN namespace n USING (namespace_no) JOIN org o USING (org_no)
         WHERE u.content_id = ?1 AND u.completed_at IS NULL",
    )?;
    let found = contents.iter().map(|content| statement.query_row([content_bytes(content)], owner).optional());
    Ok(found.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// An owner from six columns: content, org, host, key, committed, hidden.
fn owner(row: &Row<'_>) -> rusqlite::Result<ContentOwner> {
    Ok(ContentOwner {
        content: row.content(0)?,
        namespace: Namespace { org: row.parsed(1)?, host: row.parsed(2)? },
        key: row.key(3)?,
        committed_at: row.time_if_any(4)?,
        hidden_at: row.time_if_any(5)?,
    })
}

/// How far scrub has come.
pub(super) fn state(connection: &mut Connection) -> rusqlite::Result<ScrubState> {
    let found = connection.query_row("SELECT state FROM scrub WHERE scrub_no = 1", [], |row| row.json_of(0));
    Ok(found.optional()?.unwrap_or_default())
}
