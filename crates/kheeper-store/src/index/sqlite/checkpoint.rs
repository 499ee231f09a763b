//! Checkpoints, on a connection and a thread of their own, so that no commit pays for one.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use crate::error::OpenError;

/// Bytes of write-ahead log that begin a checkpoint.
const CHECKPOINT_BYTES: u64 = 16 << 20;

/// Asks for checkpoints.
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    page_bytes: u64,
}

impl Checkpointer {
    pub(super) fn start(connection: Connection) -> Result<Self, OpenError> {
        let page_bytes: u32 =
            connection.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(super::schema::index_error)?;
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    checkpoint(&connection);
                }
                checkpoint(&connection);
            })
            .map_err(|error| OpenError::Index(format!("start the checkpoint thread: {error}")))?;
        Ok(Self { wake: Some(wake), thread: Some(thread), page_bytes: u64::from(page_bytes) })
    }

    /// Begins a checkpoint if the log has grown to `pages` enough and none is under way.
    pub(super) fn log_has(&self, pages: u64) {
        if pages * self.page_bytes < CHECKPOINT_BYTES {
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

/// Copies the log into the file. Most of it beside the writers; what they added meanwhile while they wait, so that the
/// log begins anew instead of growing for as long as they keep at it.
fn checkpoint(connection: &Connection) {
    for mode in ["PASSIVE", "RESTART"] {
        let done = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(0));
        match done {
            Ok(0) => {}
            Ok(_) => tracing::debug!(mode, "a reader kept a checkpoint from finishing"),
            Err(error) => {
                tracing::warn!(mode, %error, "failed to checkpoint");
                return;
            }
        }
    }
}
