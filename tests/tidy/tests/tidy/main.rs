//! The checks, one module per kind.

mod docs;
mod floors;
mod imports;
mod routes;
mod sources;
