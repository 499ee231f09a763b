//! Listing what is current, or was, narrowed to what the caller may see.

use kheeper_model::limits::LIST_PAGE_MAX;

use crate::error::StoreError;
use crate::get::ReadStore;
use crate::index::ListPlan;
use crate::object::{ListPage, ListQuery};

impl ReadStore {
    /// One page of objects and common prefixes, in the order of their bytes.
    ///
    /// A prefix that is a parent of what the caller may see is filtered; one that is apart from it gives an empty page.
    /// The cost follows the page: a common prefix is stepped over, however many keys it holds. A page of the past may hold
    /// fewer entries than were asked for, or none, and yet not be the last: it looks at a bounded number of keys.
    pub async fn list(&self, query: ListQuery) -> Result<ListPage, StoreError> {
        let ranges = self.scope.ranges(&query.prefix);
        if query.max == 0 || ranges.is_empty() {
            return Ok(ListPage::default());
        }
        let plan = ListPlan {
            org: self.scope.org().clone(),
            as_of: self.as_of,
            ranges,
            prefix_bytes: query.prefix.len(),
            delimiter: query.delimiter.filter(|delimiter| !delimiter.is_empty()),
            after: query.after.filter(|after| !after.is_empty()),
            max: query.max.min(LIST_PAGE_MAX),
        };
        self.store.index().list(plan).await
    }
}
