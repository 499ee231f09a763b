//! Where the programs are.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The two programs under test.
const PROGRAMS: [&str; 2] = ["kheeper", "kheeper-server"];

/// The directory that holds `kheeper` and `kheeper-server`: `$KHEEPER_BIN_DIR`, else the one the tests were built into,
/// where they are built first, since programs of yesterday would be tested as if they were today's.
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        if let Some(dir) = std::env::var_os("KHEEPER_BIN_DIR") {
            return PathBuf::from(dir);
        }
        // target/<profile>/deps/<test>-<hash>
        let test = std::env::current_exe().expect("Linux knows the running program");
        let dir = test.ancestors().nth(2).expect("tests are built into target/<profile>/deps").to_owned();
        build(&dir);
        dir
    })
}

fn build(dir: &Path) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "-p", "kheeper", "-p", "kheeper-server"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if dir.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo is there").success(), "the programs do not build");
}

/// Puts the programs, and wal-g where there is one, into `dir`, where any account of the machine can run them: PostgreSQL
/// runs `kheeper walg` as postgres, and a checkout may lie below somebody's private home.
pub fn install(dir: &Path) {
    std::fs::create_dir_all(dir).expect("the temporary directory is writable");
    for name in PROGRAMS {
        place(&directory().join(name), &dir.join(name));
    }
    if let Some(walg) = walg() {
        place(&walg, &dir.join("wal-g"));
    }
}

fn place(from: &Path, to: &Path) {
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).unwrap_or_else(|error| panic!("cannot copy {}: {error}", from.display()));
    }
}

/// The real wal-g: `$WALG`, else the one on PATH.
pub fn walg() -> Option<PathBuf> {
    match std::env::var_os("WALG") {
        Some(path) if !path.is_empty() => Some(PathBuf::from(path)),
        _ => on_path("wal-g"),
    }
}

/// Says on standard output, past the capture of the test runner, that a case did not run for want of wal-g: `./test` counts
/// these lines.
pub fn note_absent_walg(case: &str) {
    let _ = std::io::stdout().write_all(format!("\nWALG-NOT-RUN {case}\n").as_bytes());
}

/// Whether wal-g is here; says so where it is not, see [`note_absent_walg`].
pub fn walg_is_here(case: &str) -> bool {
    let here = walg().is_some();
    if !here {
        note_absent_walg(case);
    }
    here
}

/// The program called `name` on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
