//! `kheeper object-proxy`.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use kheeper_identity::{Context, Identity, IdentitySubject, MachineId, Scope, ServerTrust};
use kheeper_model::{Namespace, Timestamp};
use kheeper_proxy::{Access, IdentitySource, ListenAddress, LocalGuard, ProxyConfig, StartError};

use super::tls_dir::TlsDirArgs;
use crate::cli::GlobalArgs;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output;
use crate::when;

/// How long a person's proxy serves when they do not say: a working day.
const USER_LIFETIME: Duration = Duration::from_secs(8 * 3600);

/// Flags of `kheeper object-proxy`.
#[derive(Debug, Args)]
pub(crate) struct ObjectProxyArgs {
    /// Listen here: ADDRESS:PORT, or unix:PATH [default: the socket that systemd passes, else 127.0.0.1:5000].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<ListenAddress>,
    /// Also speak TLS, on the same port and with a certificate of its own, for clients that speak nothing else. What a
    /// client needs to trust it: `kheeper hosts me --env=TOOL --endpoint https://127.0.0.1:5000`.
    #[arg(long, env = "KHEEPER_TLS")]
    tls: bool,
    #[command(flatten)]
    tls_dir: TlsDirArgs,
    /// Admit only the sockets of this user, by name or number; may be repeated. Without it every local user is served.
    #[arg(long = "allow-user", env = "KHEEPER_ALLOW_USERS", value_name = "NAME", value_delimiter = ',')]
    allow_users: Vec<String>,
    /// Also take this name in a request's `Host` header; may be repeated.
    #[arg(long = "allow-host", value_name = "NAME")]
    allow_hosts: Vec<String>,
    /// Serve requests without an `Authorization: AWS4-…`. Any web page and any tricked program on this machine can then
    /// use the identity.
    #[arg(long)]
    allow_unsigned: bool,
    /// Listen on an address that is not loopback. Whoever reaches it can then use the identity.
    #[arg(long)]
    allow_remote: bool,
    /// Stop after this long, for instance 8h or 30m [default: 8h for a person, never for a host].
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    lifetime: Option<Duration>,
    /// Read this host's backups only, ORG/HOST; may be repeated. For a person's proxy.
    #[arg(long = "only", value_name = "ORG/HOST")]
    only: Vec<Namespace>,
    /// Show what there was at this time, at least a minute ago: 2026-11-22T21:00:00Z, or "2h ago". For a person's proxy.
    #[arg(long, value_name = "TIME", value_parser = when::parse_flag)]
    at: Option<Timestamp>,
    /// After SIGTERM, let requests in flight take this long.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "30s")]
    drain_timeout: Duration,
}

/// Serves until it is told to stop.
pub(crate) async fn run(args: ObjectProxyArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    start_log();
    let config = configure(args, global)?;
    let context = format!("kheeper object-proxy for {}", config.identity.subject);
    let lifetime = config.lifetime;
    kheeper_proxy::serve(config, |bound| {
        if let Some(lifetime) = lifetime {
            output::say(format_args!("this proxy ends in {} (--for)", output::duration(lifetime.as_secs())));
        }
        for endpoint in bound.endpoints() {
            // The one line that scripts and people wait for.
            eprintln!("kheeper object-proxy listening on {endpoint}");
        }
        if let Some(file) = bound.authority_file() {
            output::say(format_args!("TLS is spoken there too; clients have to trust {}", file.display()));
        }
    })
    .await
    .map_err(classed)
    .context(context)?;
    Ok(ExitCode::Success)
}

fn configure(args: ObjectProxyArgs, global: &GlobalArgs) -> anyhow::Result<ProxyConfig> {
    let context = global.context()?;
    let (identity, key) = context.identity_and_key()?;
    let access = access(&identity, &args.only)?;
    if args.at.is_some() && access == Access::Full {
        let message = "--at is for an owner's proxy: a host sees what is current, and its owner sees its history";
        return Err(Failure::usage(message).into());
    }
    let is_user = matches!(identity.subject, IdentitySubject::User { .. });
    if is_user && !args.allow_users.is_empty() {
        let message = "a person's proxy serves that person only: leave --allow-user (KHEEPER_ALLOW_USERS) out";
        return Err(Failure::usage(message).into());
    }
    let own_uid = rustix::process::getuid().as_raw().to_string();
    Ok(ProxyConfig {
        trust: ServerTrust::choose(global.ca_file.clone(), identity.pin),
        machine_id: MachineId::of_this_machine(),
        identity,
        key: Arc::new(key),
        source: Some(source(context.clone())),
        listen: args.listen,
        tls_dir: args.tls.then(|| args.tls_dir.of(&context)),
        guard: LocalGuard {
            allow_users: if is_user { vec![own_uid] } else { args.allow_users },
            allow_hosts: args.allow_hosts,
            allow_unsigned: args.allow_unsigned,
            allow_remote: args.allow_remote,
        },
        access,
        at: args.at,
        lifetime: args.lifetime.or(is_user.then_some(USER_LIFETIME)),
        drain_timeout: args.drain_timeout,
        allow_plain_http: global.allow_plain_http,
    })
}

/// Reads the context again: `identity.json` each time, and the key only when it names another.
fn source(context: Context) -> IdentitySource {
    IdentitySource::new(move |in_use| {
        let found = context.identity().map_err(|error| error.to_string())?;
        if found.key_id == *in_use {
            return Ok(None);
        }
        context.identity_and_key().map(Some).map_err(|error| error.to_string())
    })
}

/// A host does all it may; a person reads, since an owner writes into no host's backups.
fn access(identity: &Identity, only: &[Namespace]) -> anyhow::Result<Access> {
    match (&identity.subject, only) {
        (IdentitySubject::Host { .. }, []) => Ok(Access::Full),
        (IdentitySubject::Host { .. }, _) => {
            Err(Failure::usage("--only narrows a person's proxy: a host has no backups but its own").into())
        }
        (IdentitySubject::User { .. }, []) => Ok(Access::Read(Scope::read())),
        (IdentitySubject::User { .. }, only) => {
            let scope = Scope::read_only(only.iter().cloned()).map_err(|error| Failure::usage(error.to_string()))?;
            Ok(Access::Read(scope))
        }
    }
}

/// What stops a start for good gets the exit status that keeps systemd from trying again.
fn classed(error: StartError) -> anyhow::Error {
    match error {
        StartError::Config(why) => Failure::new(ExitCode::Config, why).into(),
        tls @ StartError::LocalTls(_) => {
            Failure::new(ExitCode::Config, format!("{:#}", anyhow::Error::new(tls))).into()
        }
        other => other.into(),
    }
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// `90s`, `30m`, `8h`, `2d`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a time: write 90s, 30m, 8h or 2d");
    let unit = text.chars().last().ok_or_else(refuse)?;
    let secs_per_unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(refuse()),
    };
    let count: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| refuse())?;
    let secs = count.checked_mul(secs_per_unit).filter(|secs| (1..=366 * 24 * 3600).contains(secs));
    secs.map(Duration::from_secs).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(subject: IdentitySubject) -> Identity {
        Identity {
            origin: "https://backup.example.com".parse().unwrap(),
            subject,
            key_id: kheeper_identity::PrivateKey::generate().unwrap().public_key().key_id(),
            pin: None,
            machine_id: None,
        }
    }

    #[test]
    fn a_host_writes_and_a_person_reads() {
        let host = identity(IdentitySubject::Host {
            namespace: "myorg/web-01".parse().unwrap(),
            host_id: kheeper_model::HostId::random(),
        });
        let person = identity(IdentitySubject::User { user_id: kheeper_model::UserId::random() });
        let only: Namespace = "myorg/web-01".parse().unwrap();
        let only = std::slice::from_ref(&only);
        assert_eq!(access(&host, &[]).unwrap(), Access::Full);
        assert!(access(&host, only).is_err());
        assert_eq!(access(&person, &[]).unwrap(), Access::Read(Scope::read()));
        assert_eq!(access(&person, only).unwrap(), Access::Read("read:myorg/web-01".parse().unwrap()));
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse_time("8h"), Ok(Duration::from_secs(8 * 3600)));
        assert_eq!(parse_time("90s"), Ok(Duration::from_secs(90)));
        for bad in ["", "8", "h", "-1h", "0s", "8 h", "1y", "9999999999999999999h", "8é"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_time("30s"), Ok(kheeper_proxy::DRAIN_TIMEOUT_DEFAULT));
    }
}
