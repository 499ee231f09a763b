//! Everything around a database that archives is hurt: at random, and one thing after the other.
//!
//! `KHEEPER_SEED` replays a run of [`random`], `KHEEPER_CHAOS_SECONDS` makes it longer.

mod absence;
mod clock;
mod hurt;
mod outage;
mod partition;
mod random;
mod stage;
mod window;
