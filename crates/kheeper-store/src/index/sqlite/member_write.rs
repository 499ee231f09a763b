//! Roles of people in orgs. The last owner who can act is never removed: it is counted inside the commit.

use kheeper_model::api::Role;
use kheeper_model::audit::AuditAct;
use kheeper_model::limits::MEMBERS_PER_ORG_MAX;
use kheeper_model::{OrgName, UserId};
use rusqlite::params;

use super::batch::{Batch, ChangeError};
use super::people_read;
use super::rows::RowExt as _;
use crate::audit::{AuditBy, AuditNote};
use crate::caller::Caller;
use crate::error::StoreError;
use crate::index::Outcome;

impl Batch<'_> {
    /// Gives a user a role instead of any other: an owner's, or the operator's where nobody calls.
    pub(super) fn put_member(
        &mut self,
        caller: Option<&Caller>,
        org: &OrgName,
        user: &UserId,
        role: Role,
    ) -> Result<Outcome, ChangeError> {
        let (org_no, by) = match caller {
            Some(caller) => (self.authorize_owner(caller, org)?, AuditBy::from(caller)),
            None => (self.org_no(org)?, AuditBy::Operator),
        };
        if people_read::user(self.connection, user)?.is_none() {
            return Err(StoreError::NoSuchUser(user.clone()).into());
        }
        self.drop_roles(org_no, user)?;
        let insert = match role {
            Role::Owner => "INSERT INTO owner (org_no, user_id) VALUES (?1, ?2)",
            Role::Auditor => "INSERT INTO auditor (org_no, user_id) VALUES (?1, ?2)",
        };
        self.connection.prepare_cached(insert)?.execute(params![org_no, user.as_str()])?;
        self.check_members(org_no)?;
        let role = match role {
            Role::Owner => "owner",
            Role::Auditor => "auditor",
        };
        self.audit(org_no, AuditNote::done(AuditAct::MemberPut, by, user).with("role", role));
        self.bump_auth_epoch()?;
        Ok(Outcome::Members(people_read::members(self.connection, org)?))
    }

    /// Takes a user's role away. One without a role stays without one.
    pub(super) fn remove_member(
        &mut self,
        caller: &Caller,
        org: &OrgName,
        user: &UserId,
    ) -> Result<Outcome, ChangeError> {
        let org_no = self.authorize_owner(caller, org)?;
        if self.drop_roles(org_no, user)? == 0 {
            return Err(StoreError::NoSuchUser(user.clone()).into());
        }
        self.check_members(org_no)?;
        self.audit(org_no, AuditNote::done(AuditAct::MemberRemove, caller, user));
        self.bump_auth_epoch()?;
        Ok(Outcome::Members(people_read::members(self.connection, org)?))
    }

    fn drop_roles(&self, org_no: i64, user: &UserId) -> rusqlite::Result<usize> {
        let drop = |sql| self.connection.prepare_cached(sql)?.execute(params![org_no, user.as_str()]);
        Ok(drop("DELETE FROM owner WHERE org_no = ?1 AND user_id = ?2")?
            + drop("DELETE FROM auditor WHERE org_no = ?1 AND user_id = ?2")?)
    }

    /// After the change, and before it counts: somebody who is let in owns the org, and it has not too many members.
    fn check_members(&self, org_no: i64) -> Result<(), ChangeError> {
        let owners = "SELECT count(*) FROM owner JOIN user USING (user_id) WHERE org_no = ?1 AND NOT disabled";
        let owners = self.connection.prepare_cached(owners)?.query_row([org_no], |row| row.number(0))?;
        if owners == 0 {
            return Err(StoreError::LastOwner.into());
        }
        let members =
            "SELECT (SELECT count(*) FROM owner WHERE org_no = ?1) + (SELECT count(*) FROM auditor WHERE org_no = ?1)";
        let members = self.connection.prepare_cached(members)?.query_row([org_no], |row| row.number(0))?;
        if members > MEMBERS_PER_ORG_MAX { Err(StoreError::TooManyMembers.into()) } else { Ok(()) }
    }
}
