//! wal-g, called as `kheeper walg`.

use std::path::Path;

use super::{Archiver, Site, substitute};
use crate::command::Done;
use crate::postgres::Cluster;

/// The real wal-g.
#[derive(Debug, Clone, Copy)]
pub struct WalG;

impl Archiver for WalG {
    fn name(&self) -> &'static str {
        "wal-g"
    }

    fn archive_command(&self, site: &Site) -> String {
        walg(site, "wal-push %p")
    }

    fn restore_command(&self, site: &Site) -> String {
        // One segment at a time: with its ten prefetched ones wal-g would be done before a test can interfere.
        format!("WALG_DOWNLOAD_CONCURRENCY=1 {}", walg(site, "wal-fetch %f %p"))
    }

    fn base_backup(&self, site: &Site, cluster: &Cluster) {
        let socket = cluster.socket_dir().display().to_string();
        let push = walg(site, &format!("backup-push {}", cluster.data.display()));
        site.run(&push, &[("PGHOST", &socket), ("PGUSER", "postgres")]).ok();
    }

    fn backups(&self, site: &Site) -> Vec<String> {
        // The plain command, for which the environment is sourced: it has to work too.
        let whose = site.kheeper("hosts me --env");
        let done = site.run(&format!("set -a; eval \"$({whose})\"; wal-g backup-list --json"), &[]).ok();
        let json: serde_json::Value = serde_json::from_str(done.stdout.trim()).unwrap_or_default();
        let backups = json.as_array().cloned().unwrap_or_default();
        backups.iter().map(|backup| backup["backup_name"].to_string()).collect()
    }

    fn retain(&self, site: &Site, count: usize) {
        site.run(&walg(site, &format!("delete retain FULL {count} --confirm")), &[]).ok();
    }

    fn restore_latest(&self, site: &Site, data: &Path) {
        site.run(&walg(site, &format!("backup-fetch {} LATEST", data.display())), &[]).ok();
    }

    fn push(&self, site: &Site, file: &Path) -> Done {
        site.run(&substitute(&self.archive_command(site), file, ""), &[])
    }

    fn fetch(&self, site: &Site, segment: &str, to: &Path) -> Done {
        site.run(&substitute(&self.restore_command(site), to, segment), &[])
    }

    fn plain_object(&self, _site: &Site, _segment: &str) -> Option<String> {
        None
    }

    fn absent_code(&self) -> i32 {
        74
    }
}

fn walg(site: &Site, args: &str) -> String {
    format!("{} {args}", site.kheeper("walg"))
}
