//! The proxy: who may use it, what it passes on, and what it says when the server does not answer.

mod browser;
mod guard;
mod outage;
mod passing;
mod streaming;
mod tls;

use kheeper_e2e::world::Host;
use kheeper_e2e::{Proxy, World};

/// A host and its proxy.
pub(crate) struct Scene {
    pub(crate) proxy: Proxy,
    pub(crate) host: Host,
    pub(crate) world: World,
}

pub(crate) fn scene() -> Scene {
    let world = World::start();
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    Scene { proxy, host, world }
}
