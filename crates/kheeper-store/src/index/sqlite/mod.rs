//! The index in SQLite: one file, one thread that writes, a few connections that read.

mod attempt;
mod audit;
mod audit_log;
mod authorize;
mod batch;
mod checkpoint;
mod failure;
mod grant_read;
mod grant_write;
mod history_read;
mod host_write;
mod log;
mod member_write;
mod no_overwrite;
mod object_read;
mod object_write;
mod people_read;
mod people_write;
mod queue;
mod readers;
mod restore_read;
mod restore_write;
mod retention;
mod rows;
pub(crate) mod schema;
mod scrub_read;
pub(crate) mod snapshot;
mod sweep_read;
mod sweep_write;
mod upload_read;
mod upload_write;
mod usage_read;
mod usage_write;
mod writer;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use kheeper_model::api::{
    GrantRecord, HostRecord, KeyRecord, MemberRecord, OrgRecord, RestorePage, UsageRecord, UserRecord,
};
use kheeper_model::audit::AuditPage;
use kheeper_model::{
    Checksum, Clock, ContentId, Crc64Nvme, HostName, KeyId, Namespace, NamespaceId, ObjectKey, OrgName, Timestamp,
    UserId,
};

use self::object_read::ListError;
use self::readers::Readers;
use self::rows::RowExt as _;
use self::writer::Writer;
use super::{
    BlobRefPage, Change, ContentBody, ContentOwner, ContentPage, Index, LedgerAudit, ListPlan, Outcome, Share,
    SweepState, VersionQuery,
};
use crate::as_of::AsOf;
use crate::blob::BlobName;
use crate::caller::{CallerId, CallerRecord};
use crate::error::{OpenError, StoreError};
use crate::high_water::Reached;
use crate::object::{ListPage, ObjectMeta, VersionPage};
use crate::options::NamespaceDefaults;
use crate::restore::RestoreQuery;
use crate::scrub_state::ScrubState;
use crate::upload::{PartPage, UploadPage, UploadQuery};
use crate::usage::Month;

/// Connections that look up callers.
const CALLER_READERS: usize = 2;

/// The index in one SQLite file.
pub(crate) struct SqliteIndex {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
    /// Who is calling, and whether anything was revoked, is asked for every request: no listing may stand in its way.
    caller_readers: Readers,
    committed_high: Timestamp,
    clock: Arc<dyn Clock>,
    defaults: NamespaceDefaults,
}

impl SqliteIndex {
    /// Opens the file, and makes it if it is not there. `reached` is how far the store had come, as is known without it.
    /// Blocks.
    pub(crate) fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        defaults: NamespaceDefaults,
        readers: usize,
        reached: Reached,
    ) -> Result<Self, OpenError> {
        let connection = schema::open_writer(path)?;
        let checkpoints = schema::open_checkpointer(path)?;
        let high = "SELECT value FROM meta WHERE name = 'committed_high'";
        let committed_high = connection.query_row(high, [], |row| row.time(0)).map_err(schema::index_error)?;
        if reached.is_beyond(committed_high) {
            snapshot::note_older(&connection, committed_high).map_err(schema::index_error)?;
        }
        let readers = Readers::open(path, readers)?;
        let caller_readers = Readers::open(path, CALLER_READERS)?;
        let writer = Writer::start(connection, checkpoints, Arc::clone(&clock), defaults)?;
        Ok(Self { path: path.to_owned(), writer, readers, caller_readers, committed_high, clock, defaults })
    }

    /// The highest time that had been committed when the index was opened.
    pub(crate) fn committed_high(&self) -> Timestamp {
        self.committed_high
    }
}

#[async_trait]
impl Index for SqliteIndex {
    async fn commit(&self, change: Change) -> Result<Outcome, StoreError> {
        self.writer.commit(change).await
    }

    async fn object(&self, org: &OrgName, key: &ObjectKey, as_of: AsOf) -> Result<Option<ObjectMeta>, StoreError> {
        let (org, key) = (org.clone(), key.clone());
        self.readers.read(move |connection| object_read::object(connection, &org, &key, as_of)).await
    }

    async fn object_with_content(
        &self,
        org: &OrgName,
        key: &ObjectKey,
        as_of: AsOf,
    ) -> Result<Option<(ObjectMeta, ContentBody, Crc64Nvme)>, StoreError> {
        let (org, key) = (org.clone(), key.clone());
        let found = self.readers.read(move |connection| {
            // One view for both rows: between two, sweep could take the content.
            let view = connection.transaction()?;
            let Some(meta) = object_read::object(&view, &org, &key, as_of)? else { return Ok(None) };
            let body = object_read::content_body(&view, &meta.content)?;
            Ok(Some((meta, body)))
        });
        match found.await? {
            None => Ok(None),
            Some((meta, Some((body, crc64nvme)))) => Ok(Some((meta, body?, crc64nvme))),
            Some((meta, None)) => {
                let blob = format!("content {}", meta.content).into();
                Err(StoreError::Damaged { blob, what: "the index has lost where its bytes are" })
            }
        }
    }

    async fn part_checksums(&self, content: &ContentId) -> Result<Option<Vec<Checksum>>, StoreError> {
        let content = *content;
        self.readers.read(move |connection| object_read::part_checksums(connection, &content)).await
    }

    async fn list(&self, plan: ListPlan) -> Result<ListPage, StoreError> {
        let listed = self.readers.read(move |connection| match object_read::list(connection, &plan) {
            Ok(page) => Ok(Ok(page)),
            Err(ListError::Row(error)) => Ok(Err(error)),
            Err(ListError::Index(error)) => Err(error),
        });
        listed.await?
    }

    async fn versions(&self, query: VersionQuery) -> Result<VersionPage, StoreError> {
        self.readers.read(move |connection| history_read::versions(connection, &query)).await
    }

    async fn restore_plan(&self, query: RestoreQuery) -> Result<RestorePage, StoreError> {
        self.readers
            .read(move |connection| {
                let view = connection.transaction()?;
                restore_read::plan(&view, &query)
            })
            .await
    }

    async fn parts(
        &self,
        namespace: &NamespaceId,
        key: &ObjectKey,
        upload: &ContentId,
        after: u32,
        max: usize,
    ) -> Result<PartPage, StoreError> {
        let (namespace, key, upload) = (namespace.clone(), key.clone(), *upload);
        let read = self.readers.read(move |c| upload_read::parts(c, &namespace, &key, &upload, after, max));
        read.await?.ok_or(StoreError::NoSuchUpload)
    }

    async fn uploads(&self, namespace: &NamespaceId, query: UploadQuery) -> Result<UploadPage, StoreError> {
        let namespace = namespace.clone();
        self.readers.read(move |connection| upload_read::uploads(connection, &namespace, &query)).await
    }

    async fn caller(&self, key_id: &KeyId, subject: &CallerId) -> Result<Option<CallerRecord>, StoreError> {
        let (key_id, subject, now) = (key_id.clone(), subject.clone(), self.clock.now());
        let found = self.caller_readers.read(move |connection| {
            let view = connection.transaction()?;
            match snapshot::quarantined_since(&view)? {
                Some(since) => Ok(Err(StoreError::Quarantined(since))),
                None => people_read::caller(&view, &key_id, &subject, now).map(Ok),
            }
        });
        found.await?
    }

    async fn host_of_join_token(&self, secret_sha256: [u8; 32]) -> Result<Option<Namespace>, StoreError> {
        self.caller_readers.read(move |connection| people_read::host_of_join_token(connection, secret_sha256)).await
    }

    async fn auth_epoch(&self) -> Result<u64, StoreError> {
        let sql = "SELECT value FROM meta WHERE name = 'auth_epoch'";
        let read = self.caller_readers.read(move |c| c.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)));
        read.await.map(rows::uint)
    }

    async fn users(&self) -> Result<Vec<UserRecord>, StoreError> {
        self.readers.read(|connection| people_read::users(connection)).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<UserRecord>, StoreError> {
        let id = id.clone();
        self.readers.read(move |connection| people_read::user(connection, &id)).await
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.readers.read(|connection| people_read::keys(connection)).await
    }

    async fn org(&self, name: &OrgName) -> Result<Option<OrgRecord>, StoreError> {
        let name = name.clone();
        self.readers.read(move |connection| people_read::org(connection, &name)).await
    }

    async fn orgs_of(&self, user: &UserId) -> Result<Vec<OrgRecord>, StoreError> {
        let user = user.clone();
        self.readers.read(move |connection| people_read::orgs_of(connection, &user)).await
    }

    async fn hosts(&self, org: &OrgName) -> Result<Vec<HostRecord>, StoreError> {
        let (org, now, defaults) = (org.clone(), self.clock.now(), self.defaults);
        self.readers.read(move |connection| people_read::hosts(connection, &org, now, defaults)).await
    }

    async fn members(&self, org: &OrgName) -> Result<Vec<MemberRecord>, StoreError> {
        let org = org.clone();
        self.readers.read(move |connection| people_read::members(connection, &org)).await
    }

    async fn grants(&self, org: &OrgName) -> Result<Vec<GrantRecord>, StoreError> {
        let (org, now) = (org.clone(), self.clock.now());
        self.readers.read(move |connection| grant_read::of_org(connection, &org, now)).await
    }

    async fn host(&self, namespace: &Namespace) -> Result<Option<HostRecord>, StoreError> {
        let (namespace, now, defaults) = (namespace.clone(), self.clock.now(), self.defaults);
        self.readers.read(move |connection| people_read::host(connection, &namespace, now, defaults)).await
    }

    async fn usage(
        &self,
        org: &OrgName,
        host: Option<&HostName>,
        month: Month,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        let (org, host, now) = (org.clone(), host.cloned(), self.clock.now());
        self.readers
            .read(move |connection| {
                let view = connection.transaction()?;
                usage_read::usage(&view, &org, host.as_ref(), month, now)
            })
            .await
    }

    async fn quota_left(&self, namespace: &NamespaceId) -> Result<Option<u64>, StoreError> {
        let (namespace, defaults) = (namespace.clone(), self.defaults);
        self.readers.read(move |connection| usage_read::quota_left(connection, &namespace, defaults)).await
    }

    async fn share(&self, namespace: &NamespaceId) -> Result<Share, StoreError> {
        let namespace = namespace.clone();
        self.readers.read(move |connection| usage_read::share(connection, &namespace)).await
    }

    async fn sweep_state(&self) -> Result<SweepState, StoreError> {
        let now = self.clock.now();
        self.readers.read(move |connection| sweep_read::sweep_state(connection, now)).await
    }

    async fn contents(
        &self,
        after: Option<ContentId>,
        condemned_before: Option<Timestamp>,
        max: usize,
    ) -> Result<ContentPage, StoreError> {
        self.readers.read(move |connection| sweep_read::contents(connection, after, condemned_before, max)).await
    }

    async fn part_blobs(
        &self,
        after: Option<BlobName>,
        condemned_before: Option<Timestamp>,
        max: usize,
    ) -> Result<BlobRefPage, StoreError> {
        self.readers.read(move |connection| sweep_read::part_blobs(connection, after, condemned_before, max)).await
    }

    async fn unreferenced(&self, blobs: Vec<BlobName>) -> Result<Vec<BlobName>, StoreError> {
        self.readers
            .read(move |connection| {
                let view = connection.transaction()?;
                sweep_read::unreferenced(&view, &blobs)
            })
            .await
    }

    async fn is_live(&self, blob: BlobName) -> Result<bool, StoreError> {
        self.readers.read(move |connection| scrub_read::is_live(connection, &blob)).await
    }

    async fn owners(&self, contents: BTreeSet<ContentId>) -> Result<Vec<ContentOwner>, StoreError> {
        let contents = Arc::new(contents);
        let mut owners = Vec::new();
        let mut after = scrub_read::VersionRow::FIRST;
        loop {
            let wanted = Arc::clone(&contents);
            let page = self.readers.read(move |connection| scrub_read::owners(connection, &wanted, &after)).await?;
            owners.extend(page.owners);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        owners.extend(self.readers.read(move |connection| scrub_read::uploads_of(connection, &contents)).await?);
        Ok(owners)
    }

    async fn scrub_state(&self) -> Result<ScrubState, StoreError> {
        self.readers.read(scrub_read::state).await
    }

    async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.readers.read(audit::integrity).await
    }

    async fn audit(&self) -> Result<LedgerAudit, StoreError> {
        self.readers.read(audit::audit).await
    }

    async fn audit_page(&self, org: Option<&OrgName>, after: u64, max: usize) -> Result<AuditPage, StoreError> {
        let org = org.cloned();
        self.readers.read(move |connection| audit_log::page(connection, org.as_ref(), after, max)).await
    }

    async fn audit_chains(&self) -> Result<Vec<Option<OrgName>>, StoreError> {
        self.readers.read(|connection| audit_log::chains(connection)).await
    }

    async fn copy_to(&self, path: PathBuf) -> Result<(), StoreError> {
        let (index, now) = (self.path.clone(), self.clock.now());
        let copied = tokio::task::spawn_blocking(move || snapshot::copy(&index, &path, now)).await;
        copied.map_err(|stopped| StoreError::internal(format!("copying the index stopped: {stopped}")))?
    }

    async fn quarantined_since(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(|connection| snapshot::quarantined_since(connection)).await
    }

    fn refuses_writes(&self) -> Option<String> {
        self.writer.refusal()
    }

    async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
        self.caller_readers.close().await;
    }
}
