//! What is measured against each other, freshly started on empty directories.

use std::fmt;
use std::path::PathBuf;

use kheeper_e2e::world::Host;
use kheeper_e2e::{Proxy, World};
use tokio::runtime::Runtime;

use crate::client::{Credential, Target};
use crate::peer::{PEER_KEY, Peer, PeerKind};

/// A way to store an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SideName {
    /// `kheeper-server`, asked with a token.
    Direct,
    /// `kheeper object-proxy` in front of the same server.
    Proxy,
    /// The peer.
    Peer,
}

impl fmt::Display for SideName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Proxy => "proxy",
            Self::Peer => "peer",
        })
    }
}

/// A side, ready to be asked.
#[derive(Debug)]
pub(crate) struct Side {
    /// Which.
    pub(crate) name: SideName,
    /// How to ask it.
    pub(crate) target: Target,
    /// The programs that do its work, with their process ids.
    pub(crate) processes: Vec<(&'static str, u32)>,
}

/// A server with one host and its proxy, and the peer. Dropping it ends them and removes what they stored.
#[derive(Debug)]
pub(crate) struct Sides {
    // In the order of dropping: programs end before their directory goes.
    peer: Option<(PeerKind, Peer)>,
    proxy: Proxy,
    host: Host,
    world: World,
}

impl Sides {
    /// Starts everything.
    pub(crate) fn start(runtime: &Runtime, peer: Option<&(PeerKind, PathBuf)>) -> anyhow::Result<Self> {
        let world = World::start();
        let host = world.host("web-01");
        let proxy = world.host_proxy(&host);
        let peer = match peer {
            Some((kind, program)) => Some((*kind, Peer::start(runtime, *kind, program, &world.path("peer"))?)),
            None => None,
        };
        Ok(Self { peer, proxy, host, world })
    }

    /// Each side, with a token that is fresh for minutes.
    pub(crate) fn all(&mut self) -> Vec<Side> {
        let prefix = self.host.path("");
        let server = ("server", self.world.server.running().pid());
        let mut sides = vec![
            Side {
                name: SideName::Direct,
                target: Target {
                    address: self.world.server.address(),
                    prefix: prefix.clone(),
                    credential: Credential::Bearer(self.host.cli.token()),
                },
                processes: vec![server],
            },
            Side {
                name: SideName::Proxy,
                target: Target { address: self.proxy.address(), prefix, credential: Credential::Signature(PEER_KEY) },
                processes: vec![server, ("proxy", self.proxy.running().pid())],
            },
        ];
        if let Some((kind, peer)) = &self.peer {
            sides.push(Side {
                name: SideName::Peer,
                target: peer.target.clone(),
                processes: vec![(kind.name(), peer.running.pid())],
            });
        }
        sides
    }
}
