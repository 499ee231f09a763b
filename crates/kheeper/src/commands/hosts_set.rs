//! `kheeper hosts set`: how long a host's history is kept, how much it may store, and whether what is there stays.

use clap::{Args, ValueEnum};
use kheeper_model::Namespace;
use kheeper_model::api::{HostRecord, HostSettings, Quota};

use super::hosts::{path, print_host};
use crate::cli::GlobalArgs;
use crate::control_client::ControlClient;
use crate::duration;
use crate::error::Failure;
use crate::exit_code::ExitCode;
use crate::output;

/// Flags of `kheeper hosts set`.
#[derive(Debug, Args)]
pub(crate) struct HostsSetArgs {
    /// The host.
    #[arg(value_name = "ORG/HOST")]
    host: Namespace,
    /// Keep what is overwritten or deleted for so long, for instance 30d. A shorter time counts for what is overwritten
    /// or deleted once the longer one has passed; 0 keeps nothing.
    #[arg(long, value_name = "TIME", value_parser = duration::parse_secs)]
    retention: Option<u64>,
    /// Store no more than this, for instance 500GiB: current, hidden and uploading bytes together. `none` is no limit,
    /// `default` the server's.
    #[arg(long, value_name = "BYTES", value_parser = parse_quota)]
    quota: Option<Quota>,
    /// Refuse other bytes for a key that is there, or was there and is still kept: for WAL archives. Not for tools that
    /// encrypt, or that write one key again and again (pgBackRest, kopia, litestream).
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    no_overwrite: Option<Switch>,
}

/// What whoever sets a retention of 0 must know.
pub(super) const NOTHING_KEPT: &str = "WARNING: with a retention of 0 what is overwritten or deleted is gone, and whoever takes \
                                       a host over can destroy its backups";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Changes what was named.
pub(crate) async fn run(args: HostsSetArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let settings = HostSettings {
        retention_secs: args.retention,
        quota: args.quota,
        no_overwrite: args.no_overwrite.map(|switch| switch == Switch::On),
    };
    if settings == HostSettings::default() {
        return Err(Failure::usage("say what to set: --retention, --quota or --no-overwrite").into());
    }
    let client = ControlClient::for_context(global)?;
    let record: HostRecord = client.post(&format!("{}/set", path(&args.host)), &settings).await?.value;
    print_host(&record, global.format())?;
    for word in warnings(&record) {
        output::say(format_args!("{}: {word}", args.host));
    }
    Ok(ExitCode::Success)
}

/// What an owner must know of a host's window and quota, in words.
pub(super) fn warnings(record: &HostRecord) -> Vec<String> {
    let mut words = Vec::new();
    let (set, in_force) = (record.retention_secs, record.retention_in_force_secs);
    if set == Some(0) {
        words.push(NOTHING_KEPT.to_owned());
    }
    if let (Some(set), Some(in_force)) = (set, in_force)
        && in_force > set
    {
        let (set, in_force) = (output::duration(set), output::duration(in_force));
        words.push(format!("the retention of {set} counts once {in_force}, the one before it, has passed"));
    }
    let stored = record.current_bytes + record.hidden_bytes + record.uploading_bytes;
    if let Some(quota) = record.quota_bytes.filter(|quota| stored >= *quota) {
        let (stored, quota) = (output::bytes(stored), output::bytes(quota));
        words.push(format!("WARNING: {stored} are stored, and the quota is {quota}: writes are refused"));
    }
    words
}

fn parse_quota(text: &str) -> Result<Quota, String> {
    match text {
        "none" => Ok(Quota::None),
        "default" => Ok(Quota::Default),
        _ => match text.parse::<bytesize::ByteSize>() {
            Ok(bytes) => Ok(Quota::Bytes(bytes.as_u64())),
            Err(_) => Err(format!("{text:?} is no number of bytes such as 500GiB, nor none, nor default")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_bytes_none_or_the_servers() {
        assert_eq!(parse_quota("500GiB"), Ok(Quota::Bytes(500 << 30)));
        assert_eq!(parse_quota("1000"), Ok(Quota::Bytes(1000)));
        assert_eq!(parse_quota("none"), Ok(Quota::None));
        assert_eq!(parse_quota("default"), Ok(Quota::Default));
        assert!(parse_quota("much").is_err());
    }
}
