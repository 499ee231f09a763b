//! What every index and every blob store must do, as tests. Each name is a claim.

mod audit;
mod checksums;
mod grants;
mod history;
mod hosts;
mod members;
mod metering;
mod multipart;
mod no_overwrite;
mod objects;
mod people;
mod restore;
mod rotation;
mod scrubbing;
mod snapshots;
mod sweeping;
mod tags;
mod writes;
