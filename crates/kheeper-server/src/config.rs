//! What `serve` was told, checked before anything is opened or bound.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use kheeper_identity::origin::Origin;

use crate::bounds::Bounds;
use crate::cli::ServeArgs;
use crate::prices::PriceList;

/// A configuration without contradictions.
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    /// The origins that tokens may name; the listening address's own are added once it is known.
    pub(crate) origins: Vec<Origin>,
    pub(crate) tls: Tls,
    pub(crate) prices: Option<PriceList>,
    pub(crate) quota_default_bytes: Option<u64>,
    pub(crate) drain_timeout: Duration,
    /// How fast stored bytes are verified in the background; none for not at all.
    pub(crate) scrub_bytes_per_sec: Option<NonZeroU64>,
    pub(crate) bounds: Bounds,
}

/// Who ends TLS.
pub(crate) enum Tls {
    /// Nobody: loopback only.
    None,
    /// This server, with a certificate from files.
    Files { cert: PathBuf, key: PathBuf },
    /// This server, with a certificate signed by its own CA.
    SelfSigned,
    /// A proxy in one of these networks.
    BehindProxy(Vec<Network>),
}

impl Config {
    /// Checks the arguments; each refusal says what to change.
    pub(crate) fn from_args(args: ServeArgs) -> anyhow::Result<Self> {
        let origins = args
            .origin
            .iter()
            .map(|origin| origin.parse::<Origin>().with_context(|| format!("--origin {origin} is not usable")))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let tls = if !args.behind_tls_proxy.is_empty() {
            let networks = args.behind_tls_proxy.iter().map(|cidr| cidr.parse()).collect::<anyhow::Result<_>>()?;
            Tls::BehindProxy(networks)
        } else if args.tls_self_signed {
            Tls::SelfSigned
        } else if let (Some(cert), Some(key)) = (args.tls_cert, args.tls_key) {
            Tls::Files { cert, key }
        } else {
            Tls::None
        };
        let loopback = args.listen.ip().is_loopback();
        if !loopback && matches!(tls, Tls::None) {
            bail!(
                "--listen {} is not loopback: give --tls-cert and --tls-key, --tls-self-signed, or --behind-tls-proxy CIDR",
                args.listen
            );
        }
        ensure!(
            loopback || !origins.is_empty(),
            "--listen {} needs --origin URL: tokens are bound to the URL that clients use",
            args.listen
        );
        let prices = args.prices.as_deref().map(PriceList::load).transpose()?;
        Ok(Self {
            data_dir: args.data,
            listen: args.listen,
            origins,
            tls,
            prices,
            quota_default_bytes: args.quota_default,
            drain_timeout: Duration::from_secs(args.drain_timeout),
            scrub_bytes_per_sec: NonZeroU64::new(u64::from(args.scrub_rate) << 20),
            bounds: Bounds::from_args(&args.bounds),
        })
    }
}

/// Bytes as people write them: `500GiB`, `10 GB`, or a number.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>()
        .map(|bytes| bytes.as_u64())
        .map_err(|_| format!("{text:?} is not a number of bytes: write for instance 500GiB"))
}

/// An address range in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Whether `address` lies in the range; an IPv4 address that came in as IPv6 counts as IPv4.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                leading_bits_equal(&network.octets(), &address.octets(), self.prefix_bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                leading_bits_equal(&network.octets(), &address.octets(), self.prefix_bits)
            }
            _ => false,
        }
    }
}

fn leading_bits_equal(a: &[u8], b: &[u8], bits: u8) -> bool {
    let (whole, rest) = (usize::from(bits / 8), bits % 8);
    if a[..whole] != b[..whole] {
        return false;
    }
    rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0
}

impl std::str::FromStr for Network {
    type Err = anyhow::Error;

    fn from_str(cidr: &str) -> anyhow::Result<Self> {
        let (address, prefix) = match cidr.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (cidr, None),
        };
        let address: IpAddr = address.parse().with_context(|| format!("{cidr} is no network in CIDR notation"))?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits_max,
            Some(prefix) => prefix.parse().with_context(|| format!("{cidr} is no network in CIDR notation"))?,
        };
        ensure!(prefix_bits <= bits_max, "{cidr} has a prefix of more than {bits_max} bits");
        Ok(Self { address, prefix_bits })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn config(args: &[&str]) -> anyhow::Result<Config> {
        let line = ["kheeper-server", "serve", "--data", "unused"].iter().chain(args).copied();
        match Cli::try_parse_from(line)?.command {
            Command::Serve(args) => Config::from_args(*args),
            other => bail!("parsed as {other:?}"),
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert!(config(&["--listen", "127.0.0.1:0"]).is_ok());
        assert!(config(&["--listen", "[::1]:0"]).is_ok());
        assert!(config(&["--listen", "0.0.0.0:9000", "--origin", "https://backup.example"]).is_err());
        let behind =
            ["--listen", "0.0.0.0:9000", "--origin", "https://backup.example", "--behind-tls-proxy", "10.0.0.0/8"];
        assert!(config(&behind).is_ok());
    }

    #[test]
    fn other_addresses_need_an_origin() {
        assert!(config(&["--listen", "0.0.0.0:9000", "--tls-self-signed"]).is_err());
        assert!(
            config(&["--listen", "0.0.0.0:9000", "--tls-self-signed", "--origin", "https://backup.example"]).is_ok()
        );
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(config(&["--tls-cert", "a.pem"]).is_err());
        assert!(config(&["--tls-self-signed", "--tls-cert", "a.pem", "--tls-key", "b.pem"]).is_err());
        assert!(config(&["--origin", "ftp://backup.example"]).is_err());
    }

    #[test]
    fn a_network_holds_its_own_addresses_only() {
        let network: Network = "10.1.0.0/20".parse().expect("a network");
        assert!(network.contains("10.1.15.255".parse().expect("an address")));
        assert!(!network.contains("10.1.16.0".parse().expect("an address")));
        assert!(network.contains("::ffff:10.1.0.1".parse().expect("an address")));
        assert!(!network.contains("fd00::1".parse().expect("an address")));
        assert!("10.1.0.0/33".parse::<Network>().is_err());
        assert!("10.1.0/8".parse::<Network>().is_err());
    }
}
