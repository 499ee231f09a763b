//! File systems of a test's own: in memory, or in a file, which power can be cut from. Mounting takes root.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{command, wait};

/// A mounted file system, unmounted when it is dropped.
#[derive(Debug)]
pub struct FileSystem {
    image: Option<PathBuf>,
    at: PathBuf,
}

fn run(program: &str, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(args);
    command::run(command, wait::secs(60)).ok();
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our own paths are plain")
}

impl FileSystem {
    /// A file system in memory with the mount's options, such as `size=64m`.
    pub fn in_memory(at: &Path, options: &str) -> Self {
        std::fs::create_dir_all(at).expect("our own directory");
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", text(at)]);
        Self { image: None, at: at.to_owned() }
    }

    /// A file system of a kind (`ext4`, `xfs`) in the file `image`, of two sparse GiB.
    pub fn in_image(kind: &str, image: &Path, at: &Path) -> Self {
        std::fs::create_dir_all(at).expect("our own directory");
        let file = std::fs::File::create(image).expect("our own directory");
        file.set_len(2 << 30).expect("a sparse file");
        run(&format!("mkfs.{kind}"), &["-q", text(image)]);
        let filesystem = Self { image: Some(image.to_owned()), at: at.to_owned() };
        filesystem.mount();
        filesystem
    }

    /// With other mount options from now on.
    pub fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), text(&self.at)]);
    }

    /// Read-only from one moment to the next, also for those who have files open there: what ext4 does to itself when its
    /// disk fails. [`FileSystem::restore_power`] ends it.
    pub fn abort(&self) {
        self.remount("abort");
    }

    /// With `size` bytes from now on, if that much holds what is there.
    pub fn try_resize(&self, size: u64) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}"), text(&self.at)]);
        command::run(mount, wait::secs(60)).status.success()
    }

    fn mount(&self) {
        if let Some(image) = &self.image {
            run("mount", &["-o", "loop", text(image), text(&self.at)]);
        }
    }

    /// Nothing that was not synced reaches the file system any more.
    pub fn cut_power(&self) {
        run("xfs_io", &["-x", "-c", "shutdown", text(&self.at)]);
    }

    /// Mounted again after the power was cut: its own journal is replayed. Nobody may use it.
    pub fn restore_power(&self) {
        run("umount", &[text(&self.at)]);
        self.mount();
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
