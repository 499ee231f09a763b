//! Who has which role in an org.

use kheeper_model::api::{MemberRecord, Role};
use kheeper_model::{OrgName, UserId};

use crate::caller::Caller;
use crate::control::unexpected;
use crate::error::StoreError;
use crate::index::{Change, Outcome, PeopleChange};
use crate::store::Store;

impl Store {
    /// Gives a user a role in an org, instead of any other. An owner's call; the operator's where nobody calls.
    ///
    /// [`StoreError::LastOwner`] if that would leave the org without an owner who is let in.
    pub async fn put_member(
        &self,
        caller: Option<&Caller>,
        org: &OrgName,
        user: &UserId,
        role: Role,
    ) -> Result<Vec<MemberRecord>, StoreError> {
        let (caller, org, user) = (caller.cloned(), org.clone(), user.clone());
        self.member_change(PeopleChange::PutMember { caller, org, user, role }).await
    }

    /// Takes a user's role in an org away. An owner's call. [`StoreError::NoSuchUser`] if they have none.
    pub async fn remove_member(
        &self,
        caller: &Caller,
        org: &OrgName,
        user: &UserId,
    ) -> Result<Vec<MemberRecord>, StoreError> {
        let (caller, org, user) = (caller.clone(), org.clone(), user.clone());
        self.member_change(PeopleChange::RemoveMember { caller, org, user }).await
    }

    /// Who has a role in an org: owners first, by name.
    pub async fn members(&self, org: &OrgName) -> Result<Vec<MemberRecord>, StoreError> {
        self.index().members(org).await
    }

    async fn member_change(&self, change: PeopleChange) -> Result<Vec<MemberRecord>, StoreError> {
        match self.commit(Change::People(change)).await? {
            Outcome::Members(members) => Ok(members),
            other => Err(unexpected(&other)),
        }
    }
}
