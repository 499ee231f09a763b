//! A handle that reads and writes one namespace, and cannot name another.

use kheeper_model::{Namespace, NamespaceId, ObjectKey};

use crate::as_of::AsOf;
use crate::caller::Caller;
use crate::error::{Denied, StoreError};
use crate::get::ReadStore;
use crate::scope::ReadScope;
use crate::store::Store;

/// Reads and writes one namespace. Its operations are in `put.rs`, `delete.rs`, `copy.rs` and `multipart.rs`.
#[derive(Debug, Clone)]
pub struct HostStore {
    pub(crate) store: Store,
    pub(crate) caller: Caller,
    pub(crate) namespace: Namespace,
    pub(crate) namespace_id: NamespaceId,
    reader: ReadStore,
}

impl HostStore {
    pub(crate) fn new(store: Store, caller: Caller, namespace: Namespace, namespace_id: NamespaceId) -> Self {
        let scope = ReadScope::Hosts(namespace.org.clone(), [namespace.host.clone()].into());
        let reader = ReadStore::new(store.clone(), scope, AsOf::Now);
        Self { store, caller, namespace, namespace_id, reader }
    }

    /// Reads the same namespace.
    pub fn reader(&self) -> &ReadStore {
        &self.reader
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The id of the namespace, which traffic is counted for.
    pub fn namespace_id(&self) -> &NamespaceId {
        &self.namespace_id
    }

    /// Refuses a key that is not in the namespace: the last of three checks, and the one that cannot be forgotten.
    pub(crate) fn check_owns(&self, key: &ObjectKey) -> Result<(), StoreError> {
        if self.namespace.owns(key) { Ok(()) } else { Err(Denied::OutsideNamespace.into()) }
    }
}
