//! The words of kheeper's domain, and nothing that does I/O.
//!
//! A value of one of these types is valid by construction: an [`ObjectKey`] that exists is within its limits, a
//! [`HostName`] is well formed. Read [`limits`] for every bound of the system, [`api`] for the records that the control
//! API exchanges, and go on to `kheeper-s3` (the wire) or `kheeper-store` (what is at rest).

pub mod api;
pub mod audit;
pub mod checksum;
pub mod clock;
pub mod id;
pub mod limits;
pub mod name;
pub mod namespace;
pub mod object;

pub use checksum::{Checksum, ChecksumAlgorithm, ChecksumKind, Crc64Nvme, Md5Digest};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use id::{AttemptId, ContentId, GrantId, HostId, KeyId, NamespaceId, UserId};
pub use name::{HostName, NameError, OrgName, UserName};
pub use namespace::Namespace;
pub use object::{ETag, ObjectHeaders, ObjectKey, ObjectKeyError};
