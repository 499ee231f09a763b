//! Uploads and their parts.

use kheeper_model::{ContentId, ETag, Md5Digest, NamespaceId, ObjectKey};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::{RowExt as _, content_bytes};
use crate::index::{Range, successor};
use crate::upload::{PartPage, PartRecord, UploadCursor, UploadEntry, UploadPage, UploadQuery, UploadRecord};

const SELECT_UPLOAD: &str = "
    SELECT u.content_id, u.key, u.created_at, u.headers, u.checksum_algorithm, u.checksum_kind
    FROM upload u JOIN namespace n USING (namespace_no)
    WHERE u.completed_at IS NULL AND n.namespace_id = ?1";

/// One page of an open upload's parts; `None` if there is no such upload of this namespace and key.
pub(super) fn parts(
    connection: &Connection,
    namespace: &NamespaceId,
    key: &ObjectKey,
    upload: &ContentId,
    after: u32,
    max: usize,
) -> rusqlite::Result<Option<PartPage>> {
    let id = content_bytes(upload);
    let upload = connection
        .prepare_cached(&format!("{SELECT_UPLOAD} AND u.content_id = ?2 AND u.key = ?3"))?
        .query_row(params![namespace.as_str(), id, key.as_bytes()], read_upload)
        .optional()?;
    let Some(upload) = upload else { return Ok(None) };
    let mut parts: Vec<PartRecord> = connection
        .prepare_cached(
            "SELECT number, bytes, md5, committed_at, checksum FROM part WHERE content_id = ?1 AND number > ?2
             ORDER BY number LIMIT ?3",
        )?
        .query_map(params![id, after, i64::try_from(max).unwrap_or(i64::MAX).saturating_add(1)], |row| {
            Ok(PartRecord {
                number: row.get(0)?,
                bytes: row.number(1)?,
                etag: ETag::new(&Md5Digest(row.array(2)?).to_hex()),
                last_modified: row.time(3)?,
                checksum: row.checksum(4)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let more = parts.len() > max;
    parts.truncate(max);
    let next = if more { parts.last().map(|part| part.number) } else { None };
    Ok(Some(PartPage { upload, parts, next }))
}

/// One page of a namespace's open uploads.
pub(super) fn uploads(
    connection: &Connection,
    namespace: &NamespaceId,
    query: &UploadQuery,
) -> rusqlite::Result<UploadPage> {
    let Range { start, end } = Range::of_prefix(query.prefix.as_bytes());
    let mut statement = connection.prepare_cached(&format!(
        "{SELECT_UPLOAD} AND u.key >= ?2 AND (?3 IS NULL OR u.key < ?3) AND (u.key, u.content_id) > (?4, ?5)
         ORDER BY u.key, u.content_id"
    ))?;
    let mut page = UploadPage::default();
    let mut cursor: Option<UploadCursor> = None;
    let (mut after_key, mut after_upload) = first(query);
    'seek: loop {
        let mut rows = statement.query(params![namespace.as_str(), start, end, after_key, after_upload])?;
        while let Some(row) = rows.next()? {
            if page.entries.len() == query.max {
                page.next = cursor;
                return Ok(page);
            }
            let upload = read_upload(row)?;
            if let Some(common) = common_prefix(query, upload.key.as_str()) {
                cursor = Some(UploadCursor { key: common.to_owned(), upload: None });
                page.entries.push(UploadEntry::CommonPrefix(common.to_owned()));
                let Some(after) = successor(common.as_bytes()) else { return Ok(page) };
                // The first key that is not in it may be listed: no upload's id is shorter than nothing.
                (after_key, after_upload) = (after, Vec::new());
                continue 'seek;
            }
            cursor = Some(UploadCursor { key: upload.key.as_str().to_owned(), upload: Some(upload.id) });
            page.entries.push(UploadEntry::Upload(upload));
        }
        return Ok(page);
    }
}

/// The (key, upload) to go on after.
fn first(query: &UploadQuery) -> (Vec<u8>, Vec<u8>) {
    /// More than any upload's id: all uploads of the key come before.
    const ALL: [u8; 21] = [0xff; 21];
    match (&query.after_key, &query.after_upload) {
        (None, _) => (Vec::new(), Vec::new()),
        (Some(key), Some(upload)) => (key.as_bytes().to_vec(), content_bytes(upload).to_vec()),
        (Some(key), None) if common_prefix(query, key) == Some(key) => {
            (successor(key.as_bytes()).unwrap_or_else(|| ALL.to_vec()), Vec::new())
        }
        (Some(key), None) => (key.as_bytes().to_vec(), ALL.to_vec()),
    }
}

fn common_prefix<'k>(query: &UploadQuery, key: &'k str) -> Option<&'k str> {
    let delimiter = query.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
    let rest = key.strip_prefix(query.prefix.as_str())?;
    let at = rest.find(delimiter)?;
    Some(&key[..query.prefix.len() + at + delimiter.len()])
}

fn read_upload(row: &Row<'_>) -> rusqlite::Result<UploadRecord> {
    let algorithm: Option<String> = row.get(4)?;
    let checksum = match algorithm.and_then(|algorithm| algorithm.parse().ok()) {
        Some(algorithm) => Some((algorithm, row.json_of(5)?)),
        None => None,
    };
    Ok(UploadRecord {
        id: row.content(0)?,
        key: row.key(1)?,
        initiated: row.time(2)?,
        headers: row.headers(3)?,
        checksum,
    })
}
