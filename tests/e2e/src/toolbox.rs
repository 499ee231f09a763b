//! Where the real clients are: the distribution's on PATH, the others where `tests/clients/install` put them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::wait::secs;
use crate::{binaries, command, matrix};

/// A client that is here.
#[derive(Debug, Clone)]
pub struct Client {
    /// What the table calls it.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// What the program calls its version.
    pub version: String,
}

impl Client {
    /// The distribution's `program`: in `/usr/bin`, else on PATH. It says its version when called with `version_args`.
    pub fn distribution(program: &str, version_args: &[&str]) -> Option<Self> {
        let usual = Path::new("/usr/bin").join(program);
        let found = if usual.is_file() { Some(usual) } else { binaries::on_path(program) };
        Self::at(
            program,
            found.ok_or_else(|| format!("apt-get install {program}, or what the package is called")),
            version_args,
        )
    }

    /// The one that `tests/clients/install` installs as `name`, whose program is `program`.
    pub fn installed(name: &str, program: &str, version_args: &[&str]) -> Option<Self> {
        Self::at(name, installed(name).map(|dir| dir.join("bin").join(program)), version_args)
    }

    /// wal-g, which no registry has: `$WALG`, else the one on PATH. One that was built by hand may not know its version.
    pub fn walg() -> Option<Self> {
        let Some(program) = binaries::walg() else {
            matrix::absent("wal-g", "neither $WALG nor PATH has it");
            binaries::note_absent_walg("its row in the client matrix");
            return None;
        };
        let version = version(&program, &["--version"]).unwrap_or_else(|_| "built without a version".to_owned());
        Some(Self { name: "wal-g".to_owned(), program, version })
    }

    /// Notes in the matrix that it is absent, where it is.
    fn at(name: &str, program: Result<PathBuf, String>, version_args: &[&str]) -> Option<Self> {
        let asked = program.and_then(|program| version(&program, version_args).map(|version| (program, version)));
        match asked {
            Ok((program, version)) => Some(Self { name: name.to_owned(), program, version }),
            Err(why) => {
                matrix::absent(name, &why);
                None
            }
        }
    }

    /// The same under another name, for a second cycle.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }
}

/// The directory that `tests/clients/install` installs `name` into, or why there is none.
pub fn installed(name: &str) -> Result<PathBuf, String> {
    let clients = matrix::target().join("tools/clients");
    let dir = clients.join(name);
    if dir.join("complete").is_file() {
        return Ok(dir);
    }
    Err(std::fs::read_to_string(clients.join(format!("{name}.why")))
        .unwrap_or_else(|_| format!("not installed: tests/clients/install {name}")))
}

/// The first thing that looks like a version in what the program prints.
fn version(program: &Path, args: &[&str]) -> Result<String, String> {
    let mut asking = Command::new(program);
    asking.args(args);
    let said = command::run(asking, secs(60));
    let text = said.text();
    let word = text.split(|c: char| c.is_whitespace() || "/,()".contains(c)).find(|word| is_version(word));
    match word {
        Some(word) => Ok(word.trim_start_matches('v').to_owned()),
        None => Err(format!("{} does not say its version: {}", program.display(), text.lines().next().unwrap_or(""))),
    }
}

/// `1.2`, `v1.2.3-DEV`, or what MinIO counts by: `RELEASE.2025-03-13T…` and `DEVELOPMENT.…`.
fn is_version(word: &str) -> bool {
    let digits = word.trim_start_matches('v');
    let dotted = digits.starts_with(|c: char| c.is_ascii_digit()) && digits.contains('.');
    dotted || word.starts_with("RELEASE.") || word.starts_with("DEVELOPMENT.")
}

#[cfg(test)]
mod tests {
    use super::is_version;

    #[test]
    fn versions_are_told_from_words() {
        for word in ["1.46.3", "v0.5.18", "v1.60.1-DEV", "DEVELOPMENT.2025-03-13T08-02-18Z"] {
            assert!(is_version(word), "{word}");
        }
        for word in ["restic", "go", "linux", "version", "v", "x86_64"] {
            assert!(!is_version(word), "{word}");
        }
    }
}
