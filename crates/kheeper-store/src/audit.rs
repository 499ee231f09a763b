//! The audit log: records that the store writes with each act, notes that others add, and pages of the chain.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kheeper_model::audit::{AuditAct, AuditOutcome, AuditPage, ChainCheck};
use kheeper_model::limits::AUDIT_PAGE_MAX;
use kheeper_model::{KeyId, OrgName};

use crate::caller::Caller;
use crate::error::StoreError;
use crate::index::Change;
use crate::store::Store;

/// What shall be recorded; the index adds when, and the place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditNote {
    /// What was done or tried.
    pub act: AuditAct,
    /// Who.
    pub by: AuditBy,
    /// To what.
    pub on: Option<String>,
    /// What came of it.
    pub outcome: AuditOutcome,
    /// What else there is to say; never a secret.
    pub details: BTreeMap<&'static str, String>,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditBy {
    /// Somebody with a key, from an address.
    Caller {
        /// The id of the user or host.
        subject: String,
        /// The key.
        key_id: KeyId,
        /// From where, if that is known.
        from: Option<IpAddr>,
    },
    /// A machine that joins: it has no id before.
    Joining(Option<IpAddr>),
    /// Nobody who is known.
    Nobody(Option<IpAddr>),
    /// The operator, at the machine.
    Operator,
    /// The server itself.
    Server,
}

impl From<&Caller> for AuditBy {
    fn from(caller: &Caller) -> Self {
        let subject = caller.subject.as_str().to_owned();
        Self::Caller { subject, key_id: caller.key_id.clone(), from: caller.from }
    }
}

impl AuditNote {
    /// Something that was done.
    pub fn done(act: AuditAct, by: impl Into<AuditBy>, on: impl ToString) -> Self {
        let (by, on) = (by.into(), Some(on.to_string()));
        Self { act, by, on, outcome: AuditOutcome::Done, details: BTreeMap::new() }
    }

    /// Something that was refused.
    pub fn denied(act: AuditAct, by: impl Into<AuditBy>, on: impl ToString) -> Self {
        Self { outcome: AuditOutcome::Denied, ..Self::done(act, by, on) }
    }

    /// The same with one more thing to say.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.details.insert(name, value.to_string());
        self
    }
}

/// What a check of one chain found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChainReport {
    /// Whose chain; none is the server's own.
    pub org: Option<OrgName>,
    /// Records that were checked.
    pub records: u64,
    /// The number of the newest.
    pub head_seq: u64,
    /// Its hash, in hex: who kept it elsewhere can tell a later log that was written anew.
    pub head_hash: String,
    /// Where the chain breaks, if it does.
    pub broken: Option<String>,
}

impl Store {
    /// Adds records to the chain of an org, or to the server's own. For what is no change of the store: denials, reads.
    pub async fn note(&self, org: Option<&OrgName>, notes: Vec<AuditNote>) -> Result<(), StoreError> {
        self.commit(Change::Audit(org.cloned(), notes)).await.map(drop)
    }

    /// Up to `max` records of a chain after number `after`.
    pub async fn audit_page(&self, org: Option<&OrgName>, after: u64, max: usize) -> Result<AuditPage, StoreError> {
        self.index().audit_page(org, after, max.min(AUDIT_PAGE_MAX)).await
    }

    /// Follows every chain from its oldest record to its newest.
    pub async fn verify_audit(&self) -> Result<Vec<ChainReport>, StoreError> {
        let mut reports = Vec::new();
        for org in self.shared.index.audit_chains().await? {
            reports.push(self.verify_chain(org.as_ref()).await?);
        }
        Ok(reports)
    }

    async fn verify_chain(&self, org: Option<&OrgName>) -> Result<ChainReport, StoreError> {
        let first = self.audit_page(org, 0, AUDIT_PAGE_MAX).await?;
        let (head_seq, head_hash) = (first.head_seq, first.head_hash.clone());
        let broken = self.follow_chain(org, &first).await?;
        let (records, broken) = match broken {
            Ok(records) => (records, None),
            Err(why) => (0, Some(why)),
        };
        Ok(ChainReport { org: org.cloned(), records, head_seq, head_hash, broken })
    }

    /// To the end that the first page names: records that are added meanwhile are not looked at.
    async fn follow_chain(&self, org: Option<&OrgName>, first: &AuditPage) -> Result<Result<u64, String>, StoreError> {
        let mut check = match ChainCheck::new(first) {
            Ok(check) => check,
            Err(why) => return Ok(Err(why)),
        };
        let mut entries = first.entries.clone();
        loop {
            for entry in &entries {
                if check.next_seq() > first.head_seq {
                    break;
                }
                if let Err(why) = check.take(entry) {
                    return Ok(Err(why));
                }
            }
            if entries.is_empty() || check.next_seq() > first.head_seq {
                let records = check.next_seq() - first.first_seq;
                return Ok(check.finish(first).map(|()| records));
            }
            entries = self.audit_page(org, check.next_seq() - 1, AUDIT_PAGE_MAX).await?.entries;
        }
    }
}
