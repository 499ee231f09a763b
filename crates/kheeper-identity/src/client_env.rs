//! What backup tools need to be told so that they use the proxy: `kheeper hosts me --env[=TOOL]`.
//!
//! The proxy throws credentials away, but every S3 client insists on having some: they are `dummy`, on purpose.

use std::fmt::Write as _;
use std::str::FromStr;

use kheeper_model::Namespace;

use crate::ParseError;

/// Where the proxy listens unless told otherwise.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:5000";

/// The access key and secret that clients are given.
pub const DUMMY_CREDENTIAL: &str = "dummy";

const REGION: &str = "us-east-1";

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
}

impl Tool {
    /// All of them, in the order that help shows.
    pub const ALL: [Self; 6] = [Self::Walg, Self::Aws, Self::Restic, Self::Rclone, Self::Pgbackrest, Self::Barman];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Walg => "walg",
            Self::Aws => "aws",
            Self::Restic => "restic",
            Self::Rclone => "rclone",
            Self::Pgbackrest => "pgbackrest",
            Self::Barman => "barman",
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
}

impl ClientEnv {
    /// The settings of `tool`, as text that ends with a newline.
    pub fn render(&self, tool: Tool) -> String {
        match tool {
            Tool::Walg => lines(&self.walg()),
            Tool::Aws | Tool::Barman => lines(&self.aws()),
            Tool::Restic => lines(&self.restic()),
            Tool::Rclone => self.rclone(),
            Tool::Pgbackrest => self.pgbackrest(),
        }
    }

    /// The eight variables of wal-g, in their fixed order. `WALG_S3_FORCE_PATH_STYLE` is one that wal-g itself ignores
    /// and people look for; `AWS_S3_FORCE_PATH_STYLE` is the one that works.
    pub fn walg(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", DUMMY_CREDENTIAL.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", DUMMY_CREDENTIAL.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT", self.endpoint.clone()),
            ("WALG_S3_PREFIX", format!("s3://{}/{}", self.namespace.org, self.key_prefix())),
            ("AWS_S3_FORCE_PATH_STYLE", "true".to_owned()),
            ("WALG_S3_FORCE_PATH_STYLE", "true".to_owned()),
        ]
    }

    /// The variables of aws cli v2, boto3 (barman-cloud) and the SDKs that read `AWS_ENDPOINT_URL`.
    pub fn aws(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", DUMMY_CREDENTIAL.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", DUMMY_CREDENTIAL.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
        ]
    }

    fn restic(&self) -> Vec<(&'static str, String)> {
        let repository = format!("s3:{}/{}/{}", self.endpoint, self.namespace.org, self.key_prefix());
        vec![
            ("AWS_ACCESS_KEY_ID", DUMMY_CREDENTIAL.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", DUMMY_CREDENTIAL.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("RESTIC_REPOSITORY", repository),
        ]
    }

    /// `provider = Minio` lists with ListObjectsV2 and checks the ETag of multipart uploads. The bucket is there
    /// already, so rclone need not try to make it.
    fn rclone(&self) -> String {
        let Namespace { org, .. } = &self.namespace;
        let mut text = format!("[{org}-host]\n");
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

    fn pgbackrest(&self) -> String {
        let path = format!("/{}", self.key_prefix());
        lines(&[
            ("repo1-type", "s3".to_owned()),
            ("repo1-s3-bucket", self.namespace.org.to_string()),
            ("repo1-s3-endpoint", self.endpoint.clone()),
            ("repo1-s3-key", DUMMY_CREDENTIAL.to_owned()),
            ("repo1-s3-key-secret", DUMMY_CREDENTIAL.to_owned()),
            ("repo1-s3-region", REGION.to_owned()),
            ("repo1-s3-uri-style", "path".to_owned()),
            ("repo1-path", path),
        ])
    }

    /// `web-01`, or `web-01/pg16-main`.
    fn key_prefix(&self) -> String {
        match &self.prefix {
            Some(prefix) => format!("{}/{prefix}", self.namespace.host),
            None => self.namespace.host.to_string(),
        }
    }
}

fn lines(settings: &[(&str, String)]) -> String {
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
        }
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
