//! What sweep and fsck read.

use kheeper_model::{ContentId, Crc64Nvme, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::object_read::{content_body, read_body};
use super::rows::{RowExt as _, content_bytes};
use super::snapshot;
use crate::blob::BlobName;
use crate::index::{BlobRefPage, ContentBody, ContentPage, ContentRow, SweepState};

pub(super) fn sweep_state(connection: &Connection, now: Timestamp) -> rusqlite::Result<SweepState> {
    let meta = |name: &str| {
        connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |row| row.time(0))
    };
    let (objects, stored_bytes) = connection.query_row(
        "SELECT coalesce(sum(objects), 0), coalesce(sum(current_bytes + hidden_bytes + uploading_bytes), 0) FROM namespace",
        [],
        |row| Ok((row.number(0)?, row.number(1)?)),
    )?;
    let (committed_high, hold_until) = (meta("committed_high")?, meta("hold_until")?);
    let quarantined_since = snapshot::quarantined_since(connection)?;
    let older_since = snapshot::older_since(connection)?;
    Ok(SweepState { now, committed_high, hold_until, quarantined_since, older_since, objects, stored_bytes })
}

/// One page of contents, by id.
pub(super) fn contents(
    connection: &Connection,
    after: Option<ContentId>,
    condemned_before: Option<Timestamp>,
    max: usize,
) -> rusqlite::Result<ContentPage> {
    let after = after.map_or(Vec::new(), |after| content_bytes(&after).to_vec());
    let mut statement = connection.prepare_cached(
        "SELECT c.content_id, c.condemned_at, c.bytes, c.manifest, s.bytes, c.crc64nvme
         FROM content c LEFT JOIN small s USING (small_no)
         WHERE c.content_id > ?1 AND (?2 IS NULL OR c.condemned_at < ?2) ORDER BY c.content_id LIMIT ?3",
    )?;
    let before = condemned_before.map(Timestamp::as_millis);
    let mut rows = statement.query(params![after, before, i64::try_from(max).unwrap_or(i64::MAX)])?;
    let mut contents = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.content(0)?;
        contents.push(ContentRow {
            id,
            condemned_at: row.time_if_any(1)?,
            bytes: row.number(2)?,
            crc64nvme: Crc64Nvme(row.get::<_, i64>(5)?.cast_unsigned()),
            body: read_body(row, 3, &id)?,
        });
    }
    let next = if contents.len() == max { contents.last().map(|content| content.id) } else { None };
    Ok(ContentPage { contents, next })
}

/// One page of blobs with rows of their own: condemned ones before a time, or those of open uploads.
pub(super) fn part_blobs(
    connection: &Connection,
    after: Option<BlobName>,
    condemned_before: Option<Timestamp>,
    max: usize,
) -> rusqlite::Result<BlobRefPage> {
    let (id, part, suffix) = after.map_or((Vec::new(), 0, Vec::new()), |after| {
        (content_bytes(&after.content).to_vec(), after.part, after.suffix.to_vec())
    });
    let mut statement = connection.prepare_cached(match condemned_before {
        Some(_) => {
            "SELECT content_id, part, suffix, NULL FROM condemned_blob
             WHERE (content_id, part, suffix) > (?1, ?2, ?3) AND condemned_at < ?5
             ORDER BY content_id, part, suffix LIMIT ?4"
        }
        None => {
            "SELECT content_id, number, suffix, bytes FROM part WHERE (content_id, number, suffix) > (?1, ?2, ?3)
             AND ?5 = 0 ORDER BY content_id, number LIMIT ?4"
        }
    })?;
    let before = condemned_before.map_or(0, Timestamp::as_millis);
    let blobs: Vec<(BlobName, Option<u64>)> = statement
        .query_map(params![id, part, suffix, i64::try_from(max).unwrap_or(i64::MAX), before], |row| {
            Ok((row.blob_name(0)?, row.get::<_, Option<i64>>(3)?.map(super::rows::uint)))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let next = if blobs.len() == max { blobs.last().map(|(name, _)| *name) } else { None };
    Ok(BlobRefPage { blobs, next })
}

/// Which blobs no row names: no manifest, no part of an open upload, nothing condemned.
pub(super) fn unreferenced(connection: &Connection, blobs: &[BlobName]) -> rusqlite::Result<Vec<BlobName>> {
    let mut orphans = Vec::new();
    for blob in blobs {
        if !is_part(connection, blob)? && !is_in_manifest(connection, blob)? {
            orphans.push(*blob);
        }
    }
    Ok(orphans)
}

fn is_part(connection: &Connection, blob: &BlobName) -> rusqlite::Result<bool> {
    let found: Option<i64> = connection
        .prepare_cached(
            "SELECT 1 FROM part WHERE content_id = ?1 AND number = ?2 AND suffix = ?3
             UNION ALL SELECT 1 FROM condemned_blob WHERE content_id = ?1 AND part = ?2 AND suffix = ?3",
        )?
        .query_row(params![content_bytes(&blob.content), blob.part, blob.suffix], |row| row.get(0))
        .optional()?;
    Ok(found.is_some())
}

fn is_in_manifest(connection: &Connection, blob: &BlobName) -> rusqlite::Result<bool> {
    match content_body(connection, &blob.content)?.map(|(body, _)| body) {
        None => Ok(false),
        Some(Ok(ContentBody::Inline(_))) => Ok(false),
        Some(Ok(ContentBody::Blobs(manifest))) => Ok(manifest.segments().iter().any(|s| s.blob == *blob)),
        // A manifest that cannot be read may name it: sweep must not touch it.
        Some(Err(_)) => Ok(true),
    }
}
