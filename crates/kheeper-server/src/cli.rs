//! The command line of `kheeper-server`, as clap reads it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kheeper_model::UserName;

/// The object store that hosts back themselves up to.
#[derive(Debug, Parser)]
#[command(name = "kheeper-server", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the store over HTTP.
    Serve(Box<ServeArgs>),
    /// Users: the people who own orgs.
    #[command(subcommand)]
    Users(Users),
    /// Orgs, when nobody who owns one is left.
    #[command(subcommand)]
    Orgs(Orgs),
    /// Keys: what users and hosts sign with.
    #[command(subcommand)]
    Keys(Keys),
    /// The audit log: the server's own chain, and those of all orgs.
    #[command(subcommand)]
    Audit(Audit),
    /// Check that index and blobs agree, and that usage sums to the byte. Changes nothing.
    Fsck {
        #[command(flatten)]
        operator: OperatorArgs,
        /// Read and verify every byte too.
        #[arg(long)]
        read_data: bool,
    },
    /// Remove what nothing refers to any more, in two steps a day apart. The server does this by itself every hour.
    Sweep {
        #[command(flatten)]
        operator: OperatorArgs,
        /// Remove files that no row names though there are as many as that: only after a refusal said so, and only if the
        /// index is the one that belongs to them.
        #[arg(long, value_name = "COUNT", default_value_t = 0)]
        accept_orphans: u64,
        /// Go on with an index that is older than the store once was: only after a refusal said so, and only if the newer one
        /// is lost for good.
        #[arg(long)]
        accept_older_index: bool,
    },
    /// Read every byte that is stored and name what is damaged. Removes nothing. The server does this by itself, slowly.
    Scrub {
        #[command(flatten)]
        operator: OperatorArgs,
        /// Only say how far the server's own round has come, and what the last one found.
        #[arg(long)]
        status: bool,
    },
    /// Copy the whole store to a directory while it serves. Repeated with the same directory, it copies what is new.
    ///
    /// The copy is a data directory; whoever serves it has to end its quarantine first.
    Snapshot {
        /// The directory: made if it is not there, else empty or an earlier snapshot of this store.
        to: PathBuf,
        #[command(flatten)]
        operator: OperatorArgs,
    },
    /// A store that was restored from a snapshot: nobody is let in until it is said what was revoked since.
    #[command(subcommand)]
    Quarantine(Quarantine),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The data directory; made if it is not there.
    #[arg(long, value_name = "DIR", env = "KHEEPER_DATA")]
    pub(crate) data: PathBuf,
    /// Where to listen. Without TLS only loopback is accepted.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    pub(crate) listen: SocketAddr,
    /// The URL that clients reach the server by; may be given more than once. Tokens are made for one origin and are
    /// refused at every other. Not needed on loopback.
    #[arg(long, value_name = "URL")]
    pub(crate) origin: Vec<String>,
    /// A certificate chain (PEM); read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "tls_self_signed")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Make a CA in the data directory and sign an own certificate; join tokens carry the CA's pin.
    #[arg(long)]
    pub(crate) tls_self_signed: bool,
    /// A network whose proxies end TLS in front of this server: plain HTTP is then accepted on any address.
    #[arg(long, value_name = "CIDR", conflicts_with_all = ["tls_cert", "tls_self_signed"])]
    pub(crate) behind_tls_proxy: Vec<String>,
    /// A price list (TOML), for `kheeper usage`.
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
    /// Bytes that a host may store where its owner has set no quota, for instance 500GiB: current, hidden and uploading
    /// together [default: no limit].
    #[arg(long, value_name = "BYTES", value_parser = crate::config::parse_bytes)]
    pub(crate) quota_default: Option<u64>,
    /// Seconds that requests in flight get to finish after SIGTERM.
    #[arg(long, value_name = "SECS", default_value_t = 25)]
    pub(crate) drain_timeout: u64,
    /// MiB per second that the server reads by itself to verify what is stored; 0 turns that off. A round begins every
    /// seven days.
    #[arg(long, value_name = "MIB", default_value_t = 16)]
    pub(crate) scrub_rate: u32,
    /// How to write the log.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    #[command(flatten)]
    pub(crate) bounds: crate::bounds::BoundArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct OperatorArgs {
    /// The data directory, of a server that runs or does not.
    #[arg(long, value_name = "DIR", env = "KHEEPER_DATA", default_value = "/var/lib/kheeper-server")]
    pub(crate) data: PathBuf,
    /// Print records as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// Create a user and print their id.
    Create {
        /// The user's name.
        name: UserName,
        #[command(flatten)]
        operator: OperatorArgs,
    },
    /// Refuse all keys of a user, until `users enable`; it counts within five seconds.
    Disable {
        /// The user's id.
        user: String,
        #[command(flatten)]
        operator: OperatorArgs,
    },
    /// Take `users disable` back.
    Enable {
        /// The user's id.
        user: String,
        #[command(flatten)]
        operator: OperatorArgs,
    },
    /// List users, the orgs they own and their keys.
    List {
        #[command(flatten)]
        operator: OperatorArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Register the key behind a registration token that `kheeper auth login` printed.
    Register {
        /// The registration token.
        token: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        operator: OperatorArgs,
    },
    /// List all keys.
    List {
        #[command(flatten)]
        operator: OperatorArgs,
    },
    /// Revoke a key, for ever; it ends within five seconds.
    Revoke {
        /// The key's id. One in 64 begins with `-`.
        #[arg(allow_hyphen_values = true)]
        key_id: String,
        #[command(flatten)]
        operator: OperatorArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Follow every chain from its oldest record to its newest: finds what was removed, altered or moved.
    Verify {
        #[command(flatten)]
        operator: OperatorArgs,
    },
    /// Print the records of a chain, as JSON lines with their hashes.
    Export {
        /// The org; the server's own chain without it.
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
        #[command(flatten)]
        operator: OperatorArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Say of what time the store is, and list the keys that would be let in.
    Show {
        #[command(flatten)]
        operator: OperatorArgs,
    },
    /// Let callers in, but for the keys that were revoked since; asks for them on a terminal.
    End {
        /// A key that was revoked since the snapshot was taken; may be given more than once.
        #[arg(long, value_name = "KEY_ID", allow_hyphen_values = true)]
        revoke: Vec<String>,
        /// No key was revoked since: do not ask.
        #[arg(long, conflicts_with = "revoke")]
        nothing_revoked: bool,
        #[command(flatten)]
        operator: OperatorArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Orgs {
    /// Make a user an owner of an org: for when every owner has lost their key. It goes into the org's audit log.
    AddOwner {
        /// The org.
        org: String,
        /// The user's id.
        user: String,
        #[command(flatten)]
        operator: OperatorArgs,
    },
}
