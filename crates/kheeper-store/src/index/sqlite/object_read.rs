//! What is current, or was: one object, its content, and listings.

use bytes::Bytes;
use kheeper_model::{Checksum, ChecksumAlgorithm, ContentId, Crc64Nvme, ObjectKey, OrgName};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::history_read;
use super::rows::{RowExt as _, content_bytes};
use crate::as_of::AsOf;
use crate::error::StoreError;
use crate::index::{ContentBody, ListPlan, Manifest, successor};
use crate::multipart_checksum;
use crate::object::{ListEntry, ListPage, ListedObject, ObjectMeta};

/// The keys of a range.
const LIST_RANGE: &str = "
    SELECT key, bytes, etag, coalesce(modified_at, committed_at), checksum, headers FROM object
    WHERE org_no = ?1 AND key >= ?2 AND key < ?3 ORDER BY key";
/// The keys from one on.
const LIST_TO_END: &str = "
    SELECT key, bytes, etag, coalesce(modified_at, committed_at), checksum, headers FROM object
    WHERE org_no = ?1 AND key >= ?2 ORDER BY key";

const SELECT_OBJECT: &str = "
    SELECT n.namespace_id, j.bytes, j.etag, coalesce(j.modified_at, j.committed_at), j.headers, j.checksum, j.part_count, j.content_id
    FROM org o JOIN object j USING (org_no) JOIN namespace n USING (namespace_no)
    WHERE o.name = ?1 AND j.key = ?2";

pub(super) fn object(
    connection: &Connection,
    org: &OrgName,
    key: &ObjectKey,
    as_of: AsOf,
) -> rusqlite::Result<Option<ObjectMeta>> {
    match as_of {
        AsOf::Now => connection
            .prepare_cached(SELECT_OBJECT)?
            .query_row(params![org.as_str(), key.as_bytes()], |row| read_meta(row, key))
            .optional(),
        AsOf::Past(at) => history_read::object(connection, org, key, at),
    }
}

/// An object from eight columns: namespace id, bytes, ETag, last modified, headers, checksum, parts, content.
pub(super) fn read_meta(row: &Row<'_>, key: &ObjectKey) -> rusqlite::Result<ObjectMeta> {
    Ok(ObjectMeta {
        key: key.clone(),
        namespace_id: row.parsed(0)?,
        bytes: row.number(1)?,
        etag: row.etag(2)?,
        last_modified: row.time(3)?,
        headers: row.headers(4)?,
        checksum: row.checksum(5)?,
        part_count: row.get(6)?,
        content: row.content(7)?,
    })
}

/// Where a content's bytes are, and their CRC; `None` if the content is not there, or is an upload that is not complete.
pub(super) fn content_body(
    connection: &Connection,
    content: &ContentId,
) -> rusqlite::Result<Option<(Result<ContentBody, StoreError>, Crc64Nvme)>> {
    let found = connection
        .prepare_cached(
            "SELECT c.crc64nvme, c.manifest, s.bytes FROM content c LEFT JOIN small s USING (small_no)
             WHERE c.content_id = ?1",
        )?
        .query_row([content_bytes(content)], |row| {
            let crc64nvme = Crc64Nvme(row.get::<_, i64>(0)?.cast_unsigned());
            Ok(read_body(row, 1, content)?.map(|body| (body, crc64nvme)))
        })
        .optional()?;
    Ok(found.flatten())
}

/// The checksums of a content's parts; `None` where none were kept.
pub(super) fn part_checksums(connection: &Connection, content: &ContentId) -> rusqlite::Result<Option<Vec<Checksum>>> {
    let kept: Option<(Option<String>, Option<Vec<u8>>)> = connection
        .prepare_cached("SELECT part_checksum, part_digests FROM content WHERE content_id = ?1")?
        .query_row([content_bytes(content)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((Some(algorithm), Some(digests))) = kept else { return Ok(None) };
    let Ok(algorithm) = algorithm.parse::<ChecksumAlgorithm>() else { return Ok(None) };
    Ok(Some(multipart_checksum::unpack_digests(algorithm, &digests)))
}

/// A body from two columns: manifest, small bytes.
pub(super) fn read_body(
    row: &Row<'_>,
    first: usize,
    content: &ContentId,
) -> rusqlite::Result<Option<Result<ContentBody, StoreError>>> {
    if let Some(manifest) = row.get_ref(first)?.as_blob_or_null()? {
        return Ok(Some(Manifest::unpack(*content, manifest).map(ContentBody::Blobs)));
    }
    let small = row.get_ref(first + 1)?.as_blob_or_null()?;
    Ok(small.map(|bytes| Ok(ContentBody::Inline(Bytes::copy_from_slice(bytes)))))
}

/// One page of a listing. Each entry costs at most one search, however many keys a common prefix holds.
pub(super) fn list(connection: &Connection, plan: &ListPlan) -> Result<ListPage, ListError> {
    let org_no: Option<i64> = connection
        .prepare_cached("SELECT org_no FROM org WHERE name = ?1")?
        .query_row([plan.org.as_str()], |row| row.get(0))
        .optional()?;
    let Some(org_no) = org_no else { return Ok(ListPage::default()) };
    let Some(from) = plan.first_key() else { return Ok(ListPage::default()) };

    let mut page = ListPage::default();
    let mut last = Vec::new();
    let mut looked_at = 0;
    for range in &plan.ranges {
        let mut start = range.start.clone().max(from.clone());
        loop {
            if range.end.as_ref().is_some_and(|end| start >= *end) {
                break;
            }
            let end = range.end.as_deref();
            let run = match plan.as_of {
                AsOf::Now => list_run(connection, plan, org_no, &start, end, &mut page, &mut last)?,
                AsOf::Past(at) => {
                    let past = history_read::Past { connection, org_no, at, looked_at: &mut looked_at };
                    past.list_run(plan, &start, end, &mut page, &mut last)?
                }
            };
            match run {
                Run::Ended => break,
                Run::Full => {
                    page.next = Some(last);
                    return Ok(page);
                }
                Run::Prefix(common) => match successor(&common) {
                    Some(after) => start = after,
                    None => return Ok(page),
                },
            }
        }
    }
    Ok(page)
}

/// How a run over neighbouring keys ended.
pub(super) enum Run {
    /// At the end of the range.
    Ended,
    /// There is more than the page holds.
    Full,
    /// At a common prefix, which was listed and is to be stepped over.
    Prefix(Vec<u8>),
}

/// Why a listing failed: the index, or a row of it.
#[derive(Debug)]
pub(super) enum ListError {
    Index(rusqlite::Error),
    Row(StoreError),
}

impl From<rusqlite::Error> for ListError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error)
    }
}

fn list_run(
    connection: &Connection,
    plan: &ListPlan,
    org_no: i64,
    start: &[u8],
    end: Option<&[u8]>,
    page: &mut ListPage,
    last: &mut Vec<u8>,
) -> Result<Run, ListError> {
    // Two statements, so that each is a plain search of the key's order.
    let mut statement = connection.prepare_cached(if end.is_some() { LIST_RANGE } else { LIST_TO_END })?;
    let mut rows = match end {
        Some(end) => statement.query(params![org_no, start, end])?,
        None => statement.query(params![org_no, start])?,
    };
    while let Some(row) = rows.next()? {
        if page.entries.len() == plan.max {
            return Ok(Run::Full);
        }
        let key = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        if let Some(common) = plan.common_prefix(key) {
            return list_prefix(common.to_vec(), page, last);
        }
        last.clear();
        last.extend_from_slice(key);
        page.entries.push(ListEntry::Object(read_listed(row)?));
    }
    Ok(Run::Ended)
}

/// A listed object from six columns: key, bytes, ETag, last modified, checksum, headers.
pub(super) fn read_listed(row: &Row<'_>) -> rusqlite::Result<ListedObject> {
    Ok(ListedObject {
        key: row.key(0)?,
        bytes: row.number(1)?,
        etag: row.etag(2)?,
        last_modified: row.time(3)?,
        checksum: row.checksum(4)?.map(|checksum| (checksum.algorithm, checksum.kind)),
        storage_class: storage_class(row)?,
    })
}

/// The storage class among the headers of a listed row, which are read only where they hold one: few do.
fn storage_class(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    const NAME: &str = "x-amz-storage-class";
    if !row.get_ref(5)?.as_str()?.contains(NAME) {
        return Ok(None);
    }
    Ok(row.headers(5)?.get(NAME).map(str::to_owned))
}

/// Lists a common prefix, which is then stepped over.
pub(super) fn list_prefix(common: Vec<u8>, page: &mut ListPage, last: &mut Vec<u8>) -> Result<Run, ListError> {
    let text = String::from_utf8(common.clone())
        .map_err(|_| ListError::Row(StoreError::internal("a delimiter that splits a character")))?;
    page.entries.push(ListEntry::CommonPrefix(text));
    last.clone_from(&common);
    Ok(Run::Prefix(common))
}

impl ListPlan {
    /// The first key that may be listed; `None` if there is none after `after`.
    fn first_key(&self) -> Option<Vec<u8>> {
        let Some(after) = &self.after else { return Some(Vec::new()) };
        let in_prefix = self.ranges.first().is_some_and(|range| {
            after.len() > self.prefix_bytes && after[..self.prefix_bytes] == range.start[..self.prefix_bytes]
        });
        // A cursor that is a common prefix itself was listed as one: all of it comes before.
        if in_prefix && self.common_prefix(after) == Some(after.as_slice()) {
            return successor(after);
        }
        let mut next = after.clone();
        next.push(0);
        Some(next)
    }

    /// The common prefix that a key is rolled up into.
    pub(super) fn common_prefix<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let delimiter = self.delimiter.as_deref()?;
        let rest = key.get(self.prefix_bytes..)?;
        let at = rest.windows(delimiter.len()).position(|window| window == delimiter)?;
        Some(&key[..self.prefix_bytes + at + delimiter.len()])
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::index::Range;
    use crate::index::sqlite::schema::open_writer;

    const KEYS: usize = 100_000;
    const PAGE: usize = 1000;

    /// An index with many objects of one host.
    fn index(directory: &tempfile::TempDir, key: impl Fn(usize) -> String) -> Connection {
        let mut connection = open_writer(&directory.path().join("index.db")).unwrap();
        let transaction = connection.transaction().unwrap();
        transaction.execute("INSERT INTO org (org_no, name, created_at) VALUES (1, 'myorg', 0)", []).unwrap();
        for number in 0..KEYS {
            let insert = "INSERT INTO object (org_no, key, bytes, etag, committed_at, namespace_no, content_id, began_at, headers)
                          VALUES (1, ?1, 1, 'd41d8cd98f00b204e9800998ecf8427e', 0, 1, x'00', 0, '{}')";
            transaction.prepare_cached(insert).unwrap().execute([key(number).as_bytes()]).unwrap();
        }
        transaction.commit().unwrap();
        connection
    }

    /// Steps of SQLite's machine that both statements have taken since they were last asked.
    fn steps(connection: &Connection) -> i32 {
        [LIST_RANGE, LIST_TO_END]
            .map(|sql| connection.prepare_cached(sql).unwrap().reset_status(StatementStatus::VmStep))
            .iter()
            .sum()
    }

    /// The most steps that a page takes, and the entries of all pages.
    fn list_all(connection: &Connection, delimiter: &str) -> (i32, usize) {
        let mut plan = ListPlan {
            org: "myorg".parse().unwrap(),
            as_of: AsOf::Now,
            ranges: vec![Range { start: b"web-01/".to_vec(), end: Some(b"web-010".to_vec()) }],
            prefix_bytes: b"web-01/".len(),
            delimiter: (!delimiter.is_empty()).then(|| delimiter.as_bytes().to_vec()),
            after: None,
            max: PAGE,
        };
        let (mut most, mut entries) = (0, 0);
        steps(connection);
        loop {
            let page = list(connection, &plan).unwrap();
            entries += page.entries.len();
            most = most.max(steps(connection));
            match page.next {
                Some(next) => plan.after = Some(next),
                None => return (most, entries),
            }
        }
    }

    /// Steps for an entry: a row takes 11, a row and the search for what comes after its common prefix 23.
    const STEPS_PER_ENTRY_MAX: i32 = 30;

    #[test]
    fn a_page_costs_what_it_lists_however_hostile_the_delimiter_and_however_many_the_keys() {
        let directory = tempfile::tempdir().unwrap();
        // Half of all keys below one prefix, the other half each below one of its own.
        let connection = index(&directory, |number| match number % 2 {
            0 => format!("web-01/all/{number:06}/../x"),
            _ => format!("web-01/own-{number:06}/{number}/x"),
        });
        let each_half = KEYS / 2;
        for (delimiter, entries) in [
            ("", KEYS),
            ("/", 1 + each_half),
            ("l", 1 + each_half),
            ("x", KEYS),
            ("/../", KEYS),
            ("0", 2),
            ("\u{e9}", KEYS),
            (&"a".repeat(1024), KEYS),
        ] {
            let (most, listed) = list_all(&connection, delimiter);
            let shown: String = delimiter.chars().take(8).collect();
            assert_eq!(listed, entries, "by {shown:?}");
            println!("by {shown:?}: {listed} entries, {most} steps of a page at the most");
            let bound = STEPS_PER_ENTRY_MAX * i32::try_from(PAGE).unwrap();
            assert!(most <= bound, "by {shown:?}: a page took {most} steps");
        }
    }
}
