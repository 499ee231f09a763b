//! Opening a data directory.
use crate::error::OpenError;
use crate::options::StoreOptions;
use crate::store::Store;

pub(crate) struct DirectoryLock;

pub(crate) async fn open(_options: StoreOptions) -> Result<Store, OpenError> {
    Err(OpenError::Index("not built yet".to_owned()))
}
