//! `kheeper objects …`: whose objects, and which file runs what.

use std::str::FromStr;

use clap::Subcommand;
use kheeper_model::api::HostRecord;
use kheeper_model::{Namespace, OrgName};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::objects_list::ObjectsListArgs;
use super::objects_restore::ObjectsRestoreArgs;
use super::{block_on, objects_list, objects_restore};
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::exit_code::ExitCode;

/// `kheeper objects …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ObjectsCommand {
    /// What there is, what there was, or every version that is still kept.
    List(ObjectsListArgs),
    /// Make what there was current again, as new versions; nothing is taken away. For owners.
    Restore(ObjectsRestoreArgs),
}

/// Runs `kheeper objects …`.
pub(crate) fn run(command: ObjectsCommand, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    match command {
        ObjectsCommand::List(args) => block_on(objects_list::run(args, global)),
        ObjectsCommand::Restore(args) => block_on(objects_restore::run(args, global)),
    }
}

/// Some objects: `ORG`, `ORG/HOST`, or `ORG/HOST/KEYS…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// Of every host of an org.
    Org(OrgName),
    /// Of a host: those whose keys, without `HOST/`, begin with the text.
    Host(Namespace, String),
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |error: &dyn std::fmt::Display| format!("{error}; expected ORG, ORG/HOST or ORG/HOST/PREFIX");
        let text = text.strip_prefix("s3://").unwrap_or(text);
        let mut parts = text.splitn(3, '/');
        let org: OrgName = parts.next().unwrap_or_default().parse().map_err(|error| refuse(&error))?;
        match parts.next() {
            None | Some("") => Ok(Self::Org(org)),
            Some(host) => {
                let host = host.parse().map_err(|error| refuse(&error))?;
                Ok(Self::Host(Namespace { org, host }, parts.next().unwrap_or_default().to_owned()))
            }
        }
    }
}

/// The hosts that a prefix names, each with the rest of it: of a whole org, deleted hosts included; without a prefix, all
/// that the caller may see.
pub(super) async fn hosts_of(
    client: &ControlClient,
    prefix: Option<Prefix>,
) -> anyhow::Result<Vec<(Namespace, String)>> {
    let query = match prefix {
        Some(Prefix::Host(namespace, rest)) => return Ok(vec![(namespace, rest)]),
        Some(Prefix::Org(org)) => format!("?org={org}"),
        None => String::new(),
    };
    let hosts: Vec<HostRecord> = client.get(&format!("/hosts{query}")).await?.value;
    Ok(hosts.into_iter().map(|host| (Namespace { org: host.org, host: host.host }, String::new())).collect())
}

/// Text as a query's value.
pub(super) fn query_value(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_an_org_a_host_or_keys_of_it() {
        let host = |rest: &str| Ok(Prefix::Host("myorg/web-01".parse().unwrap(), rest.to_owned()));
        assert_eq!("myorg".parse(), Ok(Prefix::Org("myorg".parse().unwrap())));
        assert_eq!("myorg/".parse(), Ok(Prefix::Org("myorg".parse().unwrap())));
        assert_eq!("myorg/web-01".parse(), host(""));
        assert_eq!("s3://myorg/web-01/".parse(), host(""));
        assert_eq!("myorg/web-01/wal_005/0000".parse(), host("wal_005/0000"));
        assert_eq!("myorg/web-01//a".parse(), host("/a"));
        for bad in ["", "/", "My/web-01", "myorg/WEB/x"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
