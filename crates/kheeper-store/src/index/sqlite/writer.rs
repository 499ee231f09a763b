//! The one thread that writes: it takes what has gathered, makes it in one transaction, syncs once, and answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kheeper_model::Clock;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::batch::{Batch, ChangeError};
use super::checkpoint::Checkpointer;
use super::failure::{AfterFailure, Refusal, batch_failed};
use super::queue::{Job, Queue};
use crate::error::{OpenError, StoreError};
use crate::failpoint;
use crate::index::{Change, Outcome};
use crate::options::NamespaceDefaults;

/// Changes that may wait for the writer before others wait to be queued.
const QUEUE_MAX: usize = 1024;
/// How long a change waits to be queued (design, section 6: index wait).
const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// How long a change waits for its commit (design, section 6: sync and commit).
const COMMIT_WAIT: Duration = Duration::from_secs(40);

/// Hands changes to the thread that writes.
pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    refusal: Refusal,
}

impl Writer {
    pub(super) fn start(
        mut connection: Connection,
        checkpoints: Connection,
        clock: Arc<dyn Clock>,
        defaults: NamespaceDefaults,
    ) -> Result<Self, OpenError> {
        let log_pages = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&log_pages);
        connection
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
                seen.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }))
            .map_err(super::schema::index_error)?;
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let refusal = Refusal::default();
        let checkpointer = Checkpointer::start(checkpoints, refusal.clone())?;
        let worker = Worker { connection, checkpointer, clock, defaults, log_pages, refusal: refusal.clone() };
        let thread = thread::Builder::new()
            .name("index-writer".to_owned())
            .spawn(move || worker.run(queue))
            .map_err(|error| OpenError::Index(format!("start the writer thread: {error}")))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)), refusal })
    }

    pub(super) async fn commit(&self, change: Change) -> Result<Outcome, StoreError> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closing = || StoreError::unavailable("the store is closing");
        let jobs = jobs.ok_or_else(closing)?;
        let (done, answer) = oneshot::channel();
        match jobs.send_timeout(Job { change, done }, QUEUE_WAIT).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(StoreError::Busy("the index's queue".into())),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(closing()),
        }
        drop(jobs);
        match timeout(COMMIT_WAIT, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(StoreError::unavailable("the writer stopped before it answered")),
            Err(_) => Err(StoreError::unavailable("the index has not committed in time")),
        }
    }

    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.reason().map(str::to_owned)
    }

    /// Commits what is queued, and ends.
    pub(super) async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

struct Worker {
    connection: Connection,
    checkpointer: Checkpointer,
    clock: Arc<dyn Clock>,
    defaults: NamespaceDefaults,
    log_pages: Arc<AtomicU64>,
    refusal: Refusal,
}

/// What SQLite says when the log cannot be synced.
fn sync_failed() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None)
}

type Answered = (oneshot::Sender<Result<Outcome, StoreError>>, Result<Outcome, StoreError>);

impl Worker {
    fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut queue = Queue::default();
        loop {
            if queue.is_empty() {
                match jobs.blocking_recv() {
                    Some(job) => queue.push(job),
                    None => return,
                }
            }
            while let Ok(job) = jobs.try_recv() {
                queue.push(job);
            }
            self.commit(queue.next_batch());
            self.checkpointer.log_has(self.log_pages.load(Ordering::Relaxed));
        }
    }

    /// Commits a batch, and only then answers.
    fn commit(&self, batch: Vec<Job>) {
        if let Some(why) = self.refusal.reason() {
            let refused = StoreError::unavailable(why);
            batch.into_iter().for_each(|job| drop(job.done.send(Err(refused.clone()))));
            return;
        }
        let mut answers: Vec<Answered> = Vec::with_capacity(batch.len());
        let mut unmade = batch.into_iter();
        let failed = self.make(&mut unmade, &mut answers).err();
        let failed = failed.map(|failure| self.after_failure(failure));
        for (done, answer) in answers {
            // After a failure no change of the batch was made, also those that had gone well. Refusals stand.
            let answer = match (&failed, answer) {
                (Some(failed), Ok(_)) => Err(failed.clone()),
                (_, answer) => answer,
            };
            let _ = done.send(answer);
        }
        let failed = failed.unwrap_or_else(|| StoreError::internal("a batch that was left unfinished"));
        unmade.for_each(|job| drop(job.done.send(Err(failed.clone()))));
    }

    /// Makes a batch's changes in one transaction. `answers` holds what each would be answered once it is committed.
    fn make(
        &self,
        jobs: &mut std::vec::IntoIter<Job>,
        answers: &mut Vec<Answered>,
    ) -> Result<(), (rusqlite::Error, bool)> {
        let before_commit = |error| (error, false);
        self.execute("BEGIN IMMEDIATE").map_err(before_commit)?;
        let mut batch = Batch::new(&self.connection, self.clock.now(), self.defaults);
        for Job { change, done } in jobs {
            let answer = match batch.apply(change) {
                Ok(outcome) => Ok(outcome),
                Err(ChangeError::Refused(refused)) => Err(refused),
                Err(ChangeError::Index(error)) => {
                    answers.push((done, Err(StoreError::unavailable(format!("the index: {error}")))));
                    return Err((error, false));
                }
            };
            answers.push((done, answer));
        }
        batch.finish().map_err(before_commit)?;
        failpoint::reach("index.commit").map_err(|_| (sync_failed(), true))?;
        self.execute("COMMIT").map_err(|error| (error, true))?;
        failpoint::reach("index.committed").map(drop).map_err(|_| (sync_failed(), true))
    }

    fn after_failure(&self, (error, in_commit): (rusqlite::Error, bool)) -> StoreError {
        tracing::error!(%error, in_commit, "failed to commit to the index");
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "failed to roll back");
        }
        match batch_failed(&error, in_commit) {
            AfterFailure::GoOn(answer) => answer,
            AfterFailure::Stop(answer) => {
                // Never tried again: after a failed sync nobody knows what the disk holds.
                self.refusal.refuse(format!("writes are refused until a restart: {error}"));
                answer
            }
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}
