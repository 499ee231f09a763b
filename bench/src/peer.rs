//! A store by somebody else, on the same disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use kheeper_e2e::Running;
use kheeper_e2e::server::free_port;
use kheeper_e2e::sigv4::StaticKey;
use tokio::runtime::Runtime;

use crate::client::{Client, Credential, Target};

/// What every peer is told to believe.
pub(crate) const PEER_KEY: StaticKey = StaticKey { id: "kheeperbench", secret: "kheeperbenchsecret" };

const START_TRIES: usize = 400;

/// The peers that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PeerKind {
    /// versitygw with its posix backend: the fastest peer we know, and it syncs nothing.
    Versitygw,
    /// MinIO on one directory: it syncs every object.
    Minio,
}

impl PeerKind {
    /// What tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Versitygw => "versitygw",
            Self::Minio => "MinIO",
        }
    }

    fn command(self, program: &Path, data: &Path, address: SocketAddr) -> Command {
        let mut command = Command::new(program);
        match self {
            Self::Versitygw => {
                command.env("ROOT_ACCESS_KEY", PEER_KEY.id).env("ROOT_SECRET_KEY", PEER_KEY.secret);
                command.args(["--quiet", "--port"]).arg(address.to_string()).arg("posix").arg(data);
            }
            Self::Minio => {
                command.env("MINIO_ROOT_USER", PEER_KEY.id).env("MINIO_ROOT_PASSWORD", PEER_KEY.secret);
                command.args(["server", "--quiet", "--address"]).arg(address.to_string()).arg(data);
            }
        }
        command
    }
}

/// A running peer with a bucket in it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The program.
    pub(crate) running: Running,
    /// How to ask it.
    pub(crate) target: Target,
}

impl Peer {
    /// Starts it on the fresh directory `data`.
    pub(crate) fn start(runtime: &Runtime, kind: PeerKind, program: &Path, data: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir(data).context("failed to make the peer's directory")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut running = Running::start(kind.name(), kind.command(program, data, address));
        let prefix = "/bench/".to_owned();
        let target = Target { address, prefix, credential: Credential::Signature(PEER_KEY) };
        runtime
            .block_on(first_bucket(&target))
            .with_context(|| format!("{} does not work ({:?}): {}", kind.name(), running.try_wait(), running.log()))?;
        Ok(Self { running, target })
    }
}

async fn first_bucket(target: &Target) -> anyhow::Result<()> {
    let mut tries = 0;
    loop {
        let made = async { Client::connect(target).await?.make_bucket().await };
        match made.await {
            Ok(()) => return Ok(()),
            Err(error) if tries == START_TRIES => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
        }
        tries += 1;
    }
}
