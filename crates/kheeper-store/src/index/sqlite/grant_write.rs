//! Grants: made and ended by an owner, each in a transaction that checks them.

use kheeper_model::audit::AuditAct;
use kheeper_model::limits::{GRANT_ENDED_SECS, GRANT_SECS_MAX, GRANTS_PER_HOST_MAX, GRANTS_PER_ORG_MAX};
use kheeper_model::{GrantId, HostName, Namespace, OrgName};
use rusqlite::params;

use super::authorize::HostRow;
use super::batch::{Batch, ChangeError};
use super::grant_read;
use super::rows::RowExt as _;
use crate::audit::AuditNote;
use crate::caller::Caller;
use crate::error::{GrantRefusal, StoreError};
use crate::index::{GrantChange, Outcome};

impl Batch<'_> {
    pub(super) fn change_grant(&mut self, change: GrantChange) -> Result<Outcome, ChangeError> {
        match change {
            GrantChange::Create { caller, of, to, secs } => self.create_grant(&caller, &of, &to, secs),
            GrantChange::Delete { caller, org, id } => self.delete_grant(&caller, &org, &id),
        }
    }

    fn create_grant(
        &mut self,
        caller: &Caller,
        of: &Namespace,
        to: &HostName,
        secs: u64,
    ) -> Result<Outcome, ChangeError> {
        let org_no = self.authorize_owner(caller, &of.org)?;
        let source = self.host_that_is_there(of)?;
        let grantee = self.host_that_is_there(&Namespace { org: of.org.clone(), host: to.clone() })?;
        if source.host_id == grantee.host_id {
            return Err(StoreError::from(GrantRefusal::ToItself).into());
        }
        if secs == 0 || secs > GRANT_SECS_MAX {
            return Err(StoreError::from(GrantRefusal::Duration).into());
        }
        self.forget_ended_grants(org_no)?;
        let live = |sql| self.connection.prepare_cached(sql);
        let now = self.now.as_millis();
        let of_org = live("SELECT count(*) FROM read_grant WHERE org_no = ?1 AND ends_at > ?2")?
            .query_row(params![org_no, now], |row| row.number(0))?;
        let of_host = live("SELECT count(*) FROM read_grant WHERE grantee = ?1 AND ends_at > ?2")?
            .query_row(params![grantee.host_id, now], |row| row.number(0))?;
        if of_org >= GRANTS_PER_ORG_MAX || of_host >= GRANTS_PER_HOST_MAX {
            return Err(StoreError::from(GrantRefusal::TooMany).into());
        }
        let id = GrantId::random();
        let ends_at = self.now.plus_secs(secs).as_millis();
        self.connection
            .prepare_cached(
                "INSERT INTO read_grant (grant_id, org_no, namespace_no, grantee, created_by, created_at, ends_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                id.as_str(),
                org_no,
                source.namespace_no,
                grantee.host_id,
                caller.subject.as_str(),
                now,
                ends_at
            ])?;
        self.bump_auth_epoch()?;
        let note =
            AuditNote::done(AuditAct::GrantCreate, caller, of).with("grant", &id).with("to", to).with("secs", secs);
        self.audit(org_no, note);
        self.grant_outcome(org_no, &id)
    }

    /// A grant that was deleted has ended now. One that has ended before stays as it was.
    fn delete_grant(&mut self, caller: &Caller, org: &OrgName, id: &GrantId) -> Result<Outcome, ChangeError> {
        let org_no = self.authorize_owner(caller, org)?;
        self.connection
            .prepare_cached("UPDATE read_grant SET ends_at = min(ends_at, ?3) WHERE grant_id = ?1 AND org_no = ?2")?
            .execute(params![id.as_str(), org_no, self.now.as_millis()])?;
        self.bump_auth_epoch()?;
        self.audit(org_no, AuditNote::done(AuditAct::GrantDelete, caller, id));
        self.grant_outcome(org_no, id)
    }

    fn host_that_is_there(&self, namespace: &Namespace) -> Result<HostRow, ChangeError> {
        let host = self.host_row(namespace)?;
        if host.deleted { Err(StoreError::HostState("deleted").into()) } else { Ok(host) }
    }

    /// Grants are few, and there is no better moment to tidy them up than when there is one more.
    fn forget_ended_grants(&self, org_no: i64) -> rusqlite::Result<()> {
        let long_ago = self.now.minus_secs(GRANT_ENDED_SECS).as_millis();
        self.connection
            .prepare_cached("DELETE FROM read_grant WHERE org_no = ?1 AND ends_at <= ?2")?
            .execute(params![org_no, long_ago])
            .map(drop)
    }

    fn grant_outcome(&self, org_no: i64, id: &GrantId) -> Result<Outcome, ChangeError> {
        let grant = grant_read::grant(self.connection, org_no, id)?;
        Ok(Outcome::Grant(grant.ok_or_else(|| StoreError::NoSuchGrant(id.clone()))?))
    }
}
