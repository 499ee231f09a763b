//! Where identities live on a machine: `<config>/<context>/identity.json` and `ed25519_private.pem` beside it.
//!
//! Enrolling is two steps with the network between them. [`Context::pending_key`] makes a key and syncs it to disk
//! before anyone hears of it; [`Context::complete`] puts it into its place, then the identity, and forgets the pending one
//! last. A crash or a lost answer anywhere in between leaves the pending key, and the same command finds it again, repeats
//! the same call with it and does the rest once more.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::{ContextError, Identity, ParseError, PrivateKey};

/// The identity's file name within a context.
pub const IDENTITY_FILE: &str = "identity.json";
/// The private key's file name within a context.
pub const PRIVATE_KEY_FILE: &str = "ed25519_private.pem";
/// The file name of a key that shall take the private key's place.
const ROTATED_KEY_FILE: &str = "rotated.pem";
/// The file that holds the name of the context to use when none is named.
pub const CURRENT_CONTEXT_FILE: &str = "current-context";

const CONTEXT_NAME_BYTES_MAX: usize = 63;
const FILE_BYTES_MAX: u64 = 64 * 1024;
const SYSTEM_DIRS: [&str; 2] = ["/etc/kheeper", "/var/lib/kheeper"];

/// A context's name: 1 to 63 of letters, digits, `-`, `_` and `.`, and a letter or digit first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextName(String);

impl ContextName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ContextName {
    /// `default`, which is what services use.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for ContextName {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Self, ParseError> {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let all_good = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !starts_well || !all_good || name.len() > CONTEXT_NAME_BYTES_MAX {
            return Err(ParseError::new(format!(
                "{name:?} is not a context name: expected 1 to {CONTEXT_NAME_BYTES_MAX} of letters, digits, '-', '_' and '.'"
            )));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What decides where contexts are.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `KHEEPER_CONFIG`.
    pub kheeper_config: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// Whether the process runs as root.
    pub is_root: bool,
}

impl Environment {
    /// The process's own.
    pub fn of_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            kheeper_config: path("KHEEPER_CONFIG"),
            xdg_config_home: path("XDG_CONFIG_HOME"),
            home: path("HOME"),
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    /// The directories to look in, the best one first. `KHEEPER_CONFIG` is the only one where it is set. Others than
    /// root look in the system's directories last: any local user may ask who the host is, and only root may be it.
    fn candidates(&self) -> Result<Vec<PathBuf>, ContextError> {
        if let Some(dir) = &self.kheeper_config {
            return Ok(vec![dir.clone()]);
        }
        let system = SYSTEM_DIRS.map(PathBuf::from);
        if self.is_root {
            return Ok(system.into());
        }
        let own = self.own_dir();
        let found: Vec<PathBuf> = own.into_iter().chain(system).collect();
        Ok(found)
    }

    fn own_dir(&self) -> Option<PathBuf> {
        let config = self.xdg_config_home.clone().or_else(|| self.home.as_ref().map(|home| home.join(".config")))?;
        Some(config.join("kheeper"))
    }
}

/// A directory of contexts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigDir {
    path: PathBuf,
}

impl ConfigDir {
    /// The directory at `path`, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where a new identity goes: `KHEEPER_CONFIG`; for root the first of `/etc/kheeper` and `/var/lib/kheeper` that
    /// holds an identity, else the former; for others `$XDG_CONFIG_HOME/kheeper`.
    pub fn for_writing(environment: &Environment) -> Result<Self, ContextError> {
        if let Some(dir) = &environment.kheeper_config {
            return Ok(Self::at(dir));
        }
        if !environment.is_root {
            return environment.own_dir().map(Self::at).ok_or(ContextError::NoConfigDir);
        }
        let mut dirs = SYSTEM_DIRS.iter().map(Self::at);
        let held = dirs.find(|dir| dir.contexts().is_ok_and(|contexts| !contexts.is_empty()));
        Ok(held.unwrap_or_else(|| Self::at(SYSTEM_DIRS[0])))
    }

    /// The directories in which identities are looked for, the best one first.
    pub fn for_reading(environment: &Environment) -> Result<Vec<Self>, ContextError> {
        Ok(environment.candidates()?.into_iter().map(Self::at).collect())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A context in it, which need not exist yet.
    pub fn context(&self, name: ContextName) -> Context {
        Context { dir: self.path.join(name.as_str()), name }
    }

    /// The contexts that hold an identity, by name. A directory that does not exist has none.
    pub fn contexts(&self) -> Result<Vec<Context>, ContextError> {
        let read_error = |source| ContextError::Read { path: self.path.clone(), source };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(read_error(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(read_error)?;
            let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
            found.extend(name.map(|name| self.context(name)).filter(Context::holds_identity));
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The context that `contexts set` chose, if one was chosen.
    pub fn current(&self) -> Result<Option<ContextName>, ContextError> {
        let path = self.path.join(CURRENT_CONTEXT_FILE);
        match read_limited(&path) {
            Ok((bytes, _)) => {
                let text = String::from_utf8_lossy(&bytes);
                let name = text.trim().parse();
                name.map(Some).map_err(|error: ParseError| ContextError::Malformed { path, why: error.to_string() })
            }
            // A home that a sandboxed service may not look into has chosen nothing.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
            Err(source) => Err(ContextError::Read { path, source }),
        }
    }

    /// Chooses the context to use when none is named.
    pub fn set_current(&self, name: &ContextName) -> Result<(), ContextError> {
        if !self.context(name.clone()).holds_identity() {
            return Err(ContextError::NoSuchContext { name: name.clone(), dir: self.path.clone() });
        }
        write_atomically(&self.path, CURRENT_CONTEXT_FILE, format!("{name}\n").as_bytes(), 0o644)
    }
}

/// A named identity on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    name: ContextName,
    dir: PathBuf,
}

impl Context {
    /// The context to use: `named`, else the one that was set, else `default`; in the first directory that holds it.
    /// Where none does, the best directory's, so that the error that follows names a place to put it.
    pub fn find(environment: &Environment, named: Option<&ContextName>) -> Result<Self, ContextError> {
        let mut first = None;
        for dir in ConfigDir::for_reading(environment)? {
            let name = match named {
                Some(name) => name.clone(),
                None => dir.current()?.unwrap_or_default(),
            };
            let context = dir.context(name);
            if context.holds_identity() {
                return Ok(context);
            }
            first.get_or_insert(context);
        }
        first.ok_or(ContextError::NoConfigDir)
    }

    /// Its name.
    pub fn name(&self) -> &ContextName {
        &self.name
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether there is an `identity.json`, readable or not.
    pub fn holds_identity(&self) -> bool {
        self.dir.join(IDENTITY_FILE).exists()
    }

    /// Reads the identity. Needs no privilege and no network.
    pub fn identity(&self) -> Result<Identity, ContextError> {
        let path = self.dir.join(IDENTITY_FILE);
        match read_limited(&path) {
            Ok((json, _)) => Identity::from_json(&json, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ContextError::NoIdentity { dir: self.dir.clone() })
            }
            Err(source) => Err(ContextError::Read { path, source }),
        }
    }

    /// Reads the identity and its private key. Refuses a key that group or others can read, and one that is not the
    /// identity's.
    pub fn identity_and_key(&self) -> Result<(Identity, PrivateKey), ContextError> {
        let identity = self.identity()?;
        let key = read_key(&self.dir.join(PRIVATE_KEY_FILE))?;
        if key.public_key().key_id() == identity.key_id {
            return Ok((identity, key));
        }
        // A rotation that was cut off between its two steps: the identity names the key that still has its own name.
        let rotated = self.dir.join(ROTATED_KEY_FILE);
        match rotated.exists().then(|| read_key(&rotated)).transpose()? {
            Some(key) if key.public_key().key_id() == identity.key_id => Ok((identity, key)),
            _ => Err(ContextError::KeyMismatch { dir: self.dir.clone() }),
        }
    }

    /// The key of a rotation: a new one, on disk and synced, or the one that an earlier attempt left.
    pub fn rotation_key(&self) -> Result<PendingKey, ContextError> {
        let path = self.dir.join(ROTATED_KEY_FILE);
        if !path.exists() {
            let malformed =
                |error: crate::KeyError| ContextError::Malformed { path: path.clone(), why: error.to_string() };
            let key = PrivateKey::generate().map_err(malformed)?;
            let pem = key.to_pkcs8_pem().map_err(malformed)?;
            write_atomically(&self.dir, ROTATED_KEY_FILE, pem.as_bytes(), 0o600)?;
        }
        Ok(PendingKey { key: Arc::new(read_key(&path)?), path })
    }

    /// Makes the key of a rotation the context's. The identity goes first: from then on [`Self::identity_and_key`] finds the
    /// new key, under whichever of its two names; before, the old one. Repeating it finishes what a crash cut off.
    pub fn rotate(&self, pending: &PendingKey, identity: &Identity) -> Result<(), ContextError> {
        assert_eq!(pending.key.public_key().key_id(), identity.key_id, "an identity names its own key");
        write_atomically(&self.dir, IDENTITY_FILE, identity.to_json().as_bytes(), 0o644)?;
        let key_path = self.dir.join(PRIVATE_KEY_FILE);
        fs::rename(&pending.path, &key_path).map_err(|source| ContextError::Write { path: key_path, source })?;
        sync_dir(&self.dir)
    }

    /// An error if the context holds an identity, unless it may be replaced.
    pub fn check_free(&self, replace: Replace) -> Result<(), ContextError> {
        if replace == Replace::Yes || !self.holds_identity() {
            return Ok(());
        }
        let holds = self.identity().map_or_else(|error| error.to_string(), |identity| identity.subject.to_string());
        Err(ContextError::Exists { dir: self.dir.clone(), holds })
    }

    /// The key to enrol with: a new one, on disk and synced before this returns, or the one that an earlier attempt
    /// with the same `tag` left. `tag` names the attempt (a digest of the join token, a user id).
    pub fn pending_key(&self, tag: &str) -> Result<PendingKey, ContextError> {
        make_context_dir(&self.dir)?;
        let path = self.dir.join(pending_file(tag));
        if path.exists() {
            // A crash may have come between its name and the sync of the directory.
            sync_dir(&self.dir)?;
            return Ok(PendingKey { key: Arc::new(read_key(&path)?), path });
        }
        let malformed = |error: crate::KeyError| ContextError::Malformed { path: path.clone(), why: error.to_string() };
        let key = PrivateKey::generate().map_err(malformed)?;
        let pem = key.to_pkcs8_pem().map_err(malformed)?;
        write_atomically(&self.dir, &pending_file(tag), pem.as_bytes(), 0o600)?;
        Ok(PendingKey { key: Arc::new(key), path })
    }

    /// Makes `identity` the context's, with the pending key. The key goes first, then the identity that names it, and the
    /// pending one is forgotten last: after a crash in between, the same attempt finds it and does all of this again.
    pub fn complete(&self, pending: &PendingKey, identity: &Identity) -> Result<(), ContextError> {
        assert_eq!(pending.key.public_key().key_id(), identity.key_id, "an identity names its own key");
        let malformed =
            |error: crate::KeyError| ContextError::Malformed { path: pending.path.clone(), why: error.to_string() };
        let pem = pending.key.to_pkcs8_pem().map_err(malformed)?;
        write_atomically(&self.dir, PRIVATE_KEY_FILE, pem.as_bytes(), 0o600)?;
        write_atomically(&self.dir, IDENTITY_FILE, identity.to_json().as_bytes(), 0o644)?;
        remove(&pending.path)
    }

    /// Forgets a pending key that the server will never accept.
    pub fn discard(&self, pending: PendingKey) -> Result<(), ContextError> {
        remove(&pending.path)
    }

    /// Forgets what [`Self::complete`] would have forgotten of this attempt, had it not been cut off just before.
    pub fn forget_pending(&self, tag: &str) -> Result<(), ContextError> {
        remove(&self.dir.join(pending_file(tag)))
    }
}

/// Whether an identity that is in the way may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It may.
    Yes,
    /// It may not.
    No,
}

/// A key on disk that is not in use yet.
#[derive(Debug)]
pub struct PendingKey {
    key: Arc<PrivateKey>,
    path: PathBuf,
}

impl PendingKey {
    /// The key.
    pub fn key(&self) -> &Arc<PrivateKey> {
        &self.key
    }
}

fn pending_file(tag: &str) -> String {
    format!("pending-{tag}.pem")
}

/// Removes a file; one that is not there is gone already.
fn remove(path: &Path) -> Result<(), ContextError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ContextError::Write { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn read_key(path: &Path) -> Result<PrivateKey, ContextError> {
    let (pem, mode) = read_limited(path).map_err(|source| ContextError::Read { path: path.to_owned(), source })?;
    if mode & 0o077 != 0 {
        return Err(ContextError::KeyExposed { path: path.to_owned(), mode });
    }
    PrivateKey::from_pkcs8_pem(&pem)
        .map_err(|error| ContextError::Malformed { path: path.to_owned(), why: error.to_string() })
}

/// A file's bytes and its permission bits, both of the same open file.
fn read_limited(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok((bytes, mode))
}

/// Makes the context's directory, 0755 whatever the umask, and syncs what it made.
fn make_context_dir(dir: &Path) -> Result<(), ContextError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    for dir in missing.into_iter().rev() {
        let fail = |source| ContextError::Write { path: dir.to_owned(), source };
        match DirBuilder::new().mode(0o755).create(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(fail(error)),
        }
        fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(fail)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
    }
    Ok(())
}

/// Writes a file beside its final name, syncs it, renames it into place and syncs the directory: after a crash there is
/// the old file or the new one, whole.
fn write_atomically(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<(), ContextError> {
    let path = dir.join(name);
    let beside = dir.join(format!(".{name}.new"));
    let write = || -> io::Result<()> {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().map_err(|source| ContextError::Write { path: path.clone(), source })?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), ContextError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| ContextError::Write { path: dir.to_owned(), source })
}

#[cfg(test)]
mod tests;
