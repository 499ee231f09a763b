//! A host that is written to in two ways: straight at the server, and through its proxy.

use kheeper_e2e::world::Host;
use kheeper_e2e::{Door, Proxy, World};

pub(crate) struct BothDoors {
    pub(crate) doors: [(&'static str, Door); 2],
    pub(crate) host: Host,
    pub(crate) proxy: Proxy,
    pub(crate) world: World,
}

impl BothDoors {
    pub(crate) fn start() -> Self {
        let world = World::start();
        let host = world.host("web-01");
        let proxy = world.host_proxy(&host);
        Self { doors: [("direct", world.direct(&host.cli)), ("proxy", proxy.door())], host, proxy, world }
    }
}
