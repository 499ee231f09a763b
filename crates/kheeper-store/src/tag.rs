//! Tags: metadata of an object's current version that may change after it was written.

use kheeper_model::{AttemptId, ObjectKey};

use crate::control::unexpected;
use crate::error::StoreError;
use crate::host_store::HostStore;
use crate::index::{Change, Outcome, TagObject};

impl HostStore {
    /// Gives the current object of a key these tags instead of those it had; `None` takes them away. They are in the
    /// form in which [`crate::ObjectMeta::headers`] keeps `x-amz-tagging`.
    ///
    /// [`StoreError::NoSuchKey`] if there is no object. Its ETag and Last-Modified stay.
    pub async fn set_tags(
        &self,
        key: &ObjectKey,
        tagging: Option<String>,
        attempt: AttemptId,
    ) -> Result<(), StoreError> {
        self.check_owns(key)?;
        let (caller, namespace) = (self.caller.clone(), self.namespace_id.clone());
        let change = TagObject { caller, namespace, key: key.clone(), attempt, tagging };
        match self.store.commit(Change::TagObject(change)).await? {
            Outcome::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}
