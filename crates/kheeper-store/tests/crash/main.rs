//! Every crash state of the store, on a simulated disk, against a model of what a client was told.
//!
//! A run is decided by its seed alone. To repeat one, with its log of operations:
//!
//! ```sh
//! KHEEPER_SEED=17 KHEEPER_STEPS=50000 cargo test -p kheeper-store --test crash -- --nocapture runs_of_random
//! ```

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod explore;
mod model;
mod operation;
mod removal;
mod sim_disk;
mod world;
