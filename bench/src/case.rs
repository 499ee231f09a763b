//! What is measured.

use std::fmt;

/// 2¹⁰.
pub(crate) const KIB: u64 = 1 << 10;
/// 2²⁰.
pub(crate) const MIB: u64 = 1 << 20;

/// Objects of one size, moved by a number of clients at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    /// Bytes of each object.
    pub(crate) bytes: u64,
    /// Connections, each with one request in flight.
    pub(crate) parallel: usize,
}

/// In the order of the tables.
pub(crate) const CASES: [Case; 10] = [
    Case { bytes: 4 * KIB, parallel: 1 },
    Case { bytes: 4 * KIB, parallel: 16 },
    Case { bytes: 4 * KIB, parallel: 64 },
    Case { bytes: MIB, parallel: 1 },
    Case { bytes: MIB, parallel: 16 },
    Case { bytes: MIB, parallel: 64 },
    Case { bytes: 16 * MIB, parallel: 1 },
    Case { bytes: 16 * MIB, parallel: 16 },
    Case { bytes: 64 * MIB, parallel: 1 },
    Case { bytes: 64 * MIB, parallel: 16 },
];

impl Case {
    /// Whether requests are what counts here, rather than bytes.
    pub(crate) fn is_small(self) -> bool {
        self.bytes < MIB
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            bytes if bytes < MIB => write!(f, "{} KiB x{}", bytes / KIB, self.parallel),
            bytes => write!(f, "{} MiB x{}", bytes / MIB, self.parallel),
        }
    }
}

/// What the client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// Write new keys.
    Put,
    /// Read what a PUT of the same case wrote.
    Get,
    /// Delete keys.
    Delete,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Put => "PUT",
            Self::Get => "GET",
            Self::Delete => "DELETE",
        })
    }
}
