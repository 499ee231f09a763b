//! barman-cloud, whose restore command is wrapped in `kheeper exec --recovery barman`.

use std::path::Path;

use super::{Archiver, Site, substitute};
use crate::command::Done;
use crate::postgres::Cluster;

/// What barman calls the cluster, below the host's prefix.
const SERVER: &str = "pg";

/// barman-cloud.
#[derive(Debug, Clone, Copy)]
pub struct Barman {
    /// What a shell runs, up to the last word of the program's name.
    pub programs: &'static str,
}

impl Barman {
    /// The distribution's.
    pub const DISTRIBUTION: Self = Self { programs: "/usr/bin/barman-cloud-" };

    fn call(self, site: &Site, exec_options: &str, command: &str, options: &str) -> String {
        format!(
            "{} {exec_options} -- {}{command} --endpoint-url {} {options} s3://{} {SERVER}",
            site.kheeper("exec"),
            self.programs,
            site.endpoint,
            site.namespace
        )
    }
}

impl Archiver for Barman {
    fn name(&self) -> &'static str {
        "barman-cloud"
    }

    fn archive_command(&self, site: &Site) -> String {
        format!("{} %p", self.call(site, "", "wal-archive", ""))
    }

    fn restore_command(&self, site: &Site) -> String {
        format!("{} %f %p", self.call(site, "--recovery barman", "wal-restore", ""))
    }

    fn base_backup(&self, site: &Site, cluster: &Cluster) {
        let options = format!("--immediate-checkpoint -U postgres -h {}", cluster.socket_dir().display());
        site.run(&self.call(site, "", "backup", &options), &[]).ok();
    }

    fn backups(&self, site: &Site) -> Vec<String> {
        let done = site.run(&self.call(site, "", "backup-list", "--format json"), &[]).ok();
        let json: serde_json::Value = serde_json::from_str(&done.stdout).expect("barman prints JSON when asked to");
        let backups = json["backups_list"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<String> =
            backups.iter().filter_map(|backup| backup["backup_id"].as_str()).map(str::to_owned).collect();
        ids.sort();
        ids
    }

    fn retain(&self, site: &Site, count: usize) {
        site.run(&self.call(site, "", "backup-delete", &format!("--retention-policy 'REDUNDANCY {count}'")), &[]).ok();
    }

    fn restore_latest(&self, site: &Site, data: &Path) {
        let latest = self.backups(site).pop().expect("there is a backup");
        site.run(&format!("{} {latest} {}", self.call(site, "", "restore", ""), data.display()), &[]).ok();
    }

    fn push(&self, site: &Site, file: &Path) -> Done {
        site.run(&substitute(&self.archive_command(site), file, ""), &[])
    }

    fn fetch(&self, site: &Site, segment: &str, to: &Path) -> Done {
        site.run(&substitute(&self.restore_command(site), to, segment), &[])
    }

    fn plain_object(&self, site: &Site, segment: &str) -> Option<String> {
        Some(format!("/{}/{SERVER}/wals/{}/{segment}", site.namespace, &segment[..16]))
    }

    fn absent_code(&self) -> i32 {
        1
    }
}
