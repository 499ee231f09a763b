//! The command's side: talk to the running server, or open the directory oneself.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use kheeper_model::SystemClock;
use kheeper_store::{OpenError, Store, StoreOptions};

use super::perform::Performer;
use super::{Reply, Request, socket};

/// Whoever carries out an operator's requests.
pub(crate) enum Operator {
    /// A server that runs.
    Server(BufReader<UnixStream>),
    /// Nobody else: this process holds the directory's lock.
    Directory { runtime: tokio::runtime::Runtime, store: Store, performer: Arc<Performer> },
}

/// If this is root and the directory belongs to someone else, becomes them. Call it before any thread is started.
pub(crate) fn become_owner(data_dir: &Path) -> anyhow::Result<()> {
    let Ok(meta) = std::fs::metadata(data_dir) else { return Ok(()) };
    if !rustix::process::geteuid().is_root() || meta.uid() == 0 {
        return Ok(());
    }
    rustix::thread::set_thread_groups(&[]).context("failed to drop supplementary groups")?;
    rustix::thread::set_thread_gid(rustix::process::Gid::from_raw(meta.gid()))
        .with_context(|| format!("failed to become group {}", meta.gid()))?;
    rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(meta.uid()))
        .with_context(|| format!("failed to become user {}, who owns {}", meta.uid(), data_dir.display()))
}

impl Operator {
    /// Connects to the running server, or takes the directory when there is none.
    pub(crate) fn reach(data_dir: &Path) -> anyhow::Result<Self> {
        ensure!(
            data_dir.is_dir(),
            "{} is no directory; name the server's with --data DIR (kheeper-server serve makes it)",
            data_dir.display()
        );
        let path = data_dir.join(socket::FILE_NAME);
        match UnixStream::connect(&path) {
            Ok(stream) => return Ok(Self::Server(BufReader::new(stream))),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                bail!("only root and the owner of {} may do this", data_dir.display());
            }
            // No socket, or one that a killed server left behind.
            Err(_) => {}
        }
        become_owner(data_dir)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let store = match runtime.block_on(Store::open(StoreOptions::new(data_dir.to_owned()))) {
            Ok(store) => store,
            Err(OpenError::Locked(_)) => {
                bail!("a server holds {} but does not answer on {}", data_dir.display(), path.display())
            }
            Err(error) => return Err(error).with_context(|| format!("failed to open {}", data_dir.display())),
        };
        let performer = Arc::new(Performer::new(store.clone(), Arc::new(SystemClock), Vec::new()));
        Ok(Self::Directory { runtime, store, performer })
    }

    /// Carries out one request. [`Reply::Failed`] is an error here.
    pub(crate) fn ask(&mut self, request: Request) -> anyhow::Result<Reply> {
        let reply = match self {
            Self::Server(stream) => {
                let mut line = serde_json::to_vec(&request)?;
                line.push(b'\n');
                stream.get_mut().write_all(&line).context("failed to ask the server")?;
                let mut reply = String::new();
                stream.read_line(&mut reply).context("failed to read the server's answer")?;
                ensure!(!reply.is_empty(), "the server closed the connection; are you root or the directory's owner?");
                serde_json::from_str(&reply).context("the server's answer is of another version")?
            }
            Self::Directory { runtime, performer, .. } => runtime.block_on(performer.perform(request)),
        };
        match reply {
            Reply::Failed(why) => bail!(why),
            reply => Ok(reply),
        }
    }

    /// Lets go of the server or of the directory.
    pub(crate) fn close(self) {
        if let Self::Directory { runtime, store, performer } = self {
            drop(performer);
            runtime.block_on(store.close());
        }
    }
}
