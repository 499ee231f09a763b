//! DELETE hides the current version; it removes nothing.

use std::collections::BTreeSet;

use kheeper_model::limits::DELETE_KEYS_MAX;
use kheeper_model::{AttemptId, ObjectKey};

use crate::control::unexpected;
use crate::error::StoreError;
use crate::host_store::HostStore;
use crate::index::{Change, DeleteObjects, Outcome};
use crate::object::{Deleted, Precondition};

impl HostStore {
    /// Hides the current object of a key. A key without one is no error.
    pub async fn delete(&self, key: &ObjectKey, attempt: AttemptId) -> Result<Deleted, StoreError> {
        self.delete_if(key, attempt, Precondition::NONE).await
    }

    /// Hides the current object of a key if it meets the condition when this commits: [`StoreError::PreconditionFailed`],
    /// or [`StoreError::NoSuchKey`] if there is none to match.
    pub async fn delete_if(
        &self,
        key: &ObjectKey,
        attempt: AttemptId,
        precondition: Precondition,
    ) -> Result<Deleted, StoreError> {
        let hidden = self.hide([key.clone()].into(), attempt, precondition).await?;
        Ok(if hidden == 0 { Deleted::Absent } else { Deleted::Hidden })
    }

    /// Hides the current objects of up to 1000 keys: all, or none if one of them may not be deleted.
    pub async fn delete_many(&self, keys: Vec<ObjectKey>, attempt: AttemptId) -> Result<(), StoreError> {
        if keys.len() > DELETE_KEYS_MAX {
            return Err(StoreError::internal("more keys than one delete may name"));
        }
        self.hide(keys.into_iter().collect(), attempt, Precondition::NONE).await.map(drop)
    }

    async fn hide(
        &self,
        keys: BTreeSet<ObjectKey>,
        attempt: AttemptId,
        precondition: Precondition,
    ) -> Result<u64, StoreError> {
        keys.iter().try_for_each(|key| self.check_owns(key))?;
        if keys.is_empty() {
            return Ok(0);
        }
        let (caller, namespace) = (self.caller.clone(), self.namespace_id.clone());
        let change = DeleteObjects { caller, namespace, keys, attempt, precondition };
        match self.store.commit(Change::DeleteObjects(change)).await? {
            Outcome::Hidden(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }
}
