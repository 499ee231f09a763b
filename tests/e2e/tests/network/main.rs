//! The proxy under a bad network: a server that comes and goes, and one that is slow beyond reason.

mod restarts;
mod slow;
