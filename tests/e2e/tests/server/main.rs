//! The server over HTTP: who may do what, and what S3 says about objects. Crashes and broken disks are in `faults/`.
//!
//! What a client can get wrong about a body is tried twice, straight at the server and through a proxy.

mod acts;
mod audit;
mod bad_input;
mod both_doors;
mod checksums;
mod conditions;
mod control;
mod damage;
mod documents;
mod grants;
mod integrity;
mod isolation;
mod keys;
mod limits;
mod listing;
mod matrix;
mod members;
mod multipart;
mod neighbours;
mod objects;
mod races;
mod revocation;
mod rotation;
mod scrub;
mod secrets;
mod snapshot;
mod tags;
mod tokens;
