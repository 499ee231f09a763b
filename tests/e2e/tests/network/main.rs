//! The proxy under a bad network: a server that comes and goes, moves, shows another certificate, or is slow beyond reason.

mod certificates;
mod moved;
mod restarts;
mod slow;
