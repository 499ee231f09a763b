//! The history of a namespace: its versions, hidden ones included.

use kheeper_model::Namespace;
use kheeper_model::limits::LIST_PAGE_MAX;

use crate::error::{Denied, StoreError};
use crate::index::{Range, VersionQuery};
use crate::object::{VersionCursor, VersionPage};
use crate::store::Store;

impl Store {
    /// One page of the versions of a namespace whose keys begin with `prefix`, which must lie in it: by key, then by time.
    pub async fn versions(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<VersionCursor>,
        max: usize,
    ) -> Result<VersionPage, StoreError> {
        let range = range_within(namespace, prefix)?;
        if max == 0 {
            return Ok(VersionPage::default());
        }
        let query = VersionQuery { org: namespace.org.clone(), range, after, max: max.min(LIST_PAGE_MAX) };
        self.index().versions(query).await
    }
}

/// The keys that begin with `prefix`, if all of them lie in the namespace.
pub(crate) fn range_within(namespace: &Namespace, prefix: &str) -> Result<Range, StoreError> {
    if prefix.starts_with(&namespace.key_prefix()) {
        Ok(Range::of_prefix(prefix.as_bytes()))
    } else {
        Err(Denied::OutsideNamespace.into())
    }
}
