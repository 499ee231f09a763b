//! Restoring: new versions out of old contents. No byte moves, and nothing is taken away: what was current is hidden.

use kheeper_model::api::RestorePage;
use kheeper_model::{Namespace, ObjectKey, Timestamp};

use crate::as_of::AsOf;
use crate::caller::Caller;
use crate::error::{Denied, StoreError};
use crate::history::range_within;
use crate::index::{Change, Range, RestoreObjects};
use crate::store::Store;

/// What a restore makes of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreTarget {
    /// What they were at a time. What came later is hidden.
    AsOf(Timestamp),
    /// What they were at a time. Keys that came later are left alone.
    AsOfKeepingNew(Timestamp),
    /// Those that have no current object: what they were last.
    Undelete,
}

/// Which keys to look at.
#[derive(Debug, Clone)]
pub struct RestoreQuery {
    /// Whose.
    pub(crate) namespace: Namespace,
    /// The keys.
    pub(crate) range: Range,
    /// What to make of them.
    pub(crate) target: RestoreTarget,
    /// Go on after this key.
    pub(crate) after: Option<ObjectKey>,
}

impl Store {
    /// What a restore of the keys that begin with `prefix` would change: one batch of it, after `after`.
    pub async fn plan_restore(
        &self,
        namespace: &Namespace,
        prefix: &str,
        target: RestoreTarget,
        after: Option<ObjectKey>,
    ) -> Result<RestorePage, StoreError> {
        if let RestoreTarget::AsOf(at) | RestoreTarget::AsOfKeepingNew(at) = target {
            AsOf::past(at, self.now())?;
        }
        if after.as_ref().is_some_and(|after| !namespace.owns(after)) {
            return Err(Denied::OutsideNamespace.into());
        }
        let range = range_within(namespace, prefix)?;
        self.index().restore_plan(RestoreQuery { namespace: namespace.clone(), range, target, after }).await
    }

    /// Makes one batch of what [`Self::plan_restore`] says, in one commit. An owner's, whatever the host's state.
    ///
    /// It looks again inside the commit, so it may be repeated, and goes on where one was interrupted. A quota does not
    /// stand in its way: the bytes are there already.
    pub async fn restore(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        prefix: &str,
        target: RestoreTarget,
        after: Option<ObjectKey>,
    ) -> Result<RestorePage, StoreError> {
        let host = self.index().host(namespace).await?;
        let host = host.ok_or_else(|| StoreError::NoSuchHost(namespace.clone()))?;
        let page = self.plan_restore(namespace, prefix, target, after).await?;
        let keys = page.steps.iter().map(|step| step.key.parse::<ObjectKey>());
        let keys = keys.collect::<Result<_, _>>().map_err(|_| StoreError::internal("a key that is none"))?;
        let (caller, namespace) = (caller.clone(), namespace.clone());
        let namespace_id = host.namespace_id;
        let change = RestoreObjects { caller, namespace, namespace_id, target, keys, began: self.now() };
        self.commit(Change::RestoreObjects(change)).await?;
        Ok(page)
    }
}
