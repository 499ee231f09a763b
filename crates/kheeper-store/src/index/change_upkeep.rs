//! Changes that the store makes by itself, and those of its operator that are about the store as a whole.

use kheeper_model::{ContentId, KeyId, NamespaceId};

use crate::blob::BlobName;
use crate::scrub_state::ScrubState;
use crate::usage::Traffic;

/// Metering.
#[derive(Debug, Clone)]
pub enum UsageChange {
    /// Adds traffic to the present hour.
    Traffic(Vec<TrafficDelta>),
    /// Folds deltas up to now into hours.
    Fold(Lease),
    /// Says that the clock goes on, so that an idle store is not taken for one whose clock jumped.
    Heartbeat,
}

/// Traffic of one namespace.
#[derive(Debug, Clone)]
pub struct TrafficDelta {
    /// Whose.
    pub namespace: NamespaceId,
    /// How much.
    pub traffic: Traffic,
}

/// What one process at a time may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseName {
    /// Removing what nothing refers to.
    Sweep,
    /// Folding usage.
    Fold,
    /// Verifying what is at rest.
    Scrub,
}

/// Proof that this process is the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// What for.
    pub name: LeaseName,
    /// Counts the holders; an older epoch changes nothing any more.
    pub epoch: u64,
}

/// A copy of the store, and what was restored from one.
#[derive(Debug, Clone)]
pub enum SnapshotChange {
    /// Notes that a copy is being taken.
    Note {
        /// What the store is called from now on, unless it has a name already: a copy tells by it whose it is.
        store_id: u64,
    },
    /// The operator knows that the index is older than the store was, and that it stays so.
    AcceptOlderIndex,
    /// Lets callers in again, of a store that was restored.
    EndQuarantine {
        /// The keys that were revoked since the copy was taken, and are not in it.
        revoked: Vec<KeyId>,
    },
}

/// Removal of what nothing refers to. Each is bounded, and says how many rows it worked on.
#[derive(Debug, Clone)]
pub enum SweepChange {
    /// Takes or extends a lease.
    TakeLease {
        /// Which.
        name: LeaseName,
        /// Who asks.
        holder: [u8; 16],
        /// Seconds it shall last.
        secs: u64,
    },
    /// Removes hidden versions whose time is over, and condemns contents that nothing refers to any more.
    PurgeVersions(Lease, u64),
    /// Hides what deleted namespaces still hold, when their time is over, and frees their names.
    CloseNamespaces(Lease, u64),
    /// Gives idle uploads up, and forgets completed ones and old attempts.
    ExpireUploads(Lease, u64),
    /// Forgets the oldest records of the audit log.
    ForgetAudit(Lease, u64),
    /// Condemns blobs that nothing refers to.
    CondemnBlobs(Lease, Vec<BlobName>),
    /// Forgets condemned contents whose blobs are gone.
    ForgetContents(Lease, Vec<ContentId>),
    /// Forgets condemned blobs that are gone.
    ForgetBlobs(Lease, Vec<BlobName>),
    /// Notes how far scrub has come.
    KeepScrub(Lease, Box<ScrubState>),
}
