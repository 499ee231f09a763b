//! What the proxy may do to the machine once it serves: nothing that its user could not do without the kernel's favour.
//!
//! It listens to strangers and holds a private key. Started as root it needs root's capabilities for two things only,
//! to read a key that is somebody else's and to bind a low port, and both are over when it serves. Capabilities belong
//! to threads, so tokio's workers give theirs up as they start, and the main thread once everything is bound.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};
use tokio::runtime::{Builder, Runtime};

/// The runtime to serve in: of its threads none but the caller's own holds a capability or can gain one, and that one
/// gives them up in [`crate::serve`].
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(|| {
            if let Err(error) = give_up() {
                tracing::error!(%error, "failed to give up a thread's privileges");
            }
        })
        .build()
}

/// Gives up the calling thread's capabilities, for good: neither a program that it runs nor anything else gives them
/// back.
pub(crate) fn give_up() -> io::Result<()> {
    set_no_new_privs(true)?;
    let held = capabilities(None)?;
    // A service manager has done it already, and may forbid the very calls.
    if held.permitted.is_empty() && held.inheritable.is_empty() {
        return Ok(());
    }
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().iter() {
            // An older kernel knows fewer of them.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_gave_up_its_privileges_has_none_left() {
        let status = std::thread::spawn(|| {
            give_up().expect("nobody needs a privilege to have none");
            give_up().expect("and it may be said twice");
            std::fs::read_to_string("/proc/thread-self/status").expect("Linux says it")
        });
        let status = status.join().expect("no panic");
        for line in
            ["CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"]
        {
            assert!(status.lines().any(|found| found == line), "{line} is missing from\n{status}");
        }
    }
}
