//! The server over HTTP: who may do what, what S3 says about objects, and what is left after a crash or on a full disk.
//!
//! What a client can get wrong about a body is tried twice, straight at the server and through a proxy.

mod conditions;
mod control;
mod crash;
mod damage;
mod full_disk;
mod grants;
mod integrity;
mod isolation;
mod limits;
mod listing;
mod multipart;
mod objects;
mod revocation;
mod tokens;
