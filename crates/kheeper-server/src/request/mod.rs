//! One request, step by step: parse, authenticate, admit, authorize, dispatch, respond.

pub(crate) mod admit;
pub(crate) mod audit_events;
pub(crate) mod audit_trail;
pub(crate) mod authenticate;
pub(crate) mod authorize;
pub(crate) mod body;
pub(crate) mod dispatch;
pub(crate) mod handle;
pub(crate) mod lending;
pub(crate) mod pace;
pub(crate) mod places;
pub(crate) mod refusal_turns;
pub(crate) mod respond;
pub(crate) mod revocation;
pub(crate) mod traffic;
