//! What is at rest: blobs, index, commit, usage, sweep. No HTTP, and no word about who may ask for what beyond checking,
//! inside each commit, that the caller still may.
//!
//! An acknowledged write is durable in blob and index; the index never points at a missing blob. Read `put.rs` for the
//! order that makes this so, `index/mod.rs` and `blob/mod.rs` for the two traits behind it, and `sweep.rs` for how what
//! nothing refers to goes away.

mod as_of;
mod audit;
pub mod blob;
mod caller;
mod control;
mod copy;
mod delete;
pub mod disk;
mod error;
mod failpoint;
mod fsck;
mod get;
mod grant;
mod high_water;
mod history;
mod host_store;
pub mod index;
mod list;
mod member;
mod multipart;
mod multipart_checksum;
mod object;
mod open;
mod options;
mod put;
#[cfg(test)]
mod put_faults;
mod restore;
mod scope;
mod scrub;
mod scrub_state;
mod snapshot;
mod space;
mod store;
mod sweep;
mod tag;
mod upkeep;
mod upload;
mod usage;
mod verify;

pub use as_of::AsOf;
pub use audit::{AuditBy, AuditNote, ChainReport};
pub use caller::{
    Caller, CallerId, CallerRecord, CallerSubject, DeleteHost, HostCredential, JoinMode, NewJoinToken, NewKey,
    ReadGrant,
};
pub use error::{Denied, GrantRefusal, IntegrityFailure, OpenError, StoreError};
pub use fsck::{FsckOptions, FsckReport, NamespaceUse};
pub use get::{ContentStream, ObjectHandle, ReadStore};
pub use host_store::HostStore;
pub use index::KeyOwner;
pub use object::{
    CopyRequest, Deleted, ETagMatch, Integrity, ListEntry, ListPage, ListQuery, ListedObject, NewObject, ObjectMeta,
    Precondition, VersionCursor, VersionPage, VersionRecord, Written,
};
pub use options::{
    Background, FileSystemSpace, NamespaceDefaults, Randomness, Space, SpaceProbe, StoreOptions, SystemRandomness,
};
pub use put::PutWriter;
pub use restore::RestoreTarget;
pub use scope::ReadScope;
pub use scrub::ScrubStatus;
pub use scrub_state::{DamagedObject, ScrubPosition, ScrubReport, ScrubState};
pub use snapshot::{SnapshotError, SnapshotProgress, SnapshotReport, write_snapshot};
pub use space::SpaceReport;
pub use store::{Health, Store};
pub use sweep::SweepReport;
pub use upload::{
    CompletePart, CompleteRequest, NewPart, NewUpload, PartPage, PartRecord, UploadCursor, UploadEntry, UploadPage,
    UploadQuery, UploadRecord,
};
pub use usage::{Month, NotAMonth, Traffic};
