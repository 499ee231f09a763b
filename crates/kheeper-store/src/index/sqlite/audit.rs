//! Stored bytes recomputed from the rows, and rows that contradict one another.

use std::collections::BTreeMap;

use kheeper_model::Namespace;
use rusqlite::{Connection, params};

use super::rows::RowExt as _;
use super::usage_read;
use crate::index::{Ledger, LedgerAudit, NamespaceAudit};

/// Contradictions of one kind that are named.
const NAMED_MAX: i64 = 100;

/// One consistent view of everything; reads all rows once.
pub(super) fn audit(connection: &mut Connection) -> rusqlite::Result<LedgerAudit> {
    let view = connection.transaction()?;
    let rows = recompute(&view)?;
    let namespaces: Vec<(i64, Namespace)> = view
        .prepare(
            "SELECT n.namespace_no, o.name, n.host FROM namespace n JOIN org o USING (org_no)
             WHERE n.released_at IS NULL ORDER BY o.name, n.host",
        )?
        .query_map([], |row| Ok((row.get(0)?, Namespace { org: row.parsed(1)?, host: row.parsed(2)? })))?
        .collect::<rusqlite::Result<_>>()?;
    let mut audited = Vec::with_capacity(namespaces.len());
    for (namespace_no, namespace) in namespaces {
        let ledger = usage_read::ledger(&view, namespace_no)?;
        let rows = rows.get(&namespace_no).copied().unwrap_or_default();
        audited.push(NamespaceAudit { namespace, rows, ledger });
    }
    Ok(LedgerAudit { namespaces: audited, contradictions: contradictions(&view)? })
}

/// What in the index cannot be: pages that are damaged, windows that cannot be read, rows that contradict one another.
pub(super) fn integrity(connection: &mut Connection) -> rusqlite::Result<Vec<String>> {
    let view = connection.transaction()?;
    let mut wrong: Vec<String> = view
        .prepare("PRAGMA quick_check(1)")?
        .query_map([], |row| row.get(0))?
        .filter(|line| line.as_deref() != Ok("ok"))
        .collect::<rusqlite::Result<_>>()?;
    if wrong.is_empty() {
        wrong = contradictions(&view)?;
    }
    Ok(wrong)
}

/// Namespaces whose window nobody can tell, and versions whose time is none.
const UNREADABLE_WINDOWS: &str = "
    SELECT 'the retention window of namespace ' || namespace_no || ' cannot be read' FROM retention
    WHERE typeof(secs) <> 'integer' OR secs < 0 OR typeof(replaced_at) NOT IN ('integer', 'null')
    UNION ALL
    SELECT 'when a version of ' || CAST(key AS TEXT) || ' may be purged cannot be read' FROM version
    WHERE typeof(purge_after) NOT IN ('integer', 'null')";

fn recompute(view: &Connection) -> rusqlite::Result<BTreeMap<i64, Ledger>> {
    let mut ledgers: BTreeMap<i64, Ledger> = BTreeMap::new();
    for (sql, kind) in [
        ("SELECT namespace_no, count(*), sum(bytes) FROM object GROUP BY 1", Kind::Current),
        ("SELECT namespace_no, 0, sum(bytes) FROM version WHERE hidden_at IS NOT NULL GROUP BY 1", Kind::Hidden),
        (
            "SELECT namespace_no, 0, sum(bytes) FROM part JOIN upload USING (content_id)
             WHERE completed_at IS NULL GROUP BY 1",
            Kind::Uploading,
        ),
    ] {
        let mut statement = view.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (namespace_no, objects, bytes): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let ledger = ledgers.entry(namespace_no).or_default();
            match kind {
                Kind::Current => (ledger.objects, ledger.current_bytes) = (objects, bytes),
                Kind::Hidden => ledger.hidden_bytes = bytes,
                Kind::Uploading => ledger.uploading_bytes = bytes,
            }
        }
    }
    Ok(ledgers)
}

#[derive(Clone, Copy)]
enum Kind {
    Current,
    Hidden,
    Uploading,
}

/// Each query finds rows that must not be, and says so in one column of text.
const CONTRADICTIONS: [&str; 6] = [
    "SELECT 'object ' || CAST(j.key AS TEXT) || ': no version that is current and the same'
     FROM object j LEFT JOIN version v
       ON v.org_no = j.org_no AND v.key = j.key AND v.committed_at = j.committed_at AND v.hidden_at IS NULL
      AND v.content_id = j.content_id AND v.bytes = j.bytes AND v.etag = j.etag
     WHERE v.key IS NULL LIMIT ?1",
    "SELECT 'version of ' || CAST(v.key AS TEXT) || ': current, and no object'
     FROM version v LEFT JOIN object j
       ON j.org_no = v.org_no AND j.key = v.key AND j.committed_at = v.committed_at
     WHERE v.hidden_at IS NULL AND j.key IS NULL LIMIT ?1",
    "SELECT 'version of ' || CAST(v.key AS TEXT) || ': its content is not there, condemned, or of another length'
     FROM version v LEFT JOIN content c USING (content_id)
     WHERE c.content_id IS NULL OR c.condemned_at IS NOT NULL OR c.bytes <> v.bytes LIMIT ?1",
    "SELECT 'content ' || hex(c.content_id) || ': ' || c.refs || ' references counted, ' || n || ' found'
     FROM (SELECT c.content_id, c.refs,
                  (SELECT count(*) FROM upload u WHERE u.content_id = c.content_id AND u.completed_at IS NULL)
                  + coalesce(v.n, 0) AS n
           FROM content c LEFT JOIN (SELECT content_id, count(*) AS n FROM version GROUP BY 1) v USING (content_id)) c
     WHERE c.refs <> n LIMIT ?1",
    "SELECT 'content ' || hex(content_id) || ': neither live with references nor condemned without'
     FROM content WHERE (condemned_at IS NULL) <> (refs > 0) LIMIT ?1",
    "SELECT 'part ' || p.number || ' of ' || hex(p.content_id) || ': no open upload'
     FROM part p LEFT JOIN upload u USING (content_id)
     WHERE u.content_id IS NULL OR u.completed_at IS NOT NULL LIMIT ?1",
];

fn contradictions(view: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut found: Vec<String> =
        view.prepare(UNREADABLE_WINDOWS)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for sql in CONTRADICTIONS {
        let mut statement = view.prepare(sql)?;
        for text in statement.query_map(params![NAMED_MAX], |row| row.get::<_, String>(0))? {
            found.push(text?);
        }
    }
    Ok(found)
}
