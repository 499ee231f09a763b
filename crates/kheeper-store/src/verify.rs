//! Reading what is at rest, to see whether it is what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

use kheeper_model::{ContentId, Crc64Nvme};
use tokio::time::{Instant, sleep_until};

use crate::blob::{BlobName, BlobSpan};
use crate::error::StoreError;
use crate::index::{ContentBody, ContentOwner, ContentRow};
use crate::scrub_state::DamagedObject;
use crate::store::Store;

/// What reading something that is small costs as well: a lookup, a file that is opened.
const BYTES_PER_READ: u64 = 4096;
/// How far behind its pace a reader may fall and still catch up.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// How fast to read.
pub(crate) struct Pace {
    bytes_per_sec: Option<NonZeroU64>,
    due: Instant,
}

/// Something that is not what was written.
#[derive(Debug, Clone)]
pub(crate) struct Damage {
    pub(crate) content: ContentId,
    /// The blob, or the row of the index.
    pub(crate) what: String,
    pub(crate) problem: String,
}

impl Pace {
    /// No faster than this, or as fast as the disk is.
    pub(crate) fn new(bytes_per_sec: Option<NonZeroU64>) -> Self {
        Self { bytes_per_sec, due: Instant::now() }
    }

    /// Waits until `bytes` more may be read.
    async fn spend(&mut self, bytes: u64) {
        let Some(rate) = self.bytes_per_sec else { return };
        let earliest = Instant::now().checked_sub(BEHIND_MAX).unwrap_or(self.due);
        self.due = self.due.max(earliest) + Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        sleep_until(self.due).await;
    }
}

impl Damage {
    pub(crate) fn of_blob(name: BlobName, problem: String) -> Self {
        Self { content: name.content, what: format!("blob {name}"), problem }
    }

    fn of_row(content: ContentId, problem: String) -> Self {
        Self { content, what: format!("content {content}"), problem }
    }
}

impl ContentRow {
    /// Its blobs, with the bytes that each must have.
    pub(crate) fn blobs(&self) -> Vec<(BlobName, u64)> {
        match &self.body {
            Some(Ok(ContentBody::Blobs(manifest))) => manifest.segments().iter().map(|s| (s.blob, s.bytes)).collect(),
            _ => Vec::new(),
        }
    }

    /// What its rows alone show to be wrong.
    pub(crate) fn contradiction(&self) -> Option<Damage> {
        let stored = match self.body.as_ref()? {
            Ok(ContentBody::Inline(bytes)) => bytes.len() as u64,
            Ok(ContentBody::Blobs(manifest)) => manifest.bytes(),
            Err(error) => return Some(Damage::of_row(self.id, error.to_string())),
        };
        let problem = || format!("{stored} bytes, and its row says {}", self.bytes);
        (stored != self.bytes).then(|| Damage::of_row(self.id, problem()))
    }
}

impl Store {
    /// Reads all of a content; returns its bytes, or what is wrong with it. A content that is let go meanwhile is as it must be.
    pub(crate) async fn verify_content(
        &self,
        content: &ContentRow,
        pace: &mut Pace,
    ) -> Result<(u64, Vec<Damage>), StoreError> {
        let mut found: Vec<Damage> = content.contradiction().into_iter().collect();
        let mut bytes = 0;
        if let Some(Ok(ContentBody::Inline(inline))) = &content.body {
            pace.spend(BYTES_PER_READ).await;
            if Crc64Nvme(crc_fast::crc64_nvme(inline)) == content.crc64nvme {
                bytes += inline.len() as u64;
            } else {
                found.push(Damage::of_row(content.id, "its bytes in the index fail their checksum".to_owned()));
            }
        }
        for (name, length) in content.blobs() {
            match self.verify_blob(name, length, pace).await? {
                Ok(verified) => bytes += verified,
                Err(problem) => found.push(Damage::of_blob(name, problem)),
            }
        }
        Ok((bytes, found))
    }

    /// Reads all of a blob; returns its bytes, or what is wrong with it. One that was let go meanwhile is as it must be.
    pub(crate) async fn verify_blob(
        &self,
        name: BlobName,
        bytes: u64,
        pace: &mut Pace,
    ) -> Result<Result<u64, String>, StoreError> {
        match self.read_blob(name, bytes, pace).await? {
            Err(_) if !self.shared.index.is_live(name).await? => Ok(Ok(0)),
            read => Ok(read),
        }
    }

    async fn read_blob(&self, name: BlobName, bytes: u64, pace: &mut Pace) -> Result<Result<u64, String>, StoreError> {
        pace.spend(BYTES_PER_READ).await;
        let span = BlobSpan { name, payload_bytes: bytes, offset: 0, bytes };
        let mut verified = 0;
        let mut reader = match self.shared.blobs.open(span).await {
            Ok(reader) => reader,
            Err(error) => return unreadable(error).map(Err),
        };
        loop {
            match reader.next().await {
                Ok(batch) if batch.is_empty() => return Ok(Ok(verified)),
                Ok(batch) => {
                    let read = batch.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
                    verified += read;
                    pace.spend(read).await;
                }
                Err(error) => return unreadable(error).map(Err),
            }
        }
    }

    /// Names what damage was done to: each version and open upload that it is in. Damage to what is gone by now is none.
    pub(crate) async fn name_damage(&self, damage: &[Damage]) -> Result<Vec<DamagedObject>, StoreError> {
        let contents = damaged_contents(damage);
        if contents.is_empty() {
            return Ok(Vec::new());
        }
        Ok(name_owners(damage, self.shared.index.owners(contents).await?))
    }
}

/// The contents that were damaged.
pub(crate) fn damaged_contents(damage: &[Damage]) -> BTreeSet<ContentId> {
    damage.iter().map(|damage| damage.content).collect()
}

/// What was damaged, for each version and open upload that has it.
pub(crate) fn name_owners(damage: &[Damage], owners: Vec<ContentOwner>) -> Vec<DamagedObject> {
    let mut of_content: BTreeMap<ContentId, Vec<&Damage>> = BTreeMap::new();
    damage.iter().for_each(|damage| of_content.entry(damage.content).or_default().push(damage));
    let name = |owner: ContentOwner| {
        let found = of_content.get(&owner.content).into_iter().flatten();
        let (blobs, problems): (Vec<&str>, Vec<&str>) = found.map(|d| (d.what.as_str(), d.problem.as_str())).unzip();
        DamagedObject::new(owner, &blobs.join(", "), &problems.join(", "))
    };
    owners.into_iter().map(name).collect()
}

/// What it means that a blob could not be read: damage, or no room to look now.
fn unreadable(error: StoreError) -> Result<String, StoreError> {
    match error {
        StoreError::Damaged { what, .. } => Ok(what.to_owned()),
        error @ StoreError::Io { .. } => Ok(error.to_string()),
        error => Err(error),
    }
}
