//! The checks, one module per kind.

mod docs;
mod imports;
mod routes;
mod sources;
