//! Grants: what one host may read of another, for a time.

use kheeper_model::api::GrantRecord;
use kheeper_model::{GrantId, HostName, Namespace, OrgName};

use crate::caller::Caller;
use crate::control::unexpected;
use crate::error::StoreError;
use crate::index::{Change, GrantChange, Outcome};
use crate::store::Store;

impl Store {
    /// Lets the host `to` read what is current of `of`, a host of the same org, for `secs` from now. An owner's call.
    ///
    /// By ids: the next host of either name gets nothing. [`StoreError::Grant`] says what is wrong with it.
    pub async fn create_grant(
        &self,
        caller: &Caller,
        of: &Namespace,
        to: &HostName,
        secs: u64,
    ) -> Result<GrantRecord, StoreError> {
        let (caller, of, to) = (caller.clone(), of.clone(), to.clone());
        self.grant_change(GrantChange::Create { caller, of, to, secs }).await
    }

    /// Ends a grant of `org` now. May be repeated; [`StoreError::NoSuchGrant`] if there is none, or it is long over.
    pub async fn delete_grant(&self, caller: &Caller, org: &OrgName, id: &GrantId) -> Result<GrantRecord, StoreError> {
        let (caller, org, id) = (caller.clone(), org.clone(), id.clone());
        self.grant_change(GrantChange::Delete { caller, org, id }).await
    }

    /// The grants of an org that have not ended, by their end.
    pub async fn grants(&self, org: &OrgName) -> Result<Vec<GrantRecord>, StoreError> {
        self.index().grants(org).await
    }

    async fn grant_change(&self, change: GrantChange) -> Result<GrantRecord, StoreError> {
        match self.commit(Change::Grant(change)).await? {
            Outcome::Grant(grant) => Ok(grant),
            other => Err(unexpected(&other)),
        }
    }
}
