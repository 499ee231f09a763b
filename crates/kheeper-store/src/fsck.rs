//! fsck: does the ledger agree with the rows to the byte, and is every blob there that a row refers to?

use kheeper_model::Namespace;

use crate::blob::BlobName;
use crate::error::StoreError;
use crate::index::{Ledger, NamespaceAudit};
use crate::scrub_state::DamagedObject;
use crate::store::Store;
use crate::sweep::{disk_bytes, older_index};
use crate::verify::{Damage, Pace};

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
    /// Versions and open uploads whose bytes are not all there, or not what was written.
    pub damaged: Vec<DamagedObject>,
    /// How many of those there are, named or not.
    pub damaged_count: u64,
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
        if let Some(end) = self.shared.index.sweep_state().await?.older_since {
            report.find(older_index(end));
        }
        let audit = self.shared.index.audit().await?;
        audit.contradictions.into_iter().for_each(|what| report.find(what));
        audit.namespaces.iter().for_each(|namespace| compare_ledger(namespace, &mut report));
        let mut damage = self.check_contents(options, &mut report).await?;
        damage.extend(self.check_parts(options, &mut report).await?);
        for damaged in self.name_damage(&damage).await? {
            report.find(format!(
                "{}: {} ({}): {}: {}",
                damaged.namespace,
                damaged.key,
                damaged.version(),
                damaged.blob,
                damaged.what
            ));
            report.damaged_count += 1;
            if report.damaged.len() < FINDINGS_MAX {
                report.damaged.push(damaged);
            }
        }
        self.count_orphans(&mut report).await?;
        Ok(report)
    }

    async fn check_contents(&self, options: FsckOptions, report: &mut FsckReport) -> Result<Vec<Damage>, StoreError> {
        let mut damage = Vec::new();
        let mut after = None;
        loop {
            let page = self.shared.index.contents(after, None, ROWS_PER_PAGE).await?;
            let mut unread = Vec::new();
            // What is condemned may be gone, or half gone.
            for content in page.contents.iter().filter(|content| content.condemned_at.is_none()) {
                report.contents += 1;
                let blobs = content.blobs();
                report.blobs += blobs.len() as u64;
                if options.read_data {
                    let (bytes, found) = self.verify_content(content, &mut Pace::new(None)).await?;
                    report.verified_bytes += bytes;
                    damage.extend(found);
                } else {
                    damage.extend(content.contradiction());
                    unread.extend(blobs);
                }
            }
            damage.extend(self.check_lengths(unread).await?);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(damage),
            }
        }
    }

    async fn check_parts(&self, options: FsckOptions, report: &mut FsckReport) -> Result<Vec<Damage>, StoreError> {
        let mut damage = Vec::new();
        let mut after = None;
        loop {
            let page = self.shared.index.part_blobs(after, None, ROWS_PER_PAGE).await?;
            let blobs: Vec<(BlobName, u64)> =
                page.blobs.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))).collect();
            report.blobs += blobs.len() as u64;
            if options.read_data {
                for (name, bytes) in blobs {
                    match self.verify_blob(name, bytes, &mut Pace::new(None)).await? {
                        Ok(verified) => report.verified_bytes += verified,
                        Err(problem) => damage.push(Damage::of_blob(name, problem)),
                    }
                }
            } else {
                damage.extend(self.check_lengths(blobs).await?);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(damage),
            }
        }
    }

    /// Whether blobs are there, and as long as the index says.
    async fn check_lengths(&self, blobs: Vec<(BlobName, u64)>) -> Result<Vec<Damage>, StoreError> {
        let names = blobs.iter().map(|(name, _)| *name).collect();
        let found = self.shared.blobs.payload_bytes(names).await?;
        let mut damage = Vec::new();
        for ((name, bytes), found) in blobs.into_iter().zip(found) {
            let problem = match found {
                None => "it is not there".to_owned(),
                Some(found) if found != bytes => format!("{found} bytes, and the index says {bytes}"),
                Some(_) => continue,
            };
            // A blob that was let go while we looked is no finding.
            if self.shared.index.is_live(name).await? {
                damage.push(Damage::of_blob(name, problem));
            }
        }
        Ok(damage)
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
