//! A disk in memory that forgets, at a power loss, what was not synced: bytes, names, removals, or some of each.
//!
//! It is stricter than any file system: syncing a file does not make its name durable, and after a sync that failed the
//! bytes it was for are never durable, whatever is synced later.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use kheeper_model::{Clock as _, ManualClock};
use kheeper_store::disk::{Disk, DiskEntry, DiskFile};
use rand::Rng as _;
use rand::rngs::StdRng;

/// What a power loss leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Everything: only the process died.
    Nothing,
    /// Nothing.
    Everything,
    /// Each name and each page by chance; some pages torn or zero.
    ByChance,
}

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process stops: this step may be half done, and no later one happens.
    Stop,
    /// The step fails, and the next ones do not.
    Fail(Errno),
    /// The step waits until [`SimDisk::release`], and then happens.
    Hold,
}

/// The error of a step that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errno {
    Io,
    NoSpace,
}

/// A kind of disk step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Create,
    Write,
    Sync,
    SyncDirectory,
    Remove,
    CreateDirectory,
    RemoveDirectory,
    Read,
    List,
}

type Inode = u64;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    File(Inode),
    Directory,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// Bytes from the start that are durable.
    durable: usize,
    /// Whether its sync failed: nothing after `durable` will ever be durable.
    sync_failed: bool,
    modified: SystemTime_,
}

/// A time that has a default.
#[derive(Debug, Clone, Copy)]
struct SystemTime_(SystemTime);

impl Default for SystemTime_ {
    fn default() -> Self {
        Self(SystemTime::UNIX_EPOCH)
    }
}

#[derive(Default)]
struct State {
    contents: BTreeMap<Inode, Content>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    /// Names whose directory's sync failed: not durable until they are made anew.
    doomed: BTreeSet<PathBuf>,
    next_inode: Inode,
    /// Steps of operations since the disk was made; those of checks between them do not count.
    steps: u64,
    operating: bool,
    /// Steps since the operation under way began, and what happens at which of them.
    operation_steps: u64,
    fault: Option<(u64, Fault)>,
    stopped: bool,
    /// A kind of sync that says it was done, and is not: for the test of these tests.
    lie: Option<Step>,
    life: u64,
    faulted: Option<Step>,
    /// Whether a step is waiting now.
    holding: bool,
    /// Files that must survive any crash at any step.
    required: BTreeSet<PathBuf>,
    /// Files made since the operation began.
    created: Vec<PathBuf>,
    broken: Vec<String>,
    kinds: Vec<Step>,
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Tells of a step that begins to wait, or may go on.
    held: Arc<Condvar>,
    clock: Arc<ManualClock>,
    /// Which process this handle is of: those of earlier ones reach nothing.
    life: u64,
}

struct SimFile {
    disk: SimDisk,
    inode: Inode,
}

/// Paths below `blobs`, so that the same disk serves a data directory that moved.
fn inside(path: &Path) -> PathBuf {
    let mut parts = path.components().rev().take_while(|part| part.as_os_str() != "blobs").collect::<Vec<_>>();
    parts.reverse();
    parts.iter().collect()
}

impl SimDisk {
    pub(crate) fn new(clock: Arc<ManualClock>) -> Self {
        Self { state: Arc::default(), held: Arc::default(), clock, life: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation begins; `fault` happens at that step of it.
    pub(crate) fn begin(&self, fault: Option<(u64, Fault)>) {
        let mut state = self.lock();
        state.operation_steps = 0;
        state.operating = true;
        state.fault = fault;
        state.faulted = None;
        state.created.clear();
        state.kinds.clear();
    }

    /// The operation is over: the step it was hurt at, if it was; and the steps it took.
    pub(crate) fn end(&self) -> (Option<Step>, Vec<Step>) {
        let mut state = self.lock();
        state.fault = None;
        state.operating = false;
        self.held.notify_all();
        (state.faulted, state.kinds.clone())
    }

    /// Files that the operation made and that are still there.
    pub(crate) fn created(&self) -> Vec<PathBuf> {
        let state = self.lock();
        state.created.iter().filter(|path| state.names.contains_key(*path)).cloned().collect()
    }

    /// Every file there is.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        let state = self.lock();
        let files = state.names.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    /// Bytes ever written to files, those that are gone included.
    pub(crate) fn written_bytes(&self) -> usize {
        self.lock().contents.values().map(|content| content.bytes.len()).sum()
    }

    /// Waits, as a thread that may, until a step is held. Returns the step; none if the operation ended without.
    pub(crate) fn wait_until_held(&self) -> Option<Step> {
        let waiting = |state: &mut State| state.operating && !state.holding;
        let state = self.held.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        state.holding.then_some(state.faulted).flatten()
    }

    /// Lets a step that is held go on.
    pub(crate) fn release(&self) {
        self.lock().holding = false;
        self.held.notify_all();
    }

    /// From now on these files must be durable at every step.
    pub(crate) fn require(&self, files: BTreeSet<PathBuf>) {
        self.lock().required = files;
    }

    pub(crate) fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// From now on syncs of this kind do nothing, and say that they did.
    pub(crate) fn lie_about(&self, step: Step) {
        self.lock().lie = Some(step);
    }

    fn is_gone(&self) -> bool {
        let state = self.lock();
        state.stopped || state.life != self.life
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// What was found to be wrong, since the last call.
    pub(crate) fn take_broken(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().broken)
    }

    /// The power fails and comes back.
    pub(crate) fn lose(&mut self, loss: Loss, chance: &mut StdRng) {
        self.life += 1;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.life = self.life;
        state.stopped = false;
        state.fault = None;
        let State { names, durable_names, contents, doomed, .. } = &mut *state;
        let kept = |chance: &mut StdRng| match loss {
            Loss::Nothing => true,
            Loss::Everything => false,
            Loss::ByChance => chance.random_bool(0.5),
        };
        let mut after = durable_names.clone();
        let both: BTreeSet<PathBuf> = names.keys().chain(durable_names.keys()).cloned().collect();
        for path in both {
            if names.get(&path) != durable_names.get(&path) && kept(chance) {
                match names.get(&path) {
                    Some(node) => drop(after.insert(path, node.clone())),
                    None => drop(after.remove(&path)),
                }
            }
        }
        // A name whose directory did not survive is not found.
        let found: BTreeMap<PathBuf, Node> = after
            .iter()
            .filter(|(path, _)| path.ancestors().skip(1).all(|above| is_root(above) || after.contains_key(above)))
            .map(|(path, node)| (path.clone(), node.clone()))
            .collect();
        for content in contents.values_mut().filter(|content| content.durable < content.bytes.len()) {
            match loss {
                Loss::Nothing => {}
                Loss::Everything => content.bytes.truncate(content.durable),
                Loss::ByChance => {
                    let length = chance.random_range(content.durable..=content.bytes.len());
                    content.bytes.truncate(length);
                    let durable = content.durable;
                    content.bytes[durable..]
                        .chunks_mut(4096)
                        .filter(|_| chance.random_bool(0.5))
                        .for_each(|p| p.fill(0));
                }
            }
            content.durable = content.bytes.len();
        }
        contents.values_mut().for_each(|content| content.sync_failed = false);
        doomed.clear();
        *names = found.clone();
        *durable_names = found;
    }

    /// Counts a step, and says whether it happens.
    fn step(&self, kind: Step) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if state.stopped || state.life != self.life {
            return Err(io::Error::other("the process has stopped"));
        }
        state.steps += u64::from(state.operating);
        state.operation_steps += 1;
        state.kinds.push(kind);
        if !matches!(kind, Step::Read | Step::List | Step::Create | Step::CreateDirectory) {
            state.check_required(kind);
        }
        match state.fault {
            Some((at, fault)) if at == state.operation_steps => {
                state.faulted = Some(kind);
                match fault {
                    Fault::Stop => {
                        state.stopped = true;
                        Err(io::Error::other("the process has stopped"))
                    }
                    Fault::Fail(Errno::Io) => Err(io::Error::from_raw_os_error(5)),
                    Fault::Fail(Errno::NoSpace) => Err(io::Error::from_raw_os_error(28)),
                    Fault::Hold => {
                        state.holding = true;
                        self.held.notify_all();
                        let waiting = |state: &mut State| state.holding;
                        Ok(self.held.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner))
                    }
                }
            }
            _ => Ok(state),
        }
    }
}

impl State {
    /// Whatever the power loss at this step takes, no required file is lost: all of its bytes and names are durable.
    fn check_required(&mut self, kind: Step) {
        let lost: Vec<PathBuf> = self.required.iter().filter(|path| !self.is_durable(path)).cloned().collect();
        for path in lost {
            self.broken.push(format!("a power loss at a {kind:?} could lose {}", path.display()));
        }
    }

    fn is_durable(&self, path: &Path) -> bool {
        let Some(Node::File(inode)) = self.durable_names.get(path) else { return false };
        let content = &self.contents[inode];
        content.durable == content.bytes.len()
            && path.ancestors().skip(1).all(|above| is_root(above) || self.durable_names.contains_key(above))
    }

    fn children<'s>(names: &'s BTreeMap<PathBuf, Node>, of: &'s Path) -> impl Iterator<Item = &'s PathBuf> {
        // A path sorts right before what lies below it.
        let below = names.range::<Path, _>((Bound::Included(of), Bound::Unbounded)).map(|(path, _)| path);
        below.take_while(move |path| path.starts_with(of)).filter(move |path| path.parent() == Some(of))
    }
}

fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let path = inside(path);
        let mut state = self.step(Step::Create)?;
        if state.names.contains_key(&path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|parent| is_root(parent) || state.names.contains_key(parent)) {
            return Err(not_found());
        }
        state.next_inode += 1;
        let inode = state.next_inode;
        state.contents.insert(inode, Content::default());
        state.doomed.remove(&path);
        state.created.push(path.clone());
        state.names.insert(path, Node::File(inode));
        drop(state);
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = self.step(Step::Read)?;
        match state.names.get(&inside(path)) {
            Some(Node::File(inode)) => Ok(Box::new(SimFile { disk: self.clone(), inode: *inode })),
            _ => Err(not_found()),
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = inside(path);
        let mut state = self.step(Step::Remove)?;
        if state.required.contains(&path) {
            state.broken.push(format!("{} was removed, and an object needs it", path.display()));
        }
        match state.names.remove(&path) {
            Some(Node::File(_)) => Ok(()),
            _ => Err(not_found()),
        }
    }

    fn file_bytes(&self, path: &Path) -> io::Result<u64> {
        let state = self.step(Step::Read)?;
        match state.names.get(&inside(path)) {
            Some(Node::File(inode)) => Ok(state.contents[inode].bytes.len() as u64),
            _ => Err(not_found()),
        }
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        let path = inside(path);
        let mut state = self.step(Step::CreateDirectory)?;
        for above in path.ancestors().filter(|above| !is_root(above)) {
            if !state.names.contains_key(above) {
                state.names.insert(above.to_owned(), Node::Directory);
                state.doomed.remove(above);
            }
        }
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let path = inside(path);
        let mut state = self.step(Step::RemoveDirectory)?;
        if State::children(&state.names, &path).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.names.remove(&path).map(drop).ok_or_else(not_found)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let path = inside(path);
        let mut state = match self.step(Step::SyncDirectory) {
            Ok(state) => state,
            Err(error) if self.is_gone() => return Err(error),
            Err(error) => {
                let mut state = self.lock();
                let undurable: Vec<PathBuf> = State::children(&state.names, &path)
                    .filter(|child| !state.durable_names.contains_key(*child))
                    .cloned()
                    .collect();
                state.doomed.extend(undurable);
                return Err(error);
            }
        };
        if !is_root(&path) && !state.names.contains_key(&path) {
            return Err(not_found());
        }
        if state.lie == Some(Step::SyncDirectory) {
            return Ok(());
        }
        let State { names, durable_names, doomed, .. } = &mut *state;
        let gone: Vec<PathBuf> =
            State::children(durable_names, &path).filter(|child| !names.contains_key(*child)).cloned().collect();
        for child in gone {
            durable_names.remove(&child);
        }
        for child in State::children(names, &path).filter(|child| !doomed.contains(*child)) {
            durable_names.insert(child.clone(), names[child].clone());
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        let path = inside(path);
        let state = self.step(Step::List)?;
        if !is_root(&path) && !state.names.contains_key(&path) {
            return Err(not_found());
        }
        let entries = State::children(&state.names, &path).map(|child| {
            let content = match &state.names[child] {
                Node::File(inode) => state.contents.get(inode),
                Node::Directory => None,
            };
            let name = child.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let modified = content.map_or(SystemTime::UNIX_EPOCH, |content| content.modified.0);
            DiskEntry { name, bytes: content.map_or(0, |content| content.bytes.len() as u64), modified }
        });
        Ok(entries.collect())
    }
}

impl DiskFile for SimFile {
    fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        let now = SystemTime::UNIX_EPOCH
            + Duration::from_millis(u64::try_from(self.disk.clock.now().as_millis()).unwrap_or(0));
        if self.disk.is_gone() {
            return Err(io::Error::other("the process has stopped"));
        }
        let stepped = self.disk.step(Step::Write);
        let failed = stepped.as_ref().err().map(|error| io::Error::new(error.kind(), error.to_string()));
        let raw = stepped.as_ref().err().and_then(io::Error::raw_os_error);
        drop(stepped);
        let mut state = self.disk.lock();
        let Some(content) = state.contents.get_mut(&self.inode) else { return Err(not_found()) };
        // A write that stops or fails leaves its first half.
        let whole: usize = pieces.iter().map(Bytes::len).sum();
        let wanted = content.bytes.len() + if failed.is_some() { whole / 2 } else { whole };
        for piece in pieces {
            let room = wanted.saturating_sub(content.bytes.len()).min(piece.len());
            content.bytes.extend_from_slice(&piece[..room]);
        }
        content.modified = SystemTime_(now);
        match (raw, failed) {
            (Some(raw), _) => Err(io::Error::from_raw_os_error(raw)),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.disk.step(Step::Sync) {
            Ok(state) if state.lie == Some(Step::Sync) => Ok(()),
            Ok(mut state) => {
                let content = state.contents.get_mut(&self.inode).ok_or_else(not_found)?;
                if content.sync_failed {
                    let what = "a sync that failed was tried again on the same file".to_owned();
                    state.broken.push(what);
                    return Ok(());
                }
                content.durable = content.bytes.len();
                Ok(())
            }
            Err(error) => {
                if self.disk.is_gone() {
                    return Err(error);
                }
                if let Some(content) = self.disk.lock().contents.get_mut(&self.inode) {
                    content.sync_failed = true;
                }
                Err(error)
            }
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        let state = self.disk.step(Step::Read)?;
        state.contents.get(&self.inode).map(|content| content.bytes.len() as u64).ok_or_else(not_found)
    }

    fn read_at(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
        let state = self.disk.step(Step::Read)?;
        let content = state.contents.get(&self.inode).ok_or_else(not_found)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.bytes.len());
        let read = (content.bytes.len() - from).min(buffer.capacity() - buffer.len());
        buffer.extend_from_slice(&content.bytes[from..from + read]);
        Ok(read)
    }
}
