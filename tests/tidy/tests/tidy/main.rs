//! The checks, one module per kind.

mod clients;
mod docs;
mod floors;
mod imports;
mod routes;
mod sources;
