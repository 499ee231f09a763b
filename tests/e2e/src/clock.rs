//! Programs whose clock is off.

use std::path::Path;
use std::process::Command;

/// Debian's package libfaketime, to be preloaded; the programs are linked dynamically, or it would not reach them.
pub fn libfaketime() -> String {
    let libraries = std::fs::read_dir("/usr/lib").expect("a Linux").flatten().map(|entry| entry.path());
    let found = libraries.map(|dir| dir.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
    found.as_deref().and_then(Path::to_str).expect("./test installs libfaketime").to_owned()
}

/// Makes `command` see a clock that is `offset` off, for instance `+7200` seconds.
pub fn shift(command: &mut Command, offset: &str) {
    command.env("LD_PRELOAD", libfaketime()).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}
