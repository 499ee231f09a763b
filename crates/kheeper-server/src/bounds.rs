//! How much of the server there is at once, in all and for each caller: what the operator set, or what fits two cores and
//! the clients there are (s5cmd sends 256 requests in parallel, wal-g 16 to 32).

use std::time::Duration;

use clap::Args;
use kheeper_model::limits::REQUESTS_MAX_DEFAULT;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::connections::ConnectionBounds;
use crate::request::places::PlaceBounds;

/// For how long a request waits for a place before it is told to slow down. Less than any client's or proxy's patience.
const WAIT: Duration = Duration::from_secs(10);
/// Descriptors for everything that is no connection: the index, and what no request holds.
const OTHER_DESCRIPTORS: usize = 256;

/// Bounds, as the command line takes them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Bounds")]
pub(crate) struct BoundArgs {
    /// Connections open at once; a quarter of them is for those that have not shown a token yet.
    #[arg(long, value_name = "COUNT", default_value_t = 4096, value_parser = at_least_8())]
    connections_max: u32,
    /// Connections of one host or user.
    #[arg(long, value_name = "COUNT", default_value_t = 512, value_parser = at_least_8())]
    connections_per_caller: u32,
    /// Requests under way at once; the last quarter is for hosts with fewer than 32.
    #[arg(long, value_name = "COUNT", default_value_t = REQUESTS_MAX_DEFAULT, value_parser = at_least_8())]
    requests_max: u32,
    /// Requests of one host or user under way; as many again wait for their turn.
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = at_least_8())]
    requests_per_caller: u32,
    /// Listings of one host or user under way.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    lists_per_caller: u32,
    /// Bytes that the uploads of one host or user under way may declare together.
    #[arg(long, value_name = "BYTES", default_value = "64GiB", value_parser = crate::config::parse_bytes)]
    upload_bytes_per_caller: u64,
    /// Bytes a second that an upload must bring, counted over a minute of waiting for it; 0 is any number, as long as
    /// something comes every 75 seconds.
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = crate::config::parse_bytes)]
    upload_rate_min: u64,
}

fn at_least_8() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(8..)
}

/// Bounds, as the server keeps them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) connections: ConnectionBounds,
    pub(crate) places: PlaceBounds,
    /// Bytes a second that a body must bring.
    pub(crate) body_rate_min: u64,
}

impl Bounds {
    pub(crate) fn from_args(args: &BoundArgs) -> Self {
        Self {
            connections: ConnectionBounds::new(args.connections_max as usize, args.connections_per_caller as usize),
            places: PlaceBounds {
                requests: args.requests_max as usize,
                requests_per_caller: args.requests_per_caller as usize,
                lists_per_caller: args.lists_per_caller as usize,
                body_bytes_per_caller: args.upload_bytes_per_caller,
                waiting_per_caller: args.requests_per_caller as usize,
                wait: WAIT,
            },
            body_rate_min: args.upload_rate_min,
        }
    }

    /// Raises the soft limit of descriptors to the hard one, and takes no more connections than that leaves room for:
    /// each may have a file open too.
    pub(crate) fn fit_descriptors(&mut self) {
        let limit = getrlimit(Resource::Nofile);
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
            tracing::warn!(%error, "failed to raise the limit of descriptors");
        }
        let Some(descriptors) = getrlimit(Resource::Nofile).current else { return };
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let all = descriptors.saturating_sub(OTHER_DESCRIPTORS + self.places.requests).max(descriptors / 4);
        if all < self.connections.all() {
            tracing::warn!(
                descriptors,
                connections = all,
                "fewer connections than configured: descriptors are limited"
            );
            self.connections = ConnectionBounds::new(all, self.connections.per_caller);
        }
    }
}
