//! Connections that read, on blocking threads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::failure::read_failed;
use super::schema;
use crate::error::{OpenError, StoreError};

/// How long a read waits for a connection (design, section 6: index wait).
const WAIT: Duration = Duration::from_secs(5);

/// A pool of connections that read.
#[derive(Clone)]
pub(super) struct Readers {
    path: Arc<Path>,
    count: u32,
    free: Arc<Semaphore>,
    connections: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize) -> Result<Self, OpenError> {
        let count = u32::try_from(count.max(1)).unwrap_or(1);
        let connections = (0..count).map(|_| schema::open_reader(path)).collect::<Result<_, _>>()?;
        let free = Arc::new(Semaphore::new(count as usize));
        Ok(Self { path: path.into(), count, free, connections: Arc::new(Mutex::new(connections)) })
    }

    /// Reads with one of the connections.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let waited = timeout(WAIT, Arc::clone(&self.free).acquire_owned()).await;
        let permit = waited
            .map_err(|_| StoreError::unavailable("the index is too busy to read"))?
            .map_err(|_| StoreError::unavailable("the store is closing"))?;
        let (connections, path) = (Arc::clone(&self.connections), Arc::clone(&self.path));
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let taken = connections.lock().unwrap_or_else(PoisonError::into_inner).pop();
            // One is missing only if a read with it panicked.
            let mut connection = match taken {
                Some(connection) => connection,
                None => schema::open_reader(&path).map_err(|error| StoreError::unavailable(error.to_string()))?,
            };
            let answer = read(&mut connection);
            connections.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer.map_err(read_failed)
        });
        done.await.map_err(|stopped| StoreError::internal(format!("a read of the index stopped: {stopped}")))?
    }

    /// Refuses further reads, and closes the connections once those under way have ended.
    pub(super) async fn close(&self) {
        let _ended = timeout(WAIT, self.free.acquire_many(self.count)).await;
        self.free.close();
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
