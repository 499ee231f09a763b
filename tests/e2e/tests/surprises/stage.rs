//! What the cases share: one server, a host's proxy, and the peer, each started when first asked for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, Proxy, World};

use crate::peer::Peer;

/// The programs, ended when it is dropped.
#[derive(Default)]
pub(crate) struct Stage {
    kheeper: OnceLock<Kheeper>,
    peer: OnceLock<Peer>,
    cases: AtomicU32,
}

/// The proxy of `web-01`, and a neighbour with a key that `web-01` must not see.
pub(crate) struct Kheeper {
    pub(crate) proxy: Proxy,
    pub(crate) host: Host,
    pub(crate) neighbour: Host,
    pub(crate) world: World,
}

/// The neighbour's one key.
pub(crate) const NEIGHBOURS_KEY: &str = "web-02/kept";

impl Stage {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn kheeper(&self) -> &Kheeper {
        self.kheeper.get_or_init(|| {
            let world = World::start();
            let host = world.host("web-01");
            let proxy = world.host_proxy(&host);
            let neighbour = world.host("web-02");
            let kheeper = Kheeper { proxy, host, neighbour, world };
            kheeper.neighbours_door().put(&format!("/myorg/{NEIGHBOURS_KEY}"), b"kept").expect(200);
            kheeper
        })
    }

    pub(crate) fn peer(&self) -> &Peer {
        self.peer.get_or_init(Peer::start)
    }

    /// Another number for each case, so that none meets another's keys.
    pub(crate) fn next_case(&self) -> u32 {
        self.cases.fetch_add(1, Ordering::Relaxed)
    }
}

impl Kheeper {
    /// The server itself, as `web-02`.
    pub(crate) fn neighbours_door(&self) -> Door {
        self.world.direct(&self.neighbour.cli)
    }
}
