//! A full disk: new bodies are refused with 507, and everything else goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use kheeper_e2e::{World, command, digest, files, unix, wait};

/// A filesystem of a fixed size, unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mebibytes: u32) -> Self {
        std::fs::create_dir_all(at).expect("our own directory");
        mount(&["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"], at);
        Self(at.to_owned())
    }

    fn grow(&self, mebibytes: u32) {
        mount(&["-o", &format!("remount,size={mebibytes}m")], &self.0);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(args: &[&str], at: &Path) {
    let mut mount = Command::new("mount");
    mount.args(args).arg(at);
    command::run(mount, wait::secs(10)).ok();
}

#[test]
fn a_full_disk_is_507_with_the_old_data_intact_and_recovers_without_a_restart() {
    if !unix::is_root() {
        eprintln!("not root: no small filesystem to fill");
        return;
    }
    let dir = World::directory();
    let data = dir.path().join("small");
    let disk = SmallDisk::mount(&data, 64);
    let world = World::start_in(dir, &data.join("data"), &[]);
    // Declared after the world, so that it is unmounted before the world's directory is removed.
    let disk = disk;
    let host = world.host("web-01");
    let proxy = world.host_proxy(&host);
    let (direct, proxied) = (world.direct(&host.cli), proxy.door());
    let bytes = |n: u64| files::random_bytes(n, 4 << 20);
    let mut stored = 0;
    let refused = loop {
        let answer = direct.put(&host.path(&format!("f{stored}")), &bytes(stored));
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 16, "64 MiB hold no 16 times 4 MiB");
    };
    refused.expect_error(507, "XKheeperStorageFull");
    assert!(stored >= 10, "only {stored} times 4 MiB in 64 MiB");
    proxied.put(&host.path("through-the-proxy"), &bytes(99)).expect_error(507, "XKheeperStorageFull");
    direct.put(&host.path("f0"), &bytes(77)).expect_error(507, "XKheeperStorageFull");
    // The client that waits for 100 is told before it has sent anything.
    let asked = direct.put_request(&host.path("asked"), &bytes(98)).header("Expect", "100-continue");
    let answer = asked.send(direct.address).expect_error(507, "XKheeperStorageFull");
    assert!(!answer.continued);

    for n in 0..stored {
        let read = direct.get(&host.path(&format!("f{n}"))).expect(200);
        assert_eq!(digest::md5_hex(&read.body), digest::md5_hex(&bytes(n)), "f{n}");
    }
    assert_eq!(direct.keys("myorg", "web-01/", 5).len() as u64, stored);
    direct.delete(&host.path("f1")).expect(204);
    direct.get(&host.path("f1")).expect_error(404, "NoSuchKey");
    direct.get(&host.path("through-the-proxy")).expect_error(404, "NoSuchKey");

    disk.grow(256);
    proxied.put(&host.path("f1"), &bytes(1)).expect(200);
    assert!(proxied.get(&host.path("f1")).expect(200).body == bytes(1));
    let fsck = world.server.operator(&["fsck", "--read-data"]);
    assert!(fsck.status.success(), "{fsck}");
}
