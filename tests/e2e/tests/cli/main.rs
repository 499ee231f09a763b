//! The command line: identities from their first key to their last day, and every way to start wrongly.

mod env;
mod hosts;
mod identity;
mod join;
mod start;
mod status;
mod usage;
mod users;
