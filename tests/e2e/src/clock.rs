//! Programs whose clock is off.

use std::path::Path;
use std::process::Command;

/// Makes `command` see a clock that is `offset` off, for instance `+7200` seconds. Needs Debian's package libfaketime; the
/// programs are linked dynamically, or it would not reach them.
pub fn shift(command: &mut Command, offset: &str) {
    let libraries = std::fs::read_dir("/usr/lib").expect("a Linux").flatten().map(|entry| entry.path());
    let found = libraries.map(|dir| dir.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
    let library = found.as_deref().and_then(Path::to_str).expect("./test installs libfaketime").to_owned();
    command.env("LD_PRELOAD", library).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}
