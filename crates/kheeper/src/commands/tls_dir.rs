//! Where the proxy keeps the certificate that it shows to local clients: the proxy writes it there, and whoever sets a
//! client up is told the same place.

use std::path::{Path, PathBuf};

use clap::Args;
use kheeper_identity::Context;

/// What the packaged unit may write (`StateDirectory=`); the system's identities are read-only to it.
const SYSTEM_STATE_DIR: &str = "/var/lib/kheeper-proxy";

/// The flag that names another place.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TlsDirArgs {
    /// Where the proxy keeps its certificate and its authority [default: /var/lib/kheeper-proxy/CONTEXT for the system's
    /// identity, else `proxy-tls` beside the identity].
    #[arg(long, env = "KHEEPER_TLS_DIR", value_name = "DIR")]
    tls_dir: Option<PathBuf>,
}

impl TlsDirArgs {
    /// The directory for `context`. The same for everybody on the machine who means that context.
    pub(crate) fn of(&self, context: &Context) -> PathBuf {
        if let Some(dir) = &self.tls_dir {
            return dir.clone();
        }
        if ["/etc/kheeper", "/var/lib/kheeper"].iter().any(|system| context.dir().starts_with(Path::new(system))) {
            return Path::new(SYSTEM_STATE_DIR).join(context.name().as_str());
        }
        context.dir().join("proxy-tls")
    }
}

#[cfg(test)]
mod tests {
    use kheeper_identity::ContextName;
    use kheeper_identity::context::ConfigDir;

    use super::*;

    #[test]
    fn the_systems_identity_has_a_directory_that_its_unit_may_write() {
        let dir = |config: &str| TlsDirArgs::default().of(&ConfigDir::at(config).context(ContextName::default()));
        assert_eq!(dir("/etc/kheeper"), Path::new("/var/lib/kheeper-proxy/default"));
        assert_eq!(dir("/var/lib/kheeper"), Path::new("/var/lib/kheeper-proxy/default"));
        assert_eq!(dir("/home/alice/.config/kheeper"), Path::new("/home/alice/.config/kheeper/default/proxy-tls"));
    }
}
