//! The index: all metadata, and the only truth about what is stored.
//!
//! Writing is [`Index::commit`] and nothing else. No SQL crosses this trait: an implementation batches, locks and
//! retries as suits its engine, and passes the suite in `contract.rs`.

mod change;
mod change_people;
mod change_upkeep;
mod content;
mod read;
pub(crate) mod sqlite;

use std::collections::BTreeSet;
use std::path::PathBuf;

use async_trait::async_trait;
use kheeper_model::api::{
    GrantRecord, HostRecord, KeyRecord, MemberRecord, OrgRecord, RestorePage, UsageRecord, UserRecord,
};
use kheeper_model::audit::AuditPage;
use kheeper_model::{
    Checksum, ContentId, Crc64Nvme, HostName, KeyId, Namespace, NamespaceId, ObjectKey, OrgName, Timestamp, UserId,
};

pub use change::{
    AbortUpload, Change, CompleteUpload, CopyObject, CreateUpload, DeleteObjects, Outcome, PutObject, PutPart,
    RestoreObjects, TagObject,
};
pub use change_people::{GrantChange, HostChange, KeyOwner, PeopleChange};
pub use change_upkeep::{Lease, LeaseName, SnapshotChange, SweepChange, TrafficDelta, UsageChange};
pub use content::{ContentBody, Manifest, Segment};
pub(crate) use read::successor;
pub use read::{
    BlobRefPage, ContentOwner, ContentPage, ContentRow, Ledger, LedgerAudit, ListPlan, NamespaceAudit, Range, Share,
    SweepState, VersionQuery,
};

use crate::as_of::AsOf;
use crate::blob::BlobName;
use crate::caller::{CallerId, CallerRecord};
use crate::error::StoreError;
use crate::object::{ListPage, ObjectMeta, VersionPage};
use crate::restore::RestoreQuery;
use crate::scrub_state::ScrubState;
use crate::upload::{PartPage, UploadPage, UploadQuery};
use crate::usage::Month;

/// All metadata.
#[async_trait]
pub trait Index: Send + Sync + 'static {
    /// Makes one change: wholly and durably, or not at all. A repeat of an attempt gets the first one's outcome.
    ///
    /// [`StoreError::Unavailable`] leaves open whether the change was made; every other error says that it was not.
    async fn commit(&self, change: Change) -> Result<Outcome, StoreError>;

    /// The object that a key has, or had.
    async fn object(&self, org: &OrgName, key: &ObjectKey, as_of: AsOf) -> Result<Option<ObjectMeta>, StoreError>;
    /// The object that a key has, or had, where its bytes are, and their CRC.
    async fn object_with_content(
        &self,
        org: &OrgName,
        key: &ObjectKey,
        as_of: AsOf,
    ) -> Result<Option<(ObjectMeta, ContentBody, Crc64Nvme)>, StoreError>;
    /// The checksums of a content's parts, in the order of its bytes; none where its upload named no algorithm.
    async fn part_checksums(&self, content: &ContentId) -> Result<Option<Vec<Checksum>>, StoreError>;
    /// One page of objects. Its cost follows the page, not the bucket; of the past, also the keys that it looks at, of which
    /// there is a bound: then the page ends there.
    async fn list(&self, plan: ListPlan) -> Result<ListPage, StoreError>;
    /// One page of versions, current and hidden.
    async fn versions(&self, query: VersionQuery) -> Result<VersionPage, StoreError>;
    /// What a restore would change, a bounded number of keys at a time. [`RestorePage::next`] is the key to go on after.
    async fn restore_plan(&self, query: RestoreQuery) -> Result<RestorePage, StoreError>;
    /// One page of an upload's parts.
    async fn parts(
        &self,
        namespace: &NamespaceId,
        key: &ObjectKey,
        upload: &ContentId,
        after: u32,
        max: usize,
    ) -> Result<PartPage, StoreError>;
    /// One page of a namespace's open uploads.
    async fn uploads(&self, namespace: &NamespaceId, query: UploadQuery) -> Result<UploadPage, StoreError>;

    /// Who holds a key and speaks for a subject.
    async fn caller(&self, key_id: &KeyId, subject: &CallerId) -> Result<Option<CallerRecord>, StoreError>;
    /// The host that a join token is or was for, while the token is remembered.
    async fn host_of_join_token(&self, secret_sha256: [u8; 32]) -> Result<Option<Namespace>, StoreError>;
    /// The number that changes whenever someone's rights do.
    async fn auth_epoch(&self) -> Result<u64, StoreError>;
    /// All users.
    async fn users(&self) -> Result<Vec<UserRecord>, StoreError>;
    /// One user.
    async fn user(&self, id: &UserId) -> Result<Option<UserRecord>, StoreError>;
    /// All keys.
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError>;
    /// One org.
    async fn org(&self, name: &OrgName) -> Result<Option<OrgRecord>, StoreError>;
    /// The orgs a user owns.
    async fn orgs_of(&self, user: &UserId) -> Result<Vec<OrgRecord>, StoreError>;
    /// The hosts of an org, by name.
    async fn hosts(&self, org: &OrgName) -> Result<Vec<HostRecord>, StoreError>;
    /// Who has a role in an org: owners first, by name.
    async fn members(&self, org: &OrgName) -> Result<Vec<MemberRecord>, StoreError>;
    /// The grants of an org that have not ended, by their end.
    async fn grants(&self, org: &OrgName) -> Result<Vec<GrantRecord>, StoreError>;
    /// One host.
    async fn host(&self, namespace: &Namespace) -> Result<Option<HostRecord>, StoreError>;

    /// What the hosts of an org used in a month, as folded so far.
    async fn usage(&self, org: &OrgName, host: Option<&HostName>, month: Month)
    -> Result<Vec<UsageRecord>, StoreError>;

    /// Bytes that a namespace may still store by its quota; none without one.
    async fn quota_left(&self, namespace: &NamespaceId) -> Result<Option<u64>, StoreError>;
    /// What a namespace stores, and among how many namespaces the disk is shared.
    async fn share(&self, namespace: &NamespaceId) -> Result<Share, StoreError>;
    /// What sweep must know before it removes anything.
    async fn sweep_state(&self) -> Result<SweepState, StoreError>;
    /// Contents, by id, after `after`: the first ones that were condemned before `condemned_before`, or all.
    async fn contents(
        &self,
        after: Option<ContentId>,
        condemned_before: Option<Timestamp>,
        max: usize,
    ) -> Result<ContentPage, StoreError>;
    /// Blobs of parts: of open uploads, or condemned before a time.
    async fn part_blobs(
        &self,
        after: Option<BlobName>,
        condemned_before: Option<Timestamp>,
        max: usize,
    ) -> Result<BlobRefPage, StoreError>;
    /// Which of these blobs nothing refers to, condemned or not.
    async fn unreferenced(&self, blobs: Vec<BlobName>) -> Result<Vec<BlobName>, StoreError>;
    /// Whether a blob is named by a manifest that is not condemned, or is a part of an open upload.
    async fn is_live(&self, blob: BlobName) -> Result<bool, StoreError>;
    /// The versions and open uploads that these contents belong to. Reads all versions once, in many short reads.
    async fn owners(&self, contents: BTreeSet<ContentId>) -> Result<Vec<ContentOwner>, StoreError>;
    /// How far scrub has come.
    async fn scrub_state(&self) -> Result<ScrubState, StoreError>;
    /// What in the index cannot be, in words: pages that are damaged, rows that contradict one another.
    async fn integrity(&self) -> Result<Vec<String>, StoreError>;
    /// Stored bytes and objects, recomputed from the rows, beside what the ledger says; one consistent view.
    async fn audit(&self) -> Result<LedgerAudit, StoreError>;

    /// A part of an audit chain: at most `max` records after number `after`.
    async fn audit_page(&self, org: Option<&OrgName>, after: u64, max: usize) -> Result<AuditPage, StoreError>;
    /// The chains there are; none is the server's own.
    async fn audit_chains(&self) -> Result<Vec<Option<OrgName>>, StoreError>;

    /// Writes a copy of the whole index, as it is at one moment, to a file that must not be there, for a store that shall be
    /// in quarantine: see [`SnapshotChange`].
    async fn copy_to(&self, path: PathBuf) -> Result<(), StoreError>;
    /// Since when nobody is let in, because the store was restored from a copy of that time; none if it was not.
    async fn quarantined_since(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Why writes are refused until a restart, if they are.
    fn refuses_writes(&self) -> Option<String>;
    /// Ends: commits what is queued, and lets the files go.
    async fn close(&self);
}
