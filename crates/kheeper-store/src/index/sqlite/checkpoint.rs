//! Checkpoints, on a connection and a thread of their own, so that no commit pays for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use super::failure::{AfterFailure, Refusal, batch_failed};
use super::schema::index_error;
use crate::error::OpenError;

/// Bytes of write-ahead log that begin a checkpoint, or another one after a reader kept one from finishing.
const CHECKPOINT_BYTES: u64 = 16 << 20;
/// How long the writer is held up, at most, for readers of old pages to end.
const READERS_WAIT: Duration = Duration::from_millis(200);

/// Asks for checkpoints.
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Pages of log that begin the next one.
    due_pages: Arc<AtomicU64>,
}

impl Checkpointer {
    pub(super) fn start(connection: Connection, refusal: Refusal) -> Result<Self, OpenError> {
        connection.busy_timeout(READERS_WAIT).map_err(index_error)?;
        let page_bytes: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(index_error)?;
        let step_pages = CHECKPOINT_BYTES / u64::from(page_bytes.max(1));
        let due_pages = Arc::new(AtomicU64::new(step_pages));
        let due = Arc::clone(&due_pages);
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    let left_pages = checkpoint(&connection, &refusal);
                    due.store(left_pages + step_pages, Ordering::Relaxed);
                }
                checkpoint(&connection, &refusal);
            })
            .map_err(|error| OpenError::Index(format!("start the checkpoint thread: {error}")))?;
        Ok(Self { wake: Some(wake), thread: Some(thread), due_pages })
    }

    /// Begins a checkpoint if the log's `pages` are enough for one and none is under way.
    pub(super) fn log_has(&self, pages: u64) {
        if pages < self.due_pages.load(Ordering::Relaxed) {
            return;
        }
        match self.wake.as_ref().map(|wake| wake.try_send(())) {
            Some(Err(TrySendError::Disconnected(()))) => tracing::error!("the checkpoint thread has ended"),
            Some(Ok(()) | Err(TrySendError::Full(()))) | None => {}
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Copies the log into the file, and returns how many pages the log still has to keep.
///
/// Most of it beside the writer; what was added meanwhile while the writer waits, so that the log begins anew instead
/// of growing for as long as it is written to.
///
/// When the disk fails, writes are refused from then on, and nothing is copied again: a start looks at it afresh.
fn checkpoint(connection: &Connection, refusal: &Refusal) -> u64 {
    let mut left_pages = 0;
    if refusal.reason().is_some() {
        return left_pages;
    }
    for mode in ["PASSIVE", "RESTART"] {
        let done = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        });
        match done {
            Ok((0, _)) => left_pages = 0,
            Ok((_, log_pages)) => {
                tracing::debug!(mode, "a reader kept a checkpoint from finishing");
                left_pages = u64::try_from(log_pages).unwrap_or(0);
            }
            Err(error) => {
                tracing::error!(mode, %error, "failed to checkpoint");
                if let AfterFailure::Stop(_) = batch_failed(&error, true) {
                    refusal.refuse(format!("writes are refused until a restart: a checkpoint: {error}"));
                }
                return left_pages;
            }
        }
    }
    left_pages
}
