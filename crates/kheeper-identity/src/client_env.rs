//! What backup tools need to be told so that they use the proxy: `kheeper hosts me --env[=TOOL]`.
//!
//! The proxy throws credentials away, but every S3 client insists on having some: they are `dummy`, on purpose.

use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

use kheeper_model::Namespace;

use crate::ParseError;

/// Where the proxy listens unless told otherwise.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:5000";

/// The access key and secret that clients are given.
pub const DUMMY_CREDENTIAL: &str = "dummy";

const REGION: &str = "us-east-1";

/// Programs in Go trust what this names, and nothing else then.
const GO_TRUSTS: &str = "SSL_CERT_FILE";

/// A client that can be told to use the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// wal-g: environment.
    Walg,
    /// aws cli v2 and the newer AWS SDKs: environment.
    Aws,
    /// restic: environment.
    Restic,
    /// rclone: a section of `rclone.conf`.
    Rclone,
    /// pgBackRest 2.58 or newer: lines of `pgbackrest.conf`.
    Pgbackrest,
    /// barman-cloud: environment.
    Barman,
    /// s3cmd: a section of `.s3cfg`.
    S3cmd,
    /// s5cmd: environment.
    S5cmd,
    /// duplicity with boto3: environment.
    Duplicity,
    /// litestream: environment; its endpoint stands in the replica's URL, which is shown as a comment.
    Litestream,
    /// MinIO's mc: environment, with an alias called like the org.
    Mc,
    /// A program with an AWS SDK of any language: environment.
    Sdk,
}

impl Tool {
    /// All of them, in the order that help shows.
    pub const ALL: [Self; 12] = [
        Self::Walg,
        Self::Aws,
        Self::Restic,
        Self::Rclone,
        Self::Pgbackrest,
        Self::Barman,
        Self::S3cmd,
        Self::S5cmd,
        Self::Duplicity,
        Self::Litestream,
        Self::Mc,
        Self::Sdk,
    ];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Walg => "walg",
            Self::Aws => "aws",
            Self::Restic => "restic",
            Self::Rclone => "rclone",
            Self::Pgbackrest => "pgbackrest",
            Self::Barman => "barman",
            Self::S3cmd => "s3cmd",
            Self::S5cmd => "s5cmd",
            Self::Duplicity => "duplicity",
            Self::Litestream => "litestream",
            Self::Mc => "mc",
            Self::Sdk => "sdk",
        }
    }
}

impl FromStr for Tool {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|tool| tool.as_str() == name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.map(Self::as_str).into();
            ParseError::new(format!("no settings for {name:?}: expected one of {}", known.join(", ")))
        })
    }
}

/// What the settings depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEnv {
    /// Whose backups.
    pub namespace: Namespace,
    /// Where the proxy listens, as a URL without a slash at its end.
    pub endpoint: String,
    /// Below the host's root: more than one archive per host needs one each. No slash at either end.
    pub prefix: Option<String>,
    /// The authority's certificate that the client must trust, where the endpoint is the proxy's own `https`.
    pub ca_file: Option<String>,
}

impl ClientEnv {
    /// The settings of `tool`, as text that ends with a newline.
    pub fn render(&self, tool: Tool) -> String {
        match tool {
            Tool::Walg => lines(&self.walg()),
            Tool::Aws | Tool::Barman | Tool::Duplicity => lines(&self.aws()),
            Tool::Restic => lines(&self.restic()),
            Tool::Rclone => self.rclone(),
            Tool::Pgbackrest => self.pgbackrest(),
            Tool::S3cmd => self.s3cmd(),
            Tool::S5cmd => lines(&self.s5cmd()),
            Tool::Litestream => self.litestream(),
            Tool::Mc => lines(&self.mc()),
            Tool::Sdk => lines(&self.sdk()),
        }
    }

    /// The eight variables of wal-g, in their fixed order, and the authority's file where there is one. `WALG_S3_FORCE_PATH_STYLE` is one that wal-g itself ignores
    /// and people look for; `AWS_S3_FORCE_PATH_STYLE` is the one that works.
    pub fn walg(&self) -> Vec<(&'static str, String)> {
        let mut settings = credentials();
        settings.extend([
            ("AWS_ENDPOINT", self.endpoint.clone()),
            ("WALG_S3_PREFIX", format!("s3://{}/{}", self.namespace.org, self.key_prefix())),
            ("AWS_S3_FORCE_PATH_STYLE", "true".to_owned()),
            ("WALG_S3_FORCE_PATH_STYLE", "true".to_owned()),
        ]);
        settings.extend(self.trusting(&["WALG_S3_CA_CERT_FILE"]));
        settings
    }

    /// The variables of aws cli v2, boto3 (barman-cloud) and the SDKs that read `AWS_ENDPOINT_URL`.
    pub fn aws(&self) -> Vec<(&'static str, String)> {
        let mut settings = credentials();
        settings.push(("AWS_ENDPOINT_URL", self.endpoint.clone()));
        settings.extend(self.trusting(&["AWS_CA_BUNDLE"]));
        settings
    }

    fn s5cmd(&self) -> Vec<(&'static str, String)> {
        let mut settings = credentials();
        settings.push(("S3_ENDPOINT_URL", self.endpoint.clone()));
        settings.extend(self.trusting(&[GO_TRUSTS]));
        settings
    }

    fn litestream(&self) -> String {
        let mut settings = credentials();
        settings.extend(self.trusting(&[GO_TRUSTS]));
        let Self { namespace, endpoint, .. } = self;
        let url =
            format!("s3://{}/{}/DATABASE?endpoint={endpoint}&forcePathStyle=true", namespace.org, self.key_prefix());
        format!("# the replica's url: {url}\n{}", lines(&settings))
    }

    /// mc reads its credentials from the URL of an alias; one that nothing else calls so needs no `mc alias set`. The name
    /// of a variable has no hyphen, so neither has the alias.
    fn mc(&self) -> Vec<(String, String)> {
        let (scheme, authority) = self.endpoint.split_once("://").unwrap_or(("http", &self.endpoint));
        let alias = format!("MC_HOST_{}", self.namespace.org.as_str().replace('-', "_"));
        let url = format!("{scheme}://{DUMMY_CREDENTIAL}:{DUMMY_CREDENTIAL}@{authority}");
        let trust = self.trusting(&[GO_TRUSTS]).into_iter().map(|(name, value)| (name.to_owned(), value));
        std::iter::once((alias, url)).chain(trust).collect()
    }

    /// Each language's SDK has its own idea of where to read an authority: the AWS tools' own name, that of Go and
    /// OpenSSL (Rust, Ruby, PHP), and Node's. Java reads a key store of its own, which the proxy writes beside the file.
    fn sdk(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.aws();
        settings.extend(self.trusting(&[GO_TRUSTS, "NODE_EXTRA_CA_CERTS"]));
        settings.extend(self.ca_file.iter().map(|file| {
            let store = Path::new(file).with_extension("jks");
            ("JAVA_TOOL_OPTIONS", format!("-Djavax.net.ssl.trustStore={}", store.display()))
        }));
        settings
    }

    /// The authority's file under the names that a client reads it by; nothing where there is no TLS.
    fn trusting(&self, names: &[&'static str]) -> Vec<(&'static str, String)> {
        self.ca_file.iter().flat_map(|file| names.iter().map(move |name| (*name, file.clone()))).collect()
    }

    fn restic(&self) -> Vec<(&'static str, String)> {
        let repository = format!("s3:{}/{}/{}", self.endpoint, self.namespace.org, self.key_prefix());
        let mut settings = vec![
            ("AWS_ACCESS_KEY_ID", DUMMY_CREDENTIAL.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", DUMMY_CREDENTIAL.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("RESTIC_REPOSITORY", repository),
        ];
        settings.extend(self.trusting(&["RESTIC_CACERT"]));
        settings
    }

    /// `provider = Minio` lists with ListObjectsV2 and checks the ETag of multipart uploads. The bucket is there
    /// already, so rclone need not try to make it. An authority is no setting of a section: rclone takes it from its
    /// environment or its command line, so it stands in front as a comment to be followed.
    fn rclone(&self) -> String {
        let Namespace { org, .. } = &self.namespace;
        let trust = self.trusting(&["RCLONE_CA_CERT"]);
        let mut text: String =
            trust.iter().map(|(name, file)| format!("# in rclone's environment: {name}={file}\n")).collect();
        let _ = writeln!(text, "[{org}-host]");
        let settings = [
            ("type", "s3"),
            ("provider", "Minio"),
            ("env_auth", "false"),
            ("access_key_id", DUMMY_CREDENTIAL),
            ("secret_access_key", DUMMY_CREDENTIAL),
            ("region", REGION),
            ("endpoint", &self.endpoint),
            ("force_path_style", "true"),
            ("no_check_bucket", "true"),
        ];
        for (name, value) in settings {
            let _ = writeln!(text, "{name} = {value}");
        }
        text
    }

    /// Over TLS as older versions read it too: host and port apart, and the host a name, because pgBackRest looks
    /// for names only in a certificate, and never for addresses.
    fn pgbackrest(&self) -> String {
        let path = format!("/{}", self.key_prefix());
        let mut settings = vec![("repo1-type", "s3".to_owned()), ("repo1-s3-bucket", self.namespace.org.to_string())];
        match &self.ca_file {
            None => settings.push(("repo1-s3-endpoint", self.endpoint.clone())),
            Some(file) => settings.extend([
                ("repo1-s3-endpoint", "localhost".to_owned()),
                ("repo1-storage-port", port(self.authority()).unwrap_or("443").to_owned()),
                ("repo1-storage-ca-file", file.clone()),
            ]),
        }
        settings.extend([
            ("repo1-s3-key", DUMMY_CREDENTIAL.to_owned()),
            ("repo1-s3-key-secret", DUMMY_CREDENTIAL.to_owned()),
            ("repo1-s3-region", REGION.to_owned()),
            ("repo1-s3-uri-style", "path".to_owned()),
            ("repo1-path", path),
        ]);
        lines(&settings)
    }

    /// `host_bucket` without `%(bucket)s` is what s3cmd calls path style.
    fn s3cmd(&self) -> String {
        let mut text = "[default]\n".to_owned();
        let mut settings = vec![
            ("access_key", DUMMY_CREDENTIAL.to_owned()),
            ("secret_key", DUMMY_CREDENTIAL.to_owned()),
            ("bucket_location", REGION.to_owned()),
            ("host_base", self.authority().to_owned()),
            ("host_bucket", self.authority().to_owned()),
            ("use_https", if self.endpoint.starts_with("https://") { "True" } else { "False" }.to_owned()),
        ];
        settings.extend(self.trusting(&["ca_certs_file"]));
        for (name, value) in settings {
            let _ = writeln!(text, "{name} = {value}");
        }
        text
    }

    /// `127.0.0.1:5000`.
    fn authority(&self) -> &str {
        self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, authority)| authority)
    }

    /// `web-01`, or `web-01/pg16-main`.
    fn key_prefix(&self) -> String {
        match &self.prefix {
            Some(prefix) => format!("{}/{prefix}", self.namespace.host),
            None => self.namespace.host.to_string(),
        }
    }
}

/// What every client insists on having, and the proxy throws away.
fn credentials() -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ACCESS_KEY_ID", DUMMY_CREDENTIAL.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", DUMMY_CREDENTIAL.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
    ]
}

/// The port of `127.0.0.1:5000` or `[::1]:5000`, if it names one.
fn port(authority: &str) -> Option<&str> {
    authority.rsplit_once(':').map(|(_, port)| port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

fn lines<N: std::fmt::Display>(settings: &[(N, String)]) -> String {
    settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(prefix: Option<&str>) -> ClientEnv {
        ClientEnv {
            namespace: "myorg/web-01".parse().unwrap(),
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            prefix: prefix.map(str::to_owned),
            ca_file: None,
        }
    }

    fn tls_env() -> ClientEnv {
        let endpoint = "https://127.0.0.1:5000".to_owned();
        ClientEnv { endpoint, ca_file: Some("/var/lib/ca.pem".to_owned()), ..env(None) }
    }

    #[test]
    fn over_tls_every_tool_is_told_what_to_trust_by_its_own_name() {
        for (tool, line) in [
            (Tool::Walg, "WALG_S3_CA_CERT_FILE=/var/lib/ca.pem"),
            (Tool::Aws, "AWS_CA_BUNDLE=/var/lib/ca.pem"),
            (Tool::Barman, "AWS_CA_BUNDLE=/var/lib/ca.pem"),
            (Tool::Duplicity, "AWS_CA_BUNDLE=/var/lib/ca.pem"),
            (Tool::Restic, "RESTIC_CACERT=/var/lib/ca.pem"),
            (Tool::Rclone, "# in rclone's environment: RCLONE_CA_CERT=/var/lib/ca.pem"),
            (Tool::Pgbackrest, "repo1-storage-ca-file=/var/lib/ca.pem"),
            (Tool::S3cmd, "ca_certs_file = /var/lib/ca.pem"),
            (Tool::S5cmd, "SSL_CERT_FILE=/var/lib/ca.pem"),
            (Tool::Litestream, "SSL_CERT_FILE=/var/lib/ca.pem"),
            (Tool::Mc, "SSL_CERT_FILE=/var/lib/ca.pem"),
            (Tool::Sdk, "NODE_EXTRA_CA_CERTS=/var/lib/ca.pem"),
            (Tool::Sdk, "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/var/lib/ca.jks"),
        ] {
            let text = tls_env().render(tool);
            assert!(text.lines().any(|found| found == line), "{line} is missing from\n{text}");
            assert!(!env(None).render(tool).contains("/var/lib/ca."), "{tool:?} without TLS");
        }
    }

    #[test]
    fn pgbackrest_gets_a_name_and_a_port_because_it_checks_no_address() {
        let text = tls_env().render(Tool::Pgbackrest);
        assert!(text.contains("repo1-s3-endpoint=localhost\nrepo1-storage-port=5000\n"), "{text}");
    }

    #[test]
    fn mc_gets_an_alias_that_a_variable_can_be_called_by() {
        let env = ClientEnv { namespace: "my-org/web-01".parse().unwrap(), ..tls_env() };
        assert!(env.render(Tool::Mc).starts_with("MC_HOST_my_org=https://dummy:dummy@127.0.0.1:5000\n"));
    }

    #[test]
    fn s3cmd_gets_path_style() {
        assert!(env(None).render(Tool::S3cmd).contains("host_bucket = 127.0.0.1:5000\nuse_https = False\n"));
        assert!(tls_env().render(Tool::S3cmd).contains("use_https = True\n"));
    }

    #[test]
    fn wal_g_gets_exactly_the_eight_lines_of_the_design() {
        assert_eq!(
            env(None).render(Tool::Walg),
            "AWS_ACCESS_KEY_ID=dummy\n\
             AWS_SECRET_ACCESS_KEY=dummy\n\
             AWS_REGION=us-east-1\n\
             AWS_DEFAULT_REGION=us-east-1\n\
             AWS_ENDPOINT=http://127.0.0.1:5000\n\
             WALG_S3_PREFIX=s3://myorg/web-01\n\
             AWS_S3_FORCE_PATH_STYLE=true\n\
             WALG_S3_FORCE_PATH_STYLE=true\n"
        );
    }

    #[test]
    fn a_prefix_goes_below_the_host() {
        assert!(env(Some("pg16-main")).render(Tool::Walg).contains("WALG_S3_PREFIX=s3://myorg/web-01/pg16-main\n"));
        assert!(env(Some("pg16-main")).render(Tool::Pgbackrest).contains("repo1-path=/web-01/pg16-main\n"));
    }

    #[test]
    fn restic_gets_its_repository() {
        let text = env(None).render(Tool::Restic);
        assert!(text.ends_with("RESTIC_REPOSITORY=s3:http://127.0.0.1:5000/myorg/web-01\n"), "{text}");
    }

    #[test]
    fn rclone_gets_a_section_named_after_the_org() {
        assert_eq!(
            env(None).render(Tool::Rclone),
            "[myorg-host]\ntype = s3\nprovider = Minio\nenv_auth = false\naccess_key_id = dummy\n\
             secret_access_key = dummy\nregion = us-east-1\nendpoint = http://127.0.0.1:5000\n\
             force_path_style = true\nno_check_bucket = true\n"
        );
    }

    #[test]
    fn aws_and_barman_read_the_endpoint_by_its_newer_name() {
        for tool in [Tool::Aws, Tool::Barman] {
            assert!(env(None).render(tool).contains("AWS_ENDPOINT_URL=http://127.0.0.1:5000\n"));
        }
    }

    #[test]
    fn every_tool_is_found_by_its_name() {
        for tool in Tool::ALL {
            assert_eq!(tool.as_str().parse(), Ok(tool));
        }
        assert!("tar".parse::<Tool>().unwrap_err().to_string().contains("walg, aws, restic"));
    }
}
