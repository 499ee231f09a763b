//! The server over HTTP: who may do what, what S3 says about objects, and what is left after a crash or on a full disk.
//!
//! What a client can get wrong about a body is tried twice, straight at the server and through a proxy.

mod checksums;
mod conditions;
mod control;
mod crash;
mod damage;
mod documents;
mod full_disk;
mod grants;
mod integrity;
mod isolation;
mod keys;
mod limits;
mod listing;
mod multipart;
mod objects;
mod revocation;
mod tags;
mod tokens;
