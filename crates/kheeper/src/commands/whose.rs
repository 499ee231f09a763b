//! Whose backups a client is set up for: the flags that `hosts me --env`, `walg` and `exec` share.

use clap::Args;
use kheeper_identity::client_env::{ClientEnv, DEFAULT_ENDPOINT};
use kheeper_identity::{Context, Identity, MachineId};
use kheeper_model::Namespace;

use super::tls_dir::TlsDirArgs;
use crate::cli::GlobalArgs;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output;

/// Flags that say whose backups, and through which proxy.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WhoseArgs {
    /// Whose backups: ORG/HOST. In a host's own context another host, which a grant lets it read.
    #[arg(long, value_name = "ORG/HOST")]
    pub(crate) host: Option<Namespace>,
    /// An archive of its own below the host: one for each database cluster but the first.
    #[arg(long, env = "KHEEPER_PREFIX", value_name = "PREFIX", value_parser = parse_prefix)]
    pub(crate) prefix: Option<String>,
    /// Where the proxy listens.
    #[arg(long, env = "KHEEPER_ENDPOINT", value_name = "URL", default_value = DEFAULT_ENDPOINT, value_parser = parse_endpoint)]
    pub(crate) endpoint: String,
    #[command(flatten)]
    tls_dir: TlsDirArgs,
}

impl WhoseArgs {
    /// The settings for the context in use. Reads `identity.json` and nothing else: no key, no network. At an `https`
    /// endpoint of this machine they name the proxy's authority, whether or not it is there yet.
    pub(crate) fn client_env(&self, global: &GlobalArgs) -> anyhow::Result<ClientEnv> {
        let context = global.context()?;
        let namespace = self.namespace(&context, &context.identity()?)?;
        let ca_file = is_local_tls(&self.endpoint).then(|| self.tls_dir.of(&context).join("ca.pem"));
        if let Some(file) = ca_file.as_ref().filter(|file| !file.exists()) {
            output::say(format_args!(
                "{} is not there yet: `kheeper object-proxy --tls` makes it when it starts",
                file.display()
            ));
        }
        let ca_file = ca_file.map(|file| file.display().to_string());
        Ok(ClientEnv { namespace, endpoint: self.endpoint.clone(), prefix: self.prefix.clone(), ca_file })
    }

    fn namespace(&self, context: &Context, identity: &Identity) -> Result<Namespace, Failure> {
        match (identity.namespace(), &self.host) {
            (Some(own), None) => Ok(own.clone()),
            (Some(own), Some(asked)) if own == asked => Ok(own.clone()),
            // Whether a grant lets it read another host is for the server to say.
            (Some(own), Some(asked)) if own.org == asked.org => Ok(asked.clone()),
            (Some(own), Some(asked)) => Err(Failure::usage(format!(
                "context {} is host {own}, and no grant lets it read {asked}, which is of another org",
                context.name()
            ))),
            (None, Some(asked)) => Ok(asked.clone()),
            (None, None) => Err(Failure::new(
                ExitCode::Config,
                format!("context {} is a user's: say whose backups with --host ORG/HOST", context.name()),
            )),
        }
    }
}

/// Refuses what would let a copied machine write as the host it was copied from: the proxy's own rule, in its words.
pub(crate) fn check_machine(identity: &Identity) -> Result<(), Failure> {
    match identity.why_no_writes_here(MachineId::of_this_machine().as_ref()) {
        None => Ok(()),
        Some(why) => Err(Failure::new(ExitCode::Denied, why)),
    }
}

/// Whether the endpoint is a proxy's own TLS: one behind another name has another certificate, which is not ours to know.
fn is_local_tls(endpoint: &str) -> bool {
    let Some(authority) = endpoint.strip_prefix("https://") else { return false };
    let host = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    ["localhost", "127.0.0.1", "[::1]"].contains(&host.map_or(authority, |(host, _)| host))
}

/// A URL that goes into other programs' settings: one line, no quotes, no slash at its end.
fn parse_endpoint(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let authority = rest.map(|rest| rest.trim_end_matches('/')).filter(|authority| !authority.is_empty());
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    match authority {
        Some(authority) if authority.bytes().all(good) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("expected http://HOST:PORT, for instance http://127.0.0.1:5000".to_owned()),
    }
}

/// A path below the host, that is safe in a shell, an environment file and a URL.
fn parse_prefix(text: &str) -> Result<String, String> {
    let prefix = text.trim_matches('/');
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let segments_good = prefix.split('/').all(|s| !s.is_empty() && s != "." && s != ".." && s.bytes().all(good));
    if segments_good && prefix.len() <= 256 {
        Ok(prefix.to_owned())
    } else {
        Err("expected letters, digits, '-', '_' and '.', in segments divided by '/'".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_plain_urls() {
        assert_eq!(parse_endpoint("http://127.0.0.1:5000/").as_deref(), Ok("http://127.0.0.1:5000"));
        assert_eq!(parse_endpoint("http://[::1]:5000").as_deref(), Ok("http://[::1]:5000"));
        for bad in ["127.0.0.1:5000", "http://", "http://a\nB=c", "http://a/b", "http://$(x)", "ftp://a"] {
            assert!(parse_endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_tls_on_this_machine_is_the_proxys_own() {
        for own in ["https://127.0.0.1:5000", "https://localhost:5000", "https://[::1]:5000", "https://localhost"] {
            assert!(is_local_tls(own), "{own}");
        }
        for other in ["http://127.0.0.1:5000", "https://backup.example.org", "https://10.0.0.1:5000"] {
            assert!(!is_local_tls(other), "{other}");
        }
    }

    #[test]
    fn prefixes_stay_below_the_host() {
        assert_eq!(parse_prefix("pg16-main").as_deref(), Ok("pg16-main"));
        assert_eq!(parse_prefix("/a/b/").as_deref(), Ok("a/b"));
        for bad in ["", "..", "a/../b", "a//b", "a b", "a\nb", "$x"] {
            assert!(parse_prefix(bad).is_err(), "{bad}");
        }
    }
}
