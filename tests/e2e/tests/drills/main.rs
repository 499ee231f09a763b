//! The attack that backups are kept for: whoever took a host over does all that its key allows, and its owner gets
//! everything back as it was.

mod attack;
mod databases;
mod files;
mod flood;
