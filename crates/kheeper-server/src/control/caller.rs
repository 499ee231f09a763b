//! Who calls the control API, as an axum extractor: a handler that takes a [`Caller`] cannot run without one.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use kheeper_model::{Namespace, OrgName, UserId};
use kheeper_store::CallerSubject;
use serde::Deserialize;

use super::problem::ProblemResponse;
use crate::app::App;
use crate::request::admit::admit;
use crate::request::authenticate::{Identity, authenticate_afresh};
use crate::request::places::{Demand, Place};

/// What is known of a call outside of its handler: from where, and by whom once that was found out.
#[derive(Debug, Clone)]
pub(crate) struct CallSeen {
    /// From where it comes.
    pub(crate) from: IpAddr,
    identity: Arc<OnceLock<Identity>>,
}

impl CallSeen {
    /// A call from an address, by somebody yet unknown.
    pub(crate) fn new(from: IpAddr) -> Self {
        Self { from, identity: Arc::default() }
    }

    /// Who called, if that is known.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.get()
    }
}

/// An authenticated caller, with a place for the request.
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    _place: Place,
}

/// What a listing may be asked of: one org, or everything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SightQuery {
    /// The org.
    pub(crate) org: Option<OrgName>,
}

/// What a listing is of.
pub(crate) enum Sight<'a> {
    /// The host that asks.
    Own(&'a Namespace),
    /// All of these orgs.
    Orgs(Vec<OrgName>),
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ProblemResponse> {
        let seen = parts.extensions.get::<CallSeen>().cloned();
        let from = seen.as_ref().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |seen| seen.from);
        let mut identity = authenticate_afresh(app, &parts.headers, from).await?;
        if let Some(seen) = seen {
            let _ = seen.identity.set(identity.clone());
        }
        let caller = identity.store_caller().subject;
        let demand = Demand { is_list: false, body_bytes: 0 };
        let place = admit(app, &caller, demand, parts)
            .await
            .map_err(|error| ProblemResponse::new(error.status(), "slow-down", error.message))?;
        if place.was_waited_for() {
            identity = authenticate_afresh(app, &parts.headers, from).await?;
        }
        Ok(Self { identity, _place: place })
    }
}

impl Caller {
    /// The caller as an owner of `org` who may change things; 403 for everyone else, whether the org exists or not.
    pub(crate) fn owner_of(&self, org: &OrgName) -> Result<&UserId, ProblemResponse> {
        let user = self.user()?;
        match &self.identity.record.subject {
            CallerSubject::User { owns, .. } if owns.contains(org) => Ok(user),
            _ => Err(ProblemResponse::denied(format!("only an owner of {org} may do this"))),
        }
    }

    /// The caller as somebody who may look at how `org` is doing: an owner or an auditor.
    pub(crate) fn viewer_of(&self, org: &OrgName) -> Result<(), ProblemResponse> {
        self.user()?;
        match &self.identity.record.subject {
            CallerSubject::User { owns, audits, .. } if owns.contains(org) || audits.contains(org) => Ok(()),
            _ => Err(ProblemResponse::denied(format!("only owners and auditors of {org} may see this"))),
        }
    }

    /// The caller as a person who may change things.
    pub(crate) fn user(&self) -> Result<&UserId, ProblemResponse> {
        if self.identity.scope.is_some() {
            return Err(ProblemResponse::denied("this token is for reading objects only"));
        }
        match &self.identity.record.subject {
            CallerSubject::User { id, .. } => Ok(id),
            CallerSubject::Host { .. } => {
                Err(ProblemResponse::denied("hosts may not do this; use an owner's context (--context NAME)"))
            }
        }
    }

    /// The orgs the caller may look at: those they own or audit, or the host's own. 403 for a narrowed token: it is not for
    /// whole orgs.
    pub(crate) fn orgs(&self) -> Result<Vec<OrgName>, ProblemResponse> {
        if self.identity.scope.is_some() {
            return Err(ProblemResponse::denied("this token is for reading objects only"));
        }
        Ok(match &self.identity.record.subject {
            CallerSubject::User { owns, audits, .. } => owns.iter().chain(audits).cloned().collect(),
            CallerSubject::Host { namespace, .. } => vec![namespace.org.clone()],
        })
    }

    /// What a listing of `org`, or of everything, is of for this caller: a host sees what is its own and no other org, which
    /// `host_sees` says; people see the orgs they may look at.
    pub(crate) fn sight(&self, org: Option<OrgName>, host_sees: &str) -> Result<Sight<'_>, ProblemResponse> {
        match (self.own_namespace(), org) {
            (Some(own), Some(org)) if org != own.org => Err(ProblemResponse::denied(host_sees)),
            (Some(own), _) => Ok(Sight::Own(own)),
            (None, Some(org)) => {
                self.viewer_of(&org)?;
                Ok(Sight::Orgs(vec![org]))
            }
            (None, None) => Ok(Sight::Orgs(self.orgs()?)),
        }
    }

    /// Whether the caller may look at this host: it is the host, or an owner of its org; and the token is not for others.
    pub(crate) fn may_see(&self, host: &Namespace) -> Result<(), ProblemResponse> {
        let sees = match &self.identity.record.subject {
            CallerSubject::User { owns, audits, .. } => owns.contains(&host.org) || audits.contains(&host.org),
            CallerSubject::Host { namespace, .. } => namespace == host,
        };
        let admits = self.identity.scope.as_ref().is_none_or(|scope| scope.admits(host));
        if sees && admits { Ok(()) } else { Err(ProblemResponse::denied(format!("{host} is not yours to see"))) }
    }

    /// Whether the caller may learn what this host stores: whoever may see it, but for auditors.
    pub(crate) fn may_list(&self, host: &Namespace) -> Result<(), ProblemResponse> {
        match &self.identity.record.subject {
            CallerSubject::User { owns, .. } if !owns.contains(&host.org) => {
                Err(ProblemResponse::denied(format!("the objects of {host} are not yours to list")))
            }
            _ => self.may_see(host),
        }
    }

    /// The caller's own namespace, if the caller is a host.
    pub(crate) fn own_namespace(&self) -> Option<&Namespace> {
        match &self.identity.record.subject {
            CallerSubject::Host { namespace, .. } => Some(namespace),
            CallerSubject::User { .. } => None,
        }
    }
}
