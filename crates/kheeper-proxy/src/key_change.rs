//! A key that was rotated is taken up while the proxy serves: the identity's files are looked at every two seconds.

use std::sync::Arc;

use kheeper_identity::Identity;

use crate::config::IdentitySource;
use crate::limits::IDENTITY_PERIOD;
use crate::proxy::Proxy;

/// Looks for another key of the same identity until the proxy is gone. Another identity is left for the next start: what
/// is served under it could be other backups.
pub(crate) async fn watch(proxy: Arc<Proxy>, identity: Identity, source: IdentitySource) {
    let mut ticks = tokio::time::interval(IDENTITY_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut complained = false;
    loop {
        ticks.tick().await;
        let (source, in_use) = (source.clone(), proxy.tokens.key_id());
        let read = tokio::task::spawn_blocking(move || source.read(&in_use)).await;
        match read.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(None) => complained = false,
            Ok(Some((found, key))) if found.subject == identity.subject && found.origin == identity.origin => {
                complained = false;
                if proxy.tokens.change_key(Arc::new(key)) {
                    tracing::info!("the key was changed: signing with {} from now on", found.key_id);
                }
            }
            Ok(Some((found, _))) if !complained => {
                complained = true;
                tracing::warn!("the identity is now {}: restart the proxy to serve it", found.subject);
            }
            Err(why) if !complained => {
                complained = true;
                tracing::warn!(why, "the identity cannot be read any more; going on with the key in use");
            }
            Ok(Some(_)) | Err(_) => {}
        }
    }
}
