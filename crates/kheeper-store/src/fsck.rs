//! fsck: does the ledger agree with the rows to the byte, and is every blob there that a row refers to?

use kheeper_model::Namespace;

use crate::blob::{BlobName, BlobSpan};
use crate::error::StoreError;
use crate::index::{ContentBody, Ledger, NamespaceAudit};
use crate::store::Store;
use crate::sweep::disk_bytes;

/// Rows of one page.
const ROWS_PER_PAGE: usize = 500;
/// Findings that are kept in words; more are only counted.
const FINDINGS_MAX: usize = 1000;

/// What to check.
#[derive(Debug, Clone, Copy, Default)]
pub struct FsckOptions {
    /// Read and verify every byte, too.
    pub read_data: bool,
}

/// What fsck found.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct FsckReport {
    /// What is wrong, in words, one finding each.
    pub findings: Vec<String>,
    /// How many findings there are, kept in words or not.
    pub finding_count: u64,
    /// Each namespace, its bytes recomputed from its rows.
    pub namespaces: Vec<NamespaceUse>,
    /// Contents that were checked.
    pub contents: u64,
    /// Blobs that rows refer to.
    pub blobs: u64,
    /// Bytes that were read and verified.
    pub verified_bytes: u64,
    /// Blobs that nothing refers to: sweep collects them.
    pub orphan_blobs: u64,
    /// Bytes those take on the disk.
    pub orphan_bytes: u64,
}

/// Stored bytes of a namespace, recomputed from its rows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NamespaceUse {
    /// Which.
    pub namespace: Namespace,
    /// Current objects.
    pub objects: u64,
    /// Their bytes.
    pub current_bytes: u64,
    /// Bytes of hidden versions.
    pub hidden_bytes: u64,
    /// Bytes of parts of open uploads.
    pub uploading_bytes: u64,
}

impl FsckReport {
    /// Whether all is as it must be. Orphans are: sweep collects them.
    pub fn is_clean(&self) -> bool {
        self.finding_count == 0
    }

    fn find(&mut self, what: String) {
        self.finding_count += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what);
        }
    }
}

impl Store {
    /// Checks index and blobs against one another. Works beside writers: what changes meanwhile is looked at twice.
    pub async fn fsck(&self, options: FsckOptions) -> Result<FsckReport, StoreError> {
        let mut report = FsckReport::default();
        let audit = self.shared.index.audit().await?;
        audit.contradictions.into_iter().for_each(|what| report.find(what));
        audit.namespaces.iter().for_each(|namespace| compare_ledger(namespace, &mut report));
        self.check_contents(options, &mut report).await?;
        self.check_parts(options, &mut report).await?;
        self.count_orphans(&mut report).await?;
        Ok(report)
    }

    async fn check_contents(&self, options: FsckOptions, report: &mut FsckReport) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.shared.index.contents(after, None, ROWS_PER_PAGE).await?;
            let mut blobs = Vec::new();
            // What is condemned may be gone, or half gone.
            for content in page.contents.iter().filter(|content| content.condemned_at.is_none()) {
                report.contents += 1;
                let stored = match &content.body {
                    None => continue,
                    Some(ContentBody::Inline(bytes)) => bytes.len() as u64,
                    Some(ContentBody::Blobs(manifest)) => {
                        blobs.extend(manifest.segments().iter().map(|s| (s.blob, s.bytes)));
                        manifest.bytes()
                    }
                };
                if stored != content.bytes {
                    report.find(format!("content {}: {stored} bytes, and its row says {}", content.id, content.bytes));
                }
            }
            self.check_blobs(blobs, options, report).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn check_parts(&self, options: FsckOptions, report: &mut FsckReport) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.shared.index.part_blobs(after, None, ROWS_PER_PAGE).await?;
            let blobs = page.blobs.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))).collect();
            self.check_blobs(blobs, options, report).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn check_blobs(
        &self,
        blobs: Vec<(BlobName, u64)>,
        options: FsckOptions,
        report: &mut FsckReport,
    ) -> Result<(), StoreError> {
        let names = blobs.iter().map(|(name, _)| *name).collect();
        let found = self.shared.blobs.payload_bytes(names).await?;
        for ((name, bytes), found) in blobs.into_iter().zip(found) {
            report.blobs += 1;
            let problem = match found {
                None => Some("it is not there".to_owned()),
                Some(found) if found != bytes => Some(format!("{found} bytes, and the index says {bytes}")),
                Some(_) if options.read_data => self.verify(name, bytes, report).await?,
                Some(_) => None,
            };
            // A blob that was let go while we looked is no finding.
            if let Some(problem) = problem
                && self.orphans_of(vec![name]).await?.is_empty()
            {
                report.find(format!("blob {name}: {problem}"));
            }
        }
        Ok(())
    }

    /// Reads all of a blob; what is wrong with it, if anything.
    async fn verify(&self, name: BlobName, bytes: u64, report: &mut FsckReport) -> Result<Option<String>, StoreError> {
        let span = BlobSpan { name, payload_bytes: bytes, offset: 0, bytes };
        let mut reader = match self.shared.blobs.open(span).await {
            Ok(reader) => reader,
            Err(StoreError::Damaged { what, .. }) => return Ok(Some(what.to_owned())),
            Err(error) => return Err(error),
        };
        loop {
            match reader.next().await {
                Ok(batch) if batch.is_empty() => return Ok(None),
                Ok(batch) => report.verified_bytes += batch.iter().map(|bytes| bytes.len() as u64).sum::<u64>(),
                Err(StoreError::Damaged { what, .. }) => return Ok(Some(what.to_owned())),
                Err(error @ StoreError::Io { .. }) => return Ok(Some(error.to_string())),
                Err(error) => return Err(error),
            }
        }
    }

    async fn count_orphans(&self, report: &mut FsckReport) -> Result<(), StoreError> {
        for day in self.shared.blobs.days().await? {
            let mut blobs = self.shared.blobs.list(day).await?;
            let orphans = self.orphans_of(blobs.iter().map(|blob| blob.name).collect()).await?;
            blobs.retain(|blob| orphans.contains(&blob.name));
            report.orphan_blobs += blobs.len() as u64;
            report.orphan_bytes += disk_bytes(&blobs);
        }
        Ok(())
    }
}

fn compare_ledger(audit: &NamespaceAudit, report: &mut FsckReport) {
    let Ledger { objects, current_bytes, hidden_bytes, uploading_bytes } = audit.rows;
    if audit.rows != audit.ledger {
        report.find(format!("{}: the rows say {:?}, and the ledger {:?}", audit.namespace, audit.rows, audit.ledger));
    }
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    report.namespaces.push(NamespaceUse {
        namespace: audit.namespace.clone(),
        objects: unsigned(objects),
        current_bytes: unsigned(current_bytes),
        hidden_bytes: unsigned(hidden_bytes),
        uploading_bytes: unsigned(uploading_bytes),
    });
}
